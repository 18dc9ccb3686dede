"""L0 regularisation with hard-concrete gates, trained with the weights.

Source: Louizos, Welling & Kingma (arXiv:1712.01312), eq. 10 to 12: a gate is a stretched, clipped binary concrete
variable, temperature 2/3, support (-0.1, 1.1); the penalty is the expected number of gates that are not zero. The paper
weighs that number by a coefficient and takes what sparsity comes; here the penalty pulls the expected density to the
one asked for, and the ticket keeps exactly its number of weights, those whose gates are most likely open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.arrays import FloatArray
from ticketsearch.engine.gates import GATES, TEMPERATURE, Concrete, Pull
from ticketsearch.engine.relaxation import Trainable, relaxed_by
from ticketsearch.masks import top_n
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Rate, Strength

LOW, HIGH = -0.1, 1.1


@dataclass(frozen=True)
class HardConcrete:
    """Random gates that can close for good.

    Attributes:
        open: probability that a gate is open at the start.
        rate: learning rate of the gates, as a multiple of the recipe's.
        pull: strength of the penalty on the expected density.
    """

    open: Annotated[float, Field(gt=0, lt=1)] = 0.9
    rate: Rate = 30.0
    pull: Strength = 0.1

    def trainings(self, _problem: KnownProblem) -> float:
        """One."""
        return 1.0

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of the full recipe."""
        recipe = problem.recipe.lasting(problem.steps_for(1))
        density, size = problem.n_kept / problem.space.size, problem.space.size
        shift = TEMPERATURE * math.log(-LOW / HIGH)
        start = math.log(self.open / (1 - self.open)) + shift
        gates: FloatArray = np.full(size, start, dtype=np.float32)
        gates += problem.rng("gates").normal(0, 0.01, size).astype(np.float32)  # as in the paper's code: ties broken

        relaxation = relaxed_by(
            Concrete(LOW, HIGH, noisy_until=recipe.steps),
            Trainable(gates, self.rate, decay=0.0),
            weights=Trainable(problem.initial_weights().vector),
            pull=Pull(((slice(size), density),), self.pull, shift=-shift),
        )
        for snapshot in problem.train_relaxed(relaxation, recipe=recipe):
            gates = snapshot.trained[GATES]
        return Ticket(top_n(gates, problem.n_kept), scores=gates)
