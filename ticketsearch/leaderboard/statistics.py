"""Comparisons over paired seeds: differences, tests, ranks and trimmed means.

Two strategies that ran on the same seed met the same initial weights and data orders, so they are compared seed by
seed. Sources: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice"
(arXiv:2108.13264) for the probability of improvement and the interquartile mean; Wilcoxon (1945), in its exact
conditional form; Schuirmann's two one-sided tests (1987), read off the 90 % interval; Holm (1979).
Accuracies are fractions in [0, 1]. Values closer than 1e-12 are ties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ticketsearch.arrays import ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard import bootstrap

ALPHA = 0.05
"""Errors allowed in a family of comparisons; intervals are at 1 - ALPHA."""
MARGIN = 0.003
"""Practical equivalence: accuracies nearer than 0.3 percentage points are not worth a difference in cost."""


@dataclass(frozen=True)
class Summary:
    """A statistic of ``n`` seeds (or pairs) and its 95 % interval; None where there is none."""

    n: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Paired:
    """One strategy's accuracies less another's, seed by seed.

    Attributes:
        n: seeds in common.
        difference: mean difference; None for no seed.
        low, high: its 95 % interval (Student's t); None for fewer than two seeds.
        p: two-sided exact Wilcoxon signed-rank p; 1 where all differences are zero, None for no seed.
        improvement: P(a > b), ties half, over all n x n pairs of runs; None for no seed.
        improvement_low, improvement_high: its 95 % interval, seeds resampled in pairs. Where one strategy wins
            every pair, the bootstrap is blind and the open end is Clopper and Pearson's for n wins in n seeds.
        equivalent: whether the 90 % interval of the difference lies within the margin on both sides;
            None for fewer than two seeds.
        margin: that margin.
    """

    n: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    improvement: float | None
    improvement_low: float | None
    improvement_high: float | None
    equivalent: bool | None
    margin: float


def paired(a: Sequence[float], b: Sequence[float], margin: float = MARGIN) -> Paired:
    """Compare two strategies' confirmed accuracies, ``a[i]`` and ``b[i]`` of the same seed.

    Raises:
        InvalidValue: sequences of different length, a value that is not finite, or a margin not above 0.
    """
    if len(a) != len(b):
        raise InvalidValue(f"paired accuracies come seed by seed; here are {len(a)} and {len(b)}")
    if not margin > 0:
        raise InvalidValue(f"the margin of equivalence is above 0, not {margin!r}")
    x, y = column(a), column(b)
    if not len(x):
        return Paired(0, None, None, None, None, None, None, None, None, margin)
    differences = np.round(x - y, 12)
    low, high = t_interval(differences)
    inner_low, inner_high = t_interval(differences, 0.90)
    equivalent = None if inner_low is None or inner_high is None else -margin < inner_low and inner_high < margin
    mean = math.fsum(differences) / len(x)
    return Paired(len(x), mean, low, high, signed_rank(differences), *_improvement(x, y), equivalent, margin)


def t_interval(values: ScoreArray, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
    """Student's interval of a mean, (low, high); (None, None) for fewer than two values. Equal values: no width."""
    from scipy.special import stdtrit  # the distribution alone, without the weight of scipy.stats

    n = len(values)
    if n < 2:
        return None, None
    half = float(stdtrit(n - 1, (1 + level) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = math.fsum(values) / n
    return mean - half, mean + half


def signed_rank(differences: ScoreArray) -> float:
    """Two-sided Wilcoxon signed-rank p, exact for any n, with ties as well.

    Zero differences are dropped (Wilcoxon's own rule); tied ones share their mean rank; the p-value then is that
    of flipping each sign with a fair coin. With no difference left it is 1.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    _, place, tied = np.unique(np.abs(differences), return_inverse=True, return_counts=True)
    ranks = (2 * np.cumsum(tied) - tied + 1)[place]  # (n,) twice the mean rank, so that it is whole
    chance = np.zeros(int(ranks.sum()) + 1)  # of each sum of positive ranks
    chance[0] = 1.0
    for rank in ranks:
        chance[rank:] = 0.5 * (chance[rank:] + chance[:-rank])
        chance[:rank] *= 0.5
    positive = int(ranks[differences > 0].sum())
    return min(1.0, 2 * float(min(chance[: positive + 1].sum(), chance[positive:].sum())))


def _improvement(a: ScoreArray, b: ScoreArray) -> tuple[float, float | None, float | None]:
    """P(a > b) with its interval: equation (1) of Agarwal et al., but resampling pairs of runs with one seed."""
    n = len(a)
    wins = 0.5 + 0.5 * np.sign(np.round(a[:, None] - b[None, :], 12))  # (n, n)
    drawn = bootstrap.counts(n)
    low, high = bootstrap.interval(((drawn @ wins) * drawn).sum(1) / n**2, n)
    floor = 0.025 ** (1 / n)
    if n > 1 and (wins == 1).all():
        low, high = floor, 1.0
    elif n > 1 and (wins == 0).all():
        low, high = 0.0, 1 - floor
    return float(wins.mean()), low, high


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: rejecting those below 5 % errs at all in 5 % of studies at most.

    Raises:
        InvalidValue: a p-value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise InvalidValue(f"p-values lie in [0, 1]: {list(p_values)}")
    adjusted, running = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = running
    return adjusted


def interquartile_mean(strata: Sequence[Sequence[float]]) -> Summary | None:
    """The mean of the middle half of all runs, robust to a lucky and to a broken run alike.

    A quarter of the runs, rounded down, is cut from each end (:func:`scipy.stats.trim_mean`). The interval
    resamples seeds within each stratum.

    Args:
        strata: accuracies of each stratum's seeds, for example one stratum for each (task, sparsity).

    Returns:
        None for no run. No interval if a stratum has a single seed: nothing says how much that one varies.
    """
    columns = [column(stratum) for stratum in strata if len(stratum)]
    if not columns:
        return None
    n = sum(map(len, columns))
    drawn = [values[bootstrap.resamples(len(values), f"stratum {i}")] for i, values in enumerate(columns)]
    low, high = bootstrap.interval(_middle(np.concatenate(drawn, axis=1)), min(map(len, columns)))
    return Summary(n, float(_middle(np.concatenate(columns)[None])[0]), low, high)


def _middle(values: ScoreArray) -> ScoreArray:
    cut = values.shape[1] // 4
    return np.asarray(np.sort(values, axis=1)[:, cut : values.shape[1] - cut].mean(1))  # (draws,)


def rank_intervals(accuracies: Sequence[Sequence[float]]) -> list[Summary]:
    """Each strategy's mean rank over seeds, 1 = best, ties sharing their mean rank, seeds resampled for the interval.

    Args:
        accuracies: (S, n), strategies x paired seeds.

    Returns:
        (S,) in the order given. No interval for one seed, or for a strategy whose rank is the same on every seed.

    Raises:
        InvalidValue: rows of different length, or of none.
    """
    rows = [column(row) for row in accuracies]
    if len({len(row) for row in rows}) > 1 or (rows and not len(rows[0])):
        raise InvalidValue("ranks need the same seeds, at least one, from every strategy")
    if not rows:
        return []
    table = np.stack(rows)  # (S, n)
    above = np.sign(np.round(table[None] - table[:, None], 12))  # (S, S, n): 1 where the second beats the first
    ranks = 0.5 * (len(rows) + 1) + 0.5 * above.sum(1)  # (S, n)
    n = ranks.shape[1]
    means = bootstrap.counts(n) @ ranks.T / n  # (RESAMPLES, S)
    return [
        Summary(n, float(own.mean()), *bootstrap.interval(sample, n))
        for own, sample in zip(ranks, means.T, strict=True)
    ]


def column(values: Sequence[float]) -> ScoreArray:
    """Values as an array, (n,).

    Raises:
        InvalidValue: one of them is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InvalidValue(f"statistics are over finite values: {array.tolist()}")
    return array
