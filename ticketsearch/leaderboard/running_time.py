"""What a target costs: expected running time, its ratio between strategies, and the share of targets solved.

After Hansen et al., "COCO: performance assessment" (arXiv:1603.08785). The expected running time (ERT) of a target
is all cost spent, by runs that hit it up to their hit and by runs that did not up to their end, over the number of
hits: the mean cost of restarting the strategy until it hits.

Its interval. Runs that all miss, or all hit, look alike to a bootstrap, which would then call their ERT certain.
Here every draw therefore weighs the runs *and one imaginary run* (exponential weights: the Bayesian bootstrap of
Rubin, 1981). For the lower bound it is a hit, as cheap as the cheapest one seen, free if none was; for the upper
bound it is a miss that spent as much as the dearest run. The weight of the hits is then Beta(k + 1, n - k) and
Beta(k, n - k + 1) distributed for k hits in n runs, so that their 2.5 % tails are exactly Clopper and Pearson's
limits of the chance to hit: where costs are equal, the interval is theirs, and where they vary, their spread comes
on top. Ten misses in ten runs of cost c so give [2.2 c, inf], ten hits of cost c [c, 1.4 c].
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np

from ticketsearch.arrays import ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard import bootstrap
from ticketsearch.leaderboard.statistics import column

FRACTIONS = tuple(step / 10 for step in range(1, 11))
"""Of the gap between random masks and iterative magnitude pruning, at which targets are set."""
TAIL = (1 - bootstrap.LEVEL) / 2
ROUNDING = 1e-9
"""An accuracy this little short of a target is the target, rounded: accuracies are multiples of 1 / examples."""


@dataclass(frozen=True)
class Curve:
    """A run as an anytime curve.

    Attributes:
        costs: at which each checkpoint's accuracy was there to be had, ascending, in one currency.
        values: the checkpoints' *confirmed* accuracies; they may fall.
        spent: all the run cost, at least the last checkpoint's.
    """

    costs: tuple[float, ...]
    values: tuple[float, ...]
    spent: float

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InvalidValue: lengths differ, costs descend or are negative, or ``spent`` is below them.
        """
        if len(self.costs) != len(self.values):
            raise InvalidValue(f"a curve has one value for each cost, not {len(self.values)} for {len(self.costs)}")
        steps = column((0.0, *self.costs, self.spent))
        column(self.values)
        if (np.diff(steps) < 0).any():
            raise InvalidValue(f"costs ascend from 0 to what the run spent, not {steps[1:].tolist()}")

    @cached_property
    def best(self) -> tuple[float, ...]:
        """The highest value up to each checkpoint."""
        return tuple(accumulate(self.values, max))


