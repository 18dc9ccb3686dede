"""What the layers' densities alone say: the null that a predictor has to beat.

Metrics of sparse graphs that seemed to tell tickets (Ramanujan properties) were explained away by how many weights each
layer keeps (arXiv:2305.16886). Here the densities are one number: the logarithm of their product, which is that of the
expected number of paths through a random mask of these densities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.problem import MaskProblem

EMPTY = 0.5
"""Units that a layer counts as keeping if it keeps none."""


@dataclass(frozen=True)
class LayerDensities:
    """The sum of the logarithms of the layers' densities: higher, more paths for the same number of weights."""

    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs nothing."""
        space = problem.space
        counts = np.stack([np.asarray(space.counts(mask), dtype=np.float64) for mask in masks])  # (P, L)
        sums: ScoreArray = np.log(np.maximum(counts, EMPTY) / space.sizes).sum(1)
        return sums
