"""``low-rank``: initial weights plus a matrix of low rank; the largest sums are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.arrays import FloatArray
from ticketsearch.masks.encodings.base import EncodedProblem, Encoding, Genome, ScoreEncoding
from ticketsearch.masks.encodings.neurons import matrix_shape


@dataclass(frozen=True)
class LowRank:
    """``|w_ij / sd_layer + reach (U V')_ij / sqrt(rank)|`` times ``exp(b_layer)``; U, V and b are searched.

    Attributes:
        rank: columns of U and V.
        reach: of the sum, in standard deviations of the initial weights.
    """

    rank: Annotated[int, Field(ge=1, le=1000)] = 1
    reach: Annotated[float, Field(gt=0, le=100)] = 1.0

    def build(self, problem: EncodedProblem) -> Encoding:
        """Costs nothing."""
        return LowRankEncoding(problem, self.rank, self.reach)


class LowRankEncoding(ScoreEncoding):
    """See :class:`LowRank`. All positions of a kernel share their summand."""

    step: ClassVar[float] = 0.3

    def __init__(self, problem: EncodedProblem, rank: int, reach: float) -> None:
        self._units, self._rank = problem.units, rank
        self._reach = np.float32(reach / rank**0.5)
        layers = self._units.weights.layers
        super().__init__(problem, len(layers) + rank * sum(sum(matrix_shape(layer.shape)) for layer in layers))
        self._weights: FloatArray = problem.initial_weights().vector.astype(np.float32)
        for layer in layers:
            self._weights[layer.span] /= float(self._weights[layer.span].std()) or 1.0
        self._scores = np.empty_like(self._weights)

    def scores(self, genome: Genome) -> npt.NDArray[np.floating]:
        """``(U,)``."""
        numbers, layers = genome.astype(np.float32), self._units.weights.layers
        begin = len(layers)
        for index, layer in enumerate(layers):
            outputs, inputs = matrix_shape(layer.shape)
            middle, end = begin + self._rank * outputs, begin + self._rank * (outputs + inputs)
            left, right = numbers[begin:middle].reshape(outputs, -1), numbers[middle:end].reshape(inputs, -1)
            product = np.einsum("or,ir->oi", left, right)  # not BLAS: its sums depend on the machine
            own = self._scores[layer.span].reshape(outputs, inputs, -1)
            np.add(self._weights[layer.span].reshape(own.shape), self._reach * product[..., None], out=own)
            np.abs(own, out=own)
            own *= np.exp(numbers[index])
            begin = end
        return self._units.reduce(self._scores)