@dataclass(frozen=True)
class RunningTime:
    """ERT of one target: ``inf`` without a hit. (``low``, ``high``) is its 95 % interval, None for under two runs."""

    ert: float
    successes: int
    runs: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ratio:
    """ERT of one strategy over another's: below 1, the first is cheaper.

    Attributes:
        value: None where both are infinite or both are zero.
        low, high: 95 % interval; None if either strategy has fewer than two runs.
        seeds: in common.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int


def first_hit(curve: Curve, target: float) -> float | None:
    """Cost of the first checkpoint that reached the target; None if none did (the run is censored at ``spent``)."""
    place = bisect_left(curve.best, target - ROUNDING)
    return curve.costs[place] if place < len(curve.costs) else None


def held(curve: Curve) -> Curve:
    """The curve of what the run never fell below again, at the same costs: the least of each value and all later ones.

    A search does not see its confirmed accuracy, so it cannot stop at a lucky checkpoint. The first hit of a curve
    with many noisy checkpoints flatters it; the first hit of the held curve does not.
    """
    lowest = np.minimum.accumulate(np.asarray(curve.values, dtype=np.float64)[::-1])[::-1]
    return replace(curve, values=tuple(lowest.tolist()))


def expected_running_time(curves: Sequence[Curve], target: float) -> RunningTime:
    """ERT of a target over runs of one strategy; no runs: ``inf``, without interval."""
    runs = _Runs.of(curves, target)
    low = high = None
    if len(curves) > 1:
        low, high = _interval(*(tuple(column.tolist()) for column in (runs.cost, runs.hit, runs.spent)))
    return RunningTime(runs.ert(), int(runs.hit.sum()), len(curves), low, high)


@lru_cache(maxsize=1 << 16)  # neighbouring targets are hit by the same checkpoints, and frontiers are searched often
def _interval(cost: tuple[float, ...], hit: tuple[float, ...], spent: tuple[float, ...]) -> tuple[float, float]:
    runs = _Runs(np.array(cost), np.array(hit), np.array(spent))
    drawn, places = bootstrap.weights(len(cost) + 1), range(len(cost) + 1)
    least, most = runs.draws(drawn, places)
    return _lower(least), _upper(most)


def ratio_of_running_times(a: Mapping[int, Curve], b: Mapping[int, Curve], target: float) -> Ratio:
    """ERT(a) / ERT(b) of a target, runs given by seed: the price at which the two break even.

    Runs with a common seed share their weights; the others, and each strategy's imaginary run, have their own. For the
    lower bound that of ``a`` hits and that of ``b`` misses, for the upper bound the other way round.
    """
    runs_a, runs_b = _Runs.of(list(a.values()), target), _Runs.of(list(b.values()), target)
    common = len(a.keys() & b.keys())
    low = high = None
    if min(len(a), len(b)) > 1:
        seeds = {seed: place for place, seed in enumerate(sorted(a.keys() | b.keys()), start=2)}
        drawn = bootstrap.weights(len(seeds) + 2)
        of_a, of_b = ([own, *map(seeds.__getitem__, curves)] for own, curves in enumerate((a, b)))
        least_a, most_a = runs_a.draws(drawn, of_a)
        least_b, most_b = runs_b.draws(drawn, of_b)
        low = _lower(_divide(least_a, most_b, unknown=0.0))
        high = _upper(_divide(most_a, least_b, unknown=math.inf))
    value = float(_divide(np.array([runs_a.ert()]), np.array([runs_b.ert()]), unknown=math.nan)[0])
    return Ratio(None if math.isnan(value) else value, low, high, common)


@dataclass(frozen=True)
class _Runs:
    """Runs before one target: ``cost`` up to the hit or the end, whether ``hit``, cost at the end; each (n,)."""

    cost: ScoreArray
    hit: ScoreArray
    spent: ScoreArray

    @classmethod
    def of(cls, curves: Sequence[Curve], target: float) -> _Runs:
        hits = [first_hit(curve, target) for curve in curves]
        spent = np.array([curve.spent for curve in curves], dtype=np.float64)
        cost = np.array([end if hit is None else hit for hit, end in zip(hits, spent, strict=True)], dtype=np.float64)
        return cls(cost, np.array([hit is not None for hit in hits], dtype=np.float64), spent)

    def ert(self) -> float:
        return float(self.cost.sum() / self.hit.sum()) if self.hit.any() else math.inf

    def draws(self, drawn: ScoreArray, places: Sequence[int]) -> tuple[ScoreArray, ScoreArray]:
        """ERT under weights if the imaginary run hits, and if it misses; (draws,) each.

        Args:
            drawn: (draws, at least 1 + n).
            places: their columns, of the imaginary run and of each run.
        """
        cheapest = self.cost[self.hit == 1].min(initial=self.spent.max() if self.hit.any() else 0.0)
        columns = np.zeros((drawn.shape[1], 4))
        columns[places, 0] = [cheapest, *self.cost]
        columns[places, 1] = [1.0, *self.hit]
        columns[places, 2] = [self.spent.max(), *self.cost]
        columns[places, 3] = [0.0, *self.hit]
        least, successes, most, fewest = (drawn @ columns).T
        return _divide(least, successes, unknown=math.inf), _divide(most, fewest, unknown=math.inf)


def _divide(a: ScoreArray, b: ScoreArray, unknown: float) -> ScoreArray:
    """Quotients; ``unknown`` for 0 / 0 and inf / inf, infinite for anything else over 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = np.asarray(a / b)
    quotients[np.isnan(quotients)] = unknown
    return quotients


def _lower(draws: ScoreArray) -> float:
    """The quantile at or below the tail's end: not interpolated, since some draws may be infinite."""
    place = math.floor(TAIL * (len(draws) - 1))
    return float(np.partition(draws, place)[place])  # what np.quantile does, without its checks


def _upper(draws: ScoreArray) -> float:
    place = math.ceil((1 - TAIL) * (len(draws) - 1))
    return float(np.partition(draws, place)[place])


def ecdf(curves: Sequence[Curve], targets: Sequence[float], grid: Sequence[float]) -> ScoreArray:
    """Fraction of (run, target) pairs solved within each cost of the grid, (G,). Censored pairs are never solved.

    Raises:
        InvalidValue: no curve or no target.
    """
    if not curves or not targets:
        raise InvalidValue("the share of solved pairs needs at least one run and one target")
    hits = [first_hit(curve, target) for curve in curves for target in targets]
    costs = np.sort([math.inf if hit is None else hit for hit in hits])
    return np.searchsorted(costs, column(grid), side="right") / len(costs)


def targets(random: Sequence[float], imp: Sequence[float], fractions: Sequence[float] = FRACTIONS) -> tuple[float, ...]:
    """Accuracies at fractions of the gap from random masks to iterative magnitude pruning (IMP), averaged over seeds.

    Args:
        random: accuracies of random masks.
        imp: IMP's, of the same seeds in the same order.
        fractions: of the gap; 1 is IMP's mean.

    Raises:
        InvalidValue: not as many of one as of the other, none at all, or IMP on average not above random masks.
    """
    if len(random) != len(imp) or not len(random):
        raise InvalidValue(f"targets need pairs of random and IMP, seed by seed; here are {len(random)} and {len(imp)}")
    low, high = float(column(random).mean()), float(column(imp).mean())
    if not high - low > ROUNDING:
        raise InvalidValue(
            f"IMP ({high:.4f}) is not above random masks ({low:.4f}) on average: there is no gap to set targets in; "
            "train longer, or compare at a higher sparsity"
        )
    return tuple((1 - fraction) * low + fraction * high for fraction in fractions)
