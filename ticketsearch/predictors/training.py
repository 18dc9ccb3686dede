"""What a short training says: its loss, its accuracy, and the sum of its training losses.

The sum of the training losses is TSE (arXiv:2006.04492). All three are the evaluator's short training, on the same data
order for every mask; searchers get them as ``score=loss``, ``accuracy`` and ``train-loss`` in batches, which is faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import ScoreName

WORST = float(np.finfo(np.float32).max)
"""The loss of a training that diverged."""


@dataclass(frozen=True)
class _AfterSteps:
    """A base of predictors by a short training.

    Attributes:
        steps: of the training; default those of the evaluator.
    """

    steps: Annotated[int, Field(ge=1)] | None = None

    def _scores(self, problem: MaskProblem, masks: BoolArray, score: ScoreName, worst: float) -> ScoreArray:
        found = problem.evaluate(masks, self.steps, score=score)
        return np.array([worst if one.failed else one.value for one in found], dtype=np.float64)


@dataclass(frozen=True)
class LossAfter(_AfterSteps):
    """The validation loss after some steps: lower is better."""

    sign: ClassVar[int] = -1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs a short training and a validation for each mask."""
        return -self._scores(problem, masks, "loss", -WORST)


@dataclass(frozen=True)
class TrainingLosses(_AfterSteps):
    """The mean of the training losses of all steps, TSE: lower, it learns faster."""

    sign: ClassVar[int] = -1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs a short training and a validation for each mask."""
        return -self._scores(problem, masks, "train-loss", -WORST)


@dataclass(frozen=True)
class AccuracyAfter(_AfterSteps):
    """The validation accuracy after some steps: higher is better."""

    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs a short training and a validation for each mask."""
        return self._scores(problem, masks, "accuracy", 0.0)
