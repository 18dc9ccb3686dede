"""SNIP: prune at initialisation by connection sensitivity.

Source: Lee, Ajanthan & Torr (arXiv:1810.02340), eq. 5 and 6: one gradient of the loss with respect to a mask of ones,
``|dL/dm| = |g * w|``; one global cut. Their mini-batch is 100 (MNIST) to 128 examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem


@dataclass(frozen=True)
class Snip:
    """Keep the weights whose removal would change the loss most.

    Attributes:
        examples: training examples of the gradient; fewer if there are not as many.
    """

    examples: Annotated[int, Field(ge=1)] = 4000

    def trainings(self, problem: KnownProblem) -> float:
        """A gradient's part of one."""
        return min(self.examples, problem.train_size) / (problem.recipe.steps * problem.recipe.batch_size)

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one gradient."""
        gradient = problem.gradients(None, min(self.examples, problem.train_size))
        scores = problem.units.reduce(np.abs(gradient * problem.initial_weights().vector))
        return Ticket(problem.space.top(scores, problem.n_kept), scores=scores)
