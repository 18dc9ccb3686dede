"""Racing: train candidates on one data order after another, and drop those that are clearly behind.

Source: Birattari et al., "A racing algorithm for configuring metaheuristics" (GECCO 2002), with the paired signed-rank
test of Wilcoxon in place of Friedman's. Every order is shared by all that are left, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import InvalidValue
from ticketsearch.problem import MaskProblem, Score
from ticketsearch.problem.scores import ScoreName

FIRST = 5
"""Orders before the first one is dropped: with fewer, the test cannot reach 0.05."""


def race(
    problem: MaskProblem,
    masks: BoolArray | Sequence[BoolArray],
    *,
    rounds: int = 10,
    level: float = 0.05,
    fidelity: int | None = None,
    score: ScoreName = "accuracy",
) -> list[tuple[BoolArray, Score]]:
    """Score ``(P, U)`` masks on up to ``rounds`` data orders, fewer and fewer of them.

    Args:
        problem: pays.
        masks: candidates.
        rounds: data orders at most; one survivor ends it sooner.
        level: of the one-sided test against the best so far, for each candidate after each order, not corrected for
            their number.
        fidelity: steps; default the problem's.
        score: as in :meth:`ticketsearch.MaskProblem.evaluate`.

    Returns:
        The survivors with their mean scores, best first.

    Raises:
        BudgetExhausted: within a round; what was scored is recorded.
    """
    if rounds < 1 or not 0 < level < 1:
        raise InvalidValue(f"rounds {rounds} must be at least 1, and level {level} between 0 and 1")
    left = list(np.asarray(masks))
    scores: list[list[Score]] = [[] for _ in left]
    for _ in range(rounds):
        for own, new in zip(scores, problem.evaluate(left, fidelity, score=score, orders="fresh"), strict=True):
            own.append(new)
        best = max(range(len(left)), key=lambda row: (Score.mean(scores[row]), -row))
        kept = [row for row in range(len(left)) if row == best or not _behind(scores[row], scores[best], level)]
        left, scores = [left[row] for row in kept], [scores[row] for row in kept]
        if len(left) == 1:
            break
    order = sorted(range(len(left)), key=lambda row: (Score.mean(scores[row]), -row), reverse=True)
    return [(left[row], Score.mean(scores[row])) for row in order]


def _behind(scores: list[Score], best: list[Score], level: float) -> bool:
    """Whether the signed-rank test finds scores below the best's, pair by pair; a failed one is."""
    if any(one.failed for one in scores):
        return True
    differences = np.array([one.value - other.value for one, other in zip(scores, best, strict=True)])
    if len(differences) < FIRST or not differences.any():
        return False
    from scipy.stats import wilcoxon

    return bool(wilcoxon(differences, alternative="less", method="auto").pvalue < level)
