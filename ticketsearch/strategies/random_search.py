"""Best of N random masks: the control every search has to beat at equal cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ticketsearch.masks import random_masks
from ticketsearch.problem import MaskProblem


@dataclass(frozen=True)
class RandomSearch:
    """Evaluate uniformly random masks and keep the best.

    Attributes:
        count: masks to try; by default as many as the budget allows.
        batch: masks drawn and trained together.
    """

    count: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)] = 64

    def search(self, problem: MaskProblem) -> None:
        """The host keeps the incumbent."""
        rng = problem.rng("random")
        left = self.count
        while left is None or left > 0:
            size = self.batch if left is None else min(self.batch, left)
            problem.evaluate(random_masks(problem.space, problem.sparsity, size, rng))
            left = None if left is None else left - size
