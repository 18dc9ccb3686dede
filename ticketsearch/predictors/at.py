"""What predictors share that look at a network at one point: its initial weights, or those after some steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, FloatArray, ScoreArray
from ticketsearch.masks.ticket import Weights
from ticketsearch.problem import MaskProblem

Count = Annotated[int, Field(ge=1)]
Steps = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Point:
    """One mask and the weights it is looked at with.

    Attributes:
        mask: of units, ``(U,)``.
        kept: of weights, ``(D,)``.
        start: the weights; ``None`` = the initial ones.
        vector: the weights under the mask, ``(D,)``.
    """

    mask: BoolArray
    kept: BoolArray
    start: Weights | None
    vector: FloatArray


@dataclass(frozen=True)
class AtPoint:
    """A base of predictors at one point.

    Attributes:
        steps: of training before it is looked at the network, on one data order for all masks; 0: as it is initialised.
    """

    steps: Steps = 0

    def at_each(self, problem: MaskProblem, masks: BoolArray, value: Callable[[Point], float]) -> ScoreArray:
        """One value for each of ``(P, U)`` masks, ``(P,)``."""
        return np.array([value(self.point(problem, mask)) for mask in masks], dtype=np.float64)

    def point(self, problem: MaskProblem, mask: BoolArray) -> Point:
        """Where a network under a mask ``(U,)`` stands; trains it, if it is asked for steps."""
        kept, start, initial = problem.units.expand(mask), None, problem.initial_weights()
        if self.steps:
            start = problem.train_alike(mask, self.steps).weights
        vector = (start or initial).vector * kept
        return Point(mask, kept, start, vector)
