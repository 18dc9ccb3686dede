"""NTK-SAP: prune at initialisation what moves the spectrum of the neural tangent kernel least.

Source: Wang, Li & Sun (arXiv:2304.02840): the kernel's nuclear norm, whose change says how the training dynamics
change, is estimated without data by ``sum |f(x, w * m) - f(x, (w + e z) * m)|^2``, x and z standard normal, e small; a
weight's score is the absolute derivative by its bit of the mask. The weights w are drawn anew for each batch, so that
the mask is one for any initialisation. After round k of n the density is ``rho ** (k / n)``, one global cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.masks import ranked_within
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.synflow import kept_after


@dataclass(frozen=True)
class NtkSap:
    """Iteratively keep the weights that the tangent kernel's norm depends on most.

    Attributes:
        rounds: cuts on the way to the density asked for.
        batches: of each round, each with weights of its own.
        examples: made-up inputs of a batch; default the recipe's batch size.
        scale: e, of the perturbation.
    """

    rounds: Annotated[int, Field(ge=1, le=10_000)] = 20
    batches: Annotated[int, Field(ge=1, le=10_000)] = 5
    examples: Annotated[int, Field(ge=1)] | None = None
    scale: Annotated[float, Field(gt=0, le=1)] = 0.01

    def trainings(self, problem: KnownProblem) -> float:
        """The part of one that its passes are."""
        examples = min(self.examples or problem.recipe.batch_size, problem.train_size)
        return 2 * self.rounds * self.batches * examples / (problem.recipe.steps * problem.recipe.batch_size)

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends, for each example of each batch, two forward and backward passes."""
        examples = min(self.examples or problem.recipe.batch_size, problem.train_size)
        size = problem.space.size
        mask, order = np.ones(size, dtype=bool), np.zeros(size)
        for done in range(1, self.rounds + 1):
            change = sum(problem.ntk_sensitivity(mask, examples, scale=self.scale) for _ in range(self.batches))
            scores = problem.units.reduce(np.asarray(change))
            left = problem.space.top(np.where(mask, scores, -np.inf), kept_after(problem, done, self.rounds))
            order = ranked_within(mask & ~left, scores, order)
            mask = left
        order = ranked_within(mask, scores, order)
        return Ticket(problem.space.top(order, problem.n_kept), scores=order)
