"""What a predictor is: it says of masks, before they are trained in full, which are tickets."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.errors import StrategyError
from ticketsearch.problem.scores import Score


class Predictor(Protocol):
    """A frozen dataclass of settings, registered under ``ticketsearch.predictors``.

    Attributes:
        sign: 1 if a higher value is to mean a better mask, -1 if a lower one; said beforehand, never fitted.
    """

    sign: ClassVar[int]

    def predict(self, problem: Any, masks: BoolArray) -> ScoreArray:
        """Values ``(P,)`` of masks ``(P, size)``; whatever they cost is asked of the :class:`MaskProblem`."""
        ...


def values_of_predictor(predictor: Predictor, problem: Any, masks: BoolArray) -> ScoreArray:
    """What a predictor says of masks ``(P, size)``: ``(P,)``, as it says it.

    Raises:
        StrategyError: it gives something else than a number for each mask.
    """
    given = predictor.predict(problem, masks.copy())
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise StrategyError(f"predictor {predictor!r} gave {type(given).__name__}, not numbers: {error}") from error
    if values.shape != (len(masks),):
        raise StrategyError(f"predictor {predictor!r} gave values of shape {values.shape}; needed: ({len(masks)},)")
    return values


def predicted_score(predictor: Predictor, value: float) -> Score:
    """A value as a score, higher is better; what is no number is a failure."""
    if not np.isfinite(value):
        return Score.of(None, None, f"predictor {predictor!r} gave {value}")
    return Score.of(predictor.sign * value + 0.0, 0.0)  # not -0.0, which SQLite does not keep
