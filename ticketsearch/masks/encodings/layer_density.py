"""``layer-density``: one number for each layer, its share of the kept units; a criterion chooses within the layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.criteria import CriterionScores, check_criterion
from ticketsearch.masks.densities import apportion, fill_densities
from ticketsearch.masks.encodings.base import EncodedProblem, Encoding, Genome, Start, VectorEncoding
from ticketsearch.masks.sampling import top_per_layer

DECADES = 0.6
"""Standard deviation of a random layer's relative density, in decades: two in three lie within one decade."""


@dataclass(frozen=True)
class LayerDensity:
    """How many units each layer keeps; which ones, a criterion says.

    Attributes:
        criterion: see :mod:`ticketsearch.masks.criteria`.
    """

    criterion: str = "large_init"

    def __post_init__(self) -> None:
        check_criterion(self.criterion)

    def build(self, problem: EncodedProblem) -> Encoding:
        """Trains the dense network if the criterion is of trained weights."""
        if problem.space.block is not None:
            raise InvalidValue(
                f"encoding 'layer-density': in blocks of {problem.space.block} every layer has one density; use swap, "
                "neurons, seeded or criterion-mixture"
            )
        return LayerDensityEncoding(problem, CriterionScores(problem)(self.criterion))


class LayerDensityEncoding(VectorEncoding):
    """Relative densities ``10 ** (0.6 x)``, water-filled to exactly n; within a layer the top scores are kept."""

    def __init__(self, problem: EncodedProblem, scores: npt.NDArray[np.floating]) -> None:
        self._space, self._n = problem.space, problem.n_kept
        self.dimensions = len(self._space.layers)
        self._densities = np.ones(self.dimensions)  # at the genome zero
        self._rank(scores)

    def _rank(self, scores: npt.NDArray[np.floating]) -> None:
        self._order = np.empty(self._space.size)  # (U,), scores as ranks: ties are broken once
        for layer in self._space.layers:
            best_first = np.argsort(-scores[layer.span], kind="stable") + layer.offset
            self._order[best_first] = -np.arange(layer.size)

    def begin_at(self, start: Start) -> None:
        """The genome zero has the start's counts, and its order within layers."""
        self._densities = np.maximum(start.counts, 0.5) / self._space.sizes
        if start.scores is not None:
            self._rank(start.scores)

    def fit(self, mask: BoolArray) -> ScoreArray:
        """Its layers' counts; which units they keep is the criterion's."""
        relative = np.maximum(self._space.counts(mask), 0.5) / self._space.sizes / self._densities
        return np.asarray(np.log10(relative / relative.mean()) / DECADES)

    def decode(self, genome: Genome) -> BoolArray:
        """Densities proportional to the start's times ``10 ** (0.6 x)``."""
        relative = self._densities * 10.0 ** np.clip(DECADES * np.asarray(genome), -12, 12)
        shares = fill_densities(relative, self._n, self._space.sizes)
        counts = apportion(shares, self._n, self._space.sizes, self._space.floors)
        return top_per_layer(self._order, counts, self._space)
