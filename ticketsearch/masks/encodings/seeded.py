"""``seeded``: a neighbourhood of a criterion's mask: its ranks, shifted along a few fixed random directions.

A random subspace, as in Li et al. (arXiv:1804.08838).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.masks.criteria import CriterionScores, check_criterion
from ticketsearch.masks.encodings.base import EncodedProblem, Encoding, Genome, ScoreEncoding


@dataclass(frozen=True)
class Seeded:
    """Around the mask of a criterion, which is the genome zero.

    Attributes:
        criterion: whose mask; see :mod:`ticketsearch.masks.criteria`.
        radius: how far a random genome shifts ranks, as a fraction of all.
        directions: numbers in a genome.
    """

    criterion: str = "large_init"
    radius: Annotated[float, Field(gt=0, le=100)] = 0.06
    directions: Annotated[int, Field(ge=1, le=10_000)] = 16

    def __post_init__(self) -> None:
        check_criterion(self.criterion)

    def build(self, problem: EncodedProblem) -> Encoding:
        """Trains the dense network if the criterion is of trained weights."""
        return SeededEncoding(problem, CriterionScores(problem)(self.criterion), self.radius, self.directions)


class SeededEncoding(ScoreEncoding):
    """See :class:`Seeded`."""

    def __init__(
        self, problem: EncodedProblem, scores: npt.NDArray[np.floating], radius: float, directions: int
    ) -> None:
        super().__init__(problem, directions)
        size, rng = problem.space.size, problem.rng("directions")
        self._ranks = np.empty(size, dtype=np.float32)
        self._ranks[np.argsort(scores, kind="stable")] = np.linspace(0, 1, size, dtype=np.float32)
        self._directions = np.float32(radius) * rng.standard_normal((directions, size), dtype=np.float32)

    def scores(self, genome: Genome) -> npt.NDArray[np.floating]:
        """``(U,)``: ranks plus a combination of the directions."""
        shifted: npt.NDArray[np.floating] = self._ranks + np.einsum(
            "d,du->u", genome.astype(np.float32), self._directions
        )
        return shifted
