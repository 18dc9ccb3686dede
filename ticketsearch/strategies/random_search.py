"""Best of N random masks: the control every search has to beat at equal cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray
from ticketsearch.masks import random_per_layer
from ticketsearch.masks.densities import layer_counts
from ticketsearch.problem import MaskProblem


@dataclass(frozen=True)
class RandomSearch:
    """Evaluate random masks and keep the best.

    Attributes:
        densities: ``global``: all weights alike; or per layer ``uniform``, ``erk`` or ``smart-ratio``; see
            :mod:`ticketsearch.masks.densities`.
        count: masks to try; by default as many as the budget allows.
        batch: masks drawn and trained together.
    """

    densities: Literal["global", "uniform", "erk", "smart-ratio"] = "global"
    count: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)] = 64

    def search(self, problem: MaskProblem) -> None:
        """The host keeps the incumbent."""
        rng = problem.rng("random")
        space, n = problem.space, problem.n_kept
        counts = None if self.densities == "global" else layer_counts(self.densities, space, n)

        def draw() -> BoolArray:
            return space.random(n, rng) if counts is None else random_per_layer(space, counts, rng)

        left = self.count
        while left is None or left > 0:
            size = self.batch if left is None else min(self.batch, left)
            problem.evaluate(np.stack([draw() for _ in range(problem.worth_drawing(size))]))
            left = None if left is None else left - size
