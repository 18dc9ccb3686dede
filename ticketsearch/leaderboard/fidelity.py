"""Whether short training tells what full training will: rank correlation, and searches that exploit it.

A search sees short scores only; what counts is confirmed accuracy. Kendall's tau-b (1945) says how well the one
ranks the other. :func:`exploitation` says whether a search went on climbing the short score after the confirmed
accuracy had stopped to follow, by :data:`RULE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ticketsearch.arrays import ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard import bootstrap
from ticketsearch.leaderboard.statistics import ALPHA, MARGIN, Summary, column, t_interval

RULE = (
    "The incumbents at the checkpoint of best mean confirmed accuracy are compared with those at the end. The search "
    "exploits its evaluator, from that cost on, if the short score rises from there (interval of the mean paired "
    f"change above 0) while confirmed accuracy does not by {100 * MARGIN:g} points or more (interval below that "
    "margin); whether confirmed accuracy falls (interval below 0) is said separately. The intervals hold for all "
    "checkpoints together at 95 % (Bonferroni), because the best one is picked by the data. If the best is the last, "
    "nothing is exploited. Not exploiting is not thereby shown."
)
"""The rule of :func:`exploitation`, to be printed with what it says.

The best of many noisy checkpoints overstates itself: of simulated plateaus (ten seeds, eight checkpoints) a plain 95 %
interval sees 9 % fall, one whose checkpoint was chosen for each seed by the other seeds 6 %, this one 2 %. That
accuracy "is not shown to rise", in turn, proves nothing where seeds are few: hence the margin, as in a test of
non-superiority.
"""


@dataclass(frozen=True)
class Exploitation:
    """What :data:`RULE` says of one search.

    Attributes:
        exploits: whether the short score rises while confirmed accuracy does not.
        falls: whether confirmed accuracy falls, whatever the short score does.
        cost: from which on: mean cost of the checkpoint of best mean confirmed accuracy, the last such one.
        short, confirmed: change from there to the end, mean over seeds, with intervals as in the rule; without
            intervals if the best checkpoint is the last.
        looks: checkpoints that the best was picked from, for which the intervals are widened.
    """

    exploits: bool
    falls: bool
    cost: float
    short: Summary
    confirmed: Summary
    looks: int


def tau(short: Sequence[float], confirmed: Sequence[float]) -> Summary | None:
    """Kendall's tau-b between short scores and confirmed accuracies of the same tickets, pairs resampled.

    Returns:
        None for fewer than three pairs, or if either side is constant: there is no order to agree with. Perfect
        agreement or disagreement has no interval: no resample of it differs.

    Raises:
        InvalidValue: sequences of different length, or a value that is not finite.
    """
    if len(short) != len(confirmed):
        raise InvalidValue(f"tau compares pairs; here are {len(short)} short scores, {len(confirmed)} confirmed")
    n = len(short)
    x, y = (np.sign(np.round(v[:, None] - v[None, :], 12)) for v in (column(short), column(confirmed)))  # (n, n)
    if n < 3 or not x.any() or not y.any():
        return None
    value = float(_tau(x, y, np.ones((1, n)))[0])
    drawn = _tau(x, y, bootstrap.counts(n))
    return Summary(n, value, *bootstrap.interval(drawn[np.isfinite(drawn)], n))  # a constant resample has no tau


def _tau(x: ScoreArray, y: ScoreArray, counts: ScoreArray) -> ScoreArray:
    """Tau-b of pairs that occur ``counts`` times, (draws, n), from the signs of all differences; (draws,)."""

    def total(signs: ScoreArray) -> ScoreArray:
        return np.asarray(((counts @ signs) * counts).sum(1))

    with np.errstate(invalid="ignore"):
        return total(x * y) / np.sqrt(total(np.abs(x)) * total(np.abs(y)))


def exploitation(
    trajectories: Sequence[Sequence[tuple[float, float, float]]], margin: float = MARGIN
) -> Exploitation | None:
    """Judge a search by its incumbents' (cost, short score, confirmed accuracy) at common checkpoints, seed by seed.

    Args:
        trajectories: (seeds, checkpoints, 3); costs may differ a little between seeds.
        margin: a rise of confirmed accuracy smaller than this is none.

    Returns:
        None for fewer than two seeds or checkpoints.

    Raises:
        InvalidValue: seeds with different numbers of checkpoints, or a value that is not finite.
    """
    if len({len(trajectory) for trajectory in trajectories}) > 1:
        raise InvalidValue(f"checkpoints are common to all seeds, not {[len(t) for t in trajectories]}")
    if len(trajectories) < 2 or len(trajectories[0]) < 2:
        return None
    table = np.array([column([v for point in t for v in point]) for t in trajectories])
    costs, short, confirmed = table.reshape(len(table), -1, 3).transpose(2, 0, 1)  # each (seeds, checkpoints)
    means = np.round(confirmed.mean(0), 12)
    best = int(np.flatnonzero(means == means.max())[-1])  # while incumbents stay the same, nothing has begun
    rise, gain = (_change(values, best) for values in (short, confirmed))
    rises = rise.low is not None and rise.low > 0
    return Exploitation(
        exploits=rises and gain.high is not None and gain.high < margin,
        falls=gain.high is not None and gain.high < 0,
        cost=float(costs[:, best].mean()),
        short=rise,
        confirmed=gain,
        looks=confirmed.shape[1] - 1,
    )


def _change(values: ScoreArray, start: int) -> Summary:
    """From one checkpoint to the end, with an interval that holds for all checkpoints but the last together."""
    looks = values.shape[1] - 1
    changes = values[:, -1] - values[:, start]  # (seeds,)
    low, high = t_interval(changes, 1 - ALPHA / looks) if start < looks else (None, None)
    return Summary(len(changes), float(changes.mean()), low, high)
