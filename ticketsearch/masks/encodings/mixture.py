"""``criterion-mixture``: one weight for each criterion; the mixture of their ranks chooses globally."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.criteria import CriterionScores, check_criterion
from ticketsearch.masks.encodings.base import EncodedProblem, Encoding, Genome, ScoreEncoding

MIXTURE = ("large_init", "large_final", "magnitude_increase", "movement", "snip", "random")
"""Criteria of the mixture unless told otherwise."""


@dataclass(frozen=True)
class CriterionMixture:
    """A weight for each of several criteria; the weighted sum of their ranks is a unit's score.

    Attributes:
        criteria: what is mixed; see :mod:`ticketsearch.masks.criteria`.
    """

    criteria: tuple[str, ...] = MIXTURE

    def __post_init__(self) -> None:
        if not self.criteria:
            raise InvalidValue("encoding 'criterion-mixture' needs at least one criterion")
        for criterion in self.criteria:
            check_criterion(criterion)

    def build(self, problem: EncodedProblem) -> Encoding:
        """Trains the dense network if a criterion is of trained weights."""
        return CriterionMixtureEncoding(problem, CriterionScores(problem).ranks(self.criteria))


class CriterionMixtureEncoding(ScoreEncoding):
    """A weight of 0 ignores a criterion, a negative one inverts it."""

    def __init__(self, problem: EncodedProblem, ranks: ScoreArray) -> None:
        super().__init__(problem, len(ranks))
        self._ranks = ranks.astype(np.float32)  # (C, U)

    def scores(self, genome: Genome) -> npt.NDArray[np.floating]:
        """``(U,)``, the weighted sum."""
        mixed: npt.NDArray[np.floating] = np.einsum("c,cu->u", genome.astype(np.float32), self._ranks)
        return mixed
