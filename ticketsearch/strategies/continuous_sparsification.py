"""Continuous sparsification: train a soft mask with the weights, and harden it.

Source: Savarese, Silva & Maire (arXiv:1912.04427), algorithm 1: weights ``w * sigmoid(beta s) / sigmoid(s0)``, beta
from 1 to 200 geometrically within a round, a penalty on the sum of ``sigmoid(beta s)``, between rounds
``s <- min(beta s, s0)``, the ticket ``s > 0``. The published method ends at the sparsity its penalty leads to. Here
the ticket keeps exactly the number of weights asked for, those of the highest s, and the penalty pulls the mean of the
soft mask towards the density asked for: ``pull * (mean / density - 1)`` while the mean is above it.

An open gate is ``1 / sigmoid(s0)``, about 1.95, and the authors keep that factor when they train the ticket;
``factor=true`` has the ticket start from the initial weights times it. There the factor stands beside the weights in
training; here it is in them, which under SGD is another learning rate, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.arrays import FloatArray
from ticketsearch.engine.gates import GATES, Pull, Soft
from ticketsearch.engine.relaxation import Trainable, relaxed_by
from ticketsearch.masks import top_n
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Rate, Steepness, Strength


@dataclass(frozen=True)
class ContinuousSparsification:
    """Gates on the weights, trained with them and ever steeper.

    Attributes:
        rounds: trainings; the weights start anew in each, the gates go on.
        initial: s0, where gates start.
        steepness: beta at the end of a round.
        rate: learning rate of the gates, as a multiple of the recipe's.
        pull: strength of the penalty on the density.
        factor: whether the ticket starts from the initial weights times an open gate's factor.
    """

    rounds: Annotated[int, Field(ge=1)] = 1
    initial: float = 0.05
    steepness: Steepness = 200.0
    rate: Rate = 3.0
    pull: Strength = 1.0
    factor: bool = False

    def trainings(self, _problem: KnownProblem) -> float:
        """One for each round."""
        return float(self.rounds)

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training for each round."""
        steps = problem.steps_for(self.rounds)
        initial = problem.initial_weights()
        gates: FloatArray = np.full(problem.space.size, self.initial, dtype=np.float32)
        density = problem.n_kept / problem.space.size
        scale = float(1 / (1 + np.exp(-self.initial)))

        def beta(step: int) -> float:
            return float(self.steepness ** (step / steps))

        form = Soft(beta, high=1 / scale)
        pull = Pull(((slice(gates.size), density),), self.pull)
        for _ in range(self.rounds):
            scores = Trainable(gates, self.rate, decay=0.0)
            relaxation = relaxed_by(form, scores, weights=Trainable(initial.vector), pull=pull)
            for snapshot in problem.train_relaxed(relaxation, recipe=problem.recipe.lasting(steps)):
                gates = snapshot.trained[GATES]
            final = gates
            gates = np.minimum(self.steepness * gates, self.initial).astype(np.float32)
        start = Weights(initial.vector / np.float32(scale), initial.rest) if self.factor else None
        return Ticket(top_n(final, problem.n_kept), start, scores=final)
