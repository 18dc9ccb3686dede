"""cosine: an encoding for networks whose inputs lie in a row, such as signals over time.

How much is kept of each input of a layer follows a cosine series over the inputs' places, so that neighbours keep about
as much: a dozen numbers say where in the signal a layer looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch import MaskProblem
from ticketsearch.masks.encodings import Encoding, ScoreEncoding


@dataclass(frozen=True)
class Cosine:
    """The score of weight ij is the series at input j, plus ``alpha log|w_ij|``, plus its layer's number.

    Attributes:
        terms: of the series of each layer.
        alpha: how much large initial weights are preferred.
    """

    ticketsearch_api: ClassVar[int] = 1

    terms: Annotated[int, Field(ge=1, le=1000)] = 12
    alpha: Annotated[float, Field(ge=0, le=100)] = 0.7

    def build(self, problem: MaskProblem) -> Encoding:
        """The encoding of this problem's masks; it needs no training."""
        return CosineEncoding(problem, self.terms, self.alpha)


class CosineEncoding(ScoreEncoding):
    """What ``Cosine`` builds: a vector of numbers, and a score of each unit that follows from it."""

    def __init__(self, problem: MaskProblem, terms: int, alpha: float) -> None:
        layers = problem.units.weights.layers
        super().__init__(problem, len(layers) * (1 + terms))  # its numbers
        self._units, self._terms = problem.units, terms
        sizes = np.abs(problem.initial_weights().vector)
        self._sizes = alpha * np.log(np.maximum(sizes, 1e-12))  # (D,)

    def scores(self, genome: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
        """``(U,)``: of weights first, then of the units that masks are of; the highest are kept."""
        scores = self._sizes.copy()
        layers = self._units.weights.layers
        for layer, (offset, *series) in zip(layers, genome.reshape(len(layers), -1), strict=True):
            inputs = layer.shape[1]
            places = (np.arange(inputs) + 0.5) / inputs  # (I,)
            waves = np.cos(np.pi * np.outer(np.arange(1, self._terms + 1), places))  # (terms, I)
            own = scores[layer.span].reshape(layer.shape[0], inputs, -1)  # a view
            own += offset + np.einsum("t,ti->i", np.array(series), waves)[:, None]
        return self._units.reduce(scores)
