"""At what multiple of SGD's cost a search reaches what it reaches.

SGD is IMP's whole frontier: of all its settings, the least cost at which the mean accuracy over seeds reaches a value,
interpolated in the logarithm of the cost. The multiple is a search's cost over the frontier's at the search's own
accuracy. Its interval resamples seeds in pairs, for both sides at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ticketsearch.arrays import ScoreArray
from ticketsearch.errors import InvalidValue

DRAWS, SEED = 2000, 0
Points = Sequence[tuple[float, float]]
"""(cost, accuracy)."""
Standing = Literal["on", "below", "above"]


@dataclass(frozen=True)
class Multiple:
    """A search's cost over that of IMP's frontier at the search's mean accuracy.

    Attributes:
        value: the multiple. A lower bound where ``standing`` is ``below``; 0 where it is ``above``.
        low, high: its 95 % interval; None for a single seed.
        standing: of the search's accuracy: ``on`` the frontier; ``below`` its cheapest setting, which is then what the
            cost is over; or ``above`` all of it, so that no cost matches.
        accuracy: the search's, mean over seeds.
        n: seeds that the search and all settings of the frontier have.
        frontier: the points it is interpolated between, the cheapest first.
    """

    value: float
    low: float | None
    high: float | None
    standing: Standing
    accuracy: float
    n: int
    frontier: tuple[tuple[float, float], ...]


def multiple(
    costs: Sequence[float], accuracies: Sequence[float], settings: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> Multiple:
    """Compare a search with IMP.

    Args:
        costs: of the search, (S,) for S seeds.
        accuracies: of the search, (S,).
        settings: of IMP, for each its costs and accuracies on the same seeds in the same order, (S,) each.

    Raises:
        InvalidValue: there is no setting, or one has another number of seeds.
    """
    n = len(costs)
    if not settings or any(len(values) != n for pair in (*settings, (costs, accuracies)) for values in pair):
        raise InvalidValue(f"a multiple of IMP's cost takes at least one setting of IMP, each on all {n} seeds")
    own_costs, own_accuracies = np.asarray(costs, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    all_costs, all_accuracies = (np.array([pair[side] for pair in settings], dtype=np.float64) for side in (0, 1))

    def values(rows: np.ndarray) -> ScoreArray:
        """For resamples of seeds, (R, S)."""
        reached = _least_costs(
            all_costs[:, rows].mean(axis=2).T, all_accuracies[:, rows].mean(axis=2).T, own_accuracies[rows].mean(axis=1)
        )
        found: ScoreArray = own_costs[rows].mean(axis=1) / reached  # over infinity, 0
        return found

    whole = np.arange(n)[None, :]
    value, low, high = float(values(whole)[0]), None, None
    if n > 1:
        draws = np.random.Generator(np.random.PCG64(SEED)).integers(n, size=(DRAWS, n))
        low, high = (float(end) for end in np.quantile(values(draws), [0.025, 0.975]))
    points = frontier(list(zip(all_costs.mean(axis=1).tolist(), all_accuracies.mean(axis=1).tolist(), strict=True)))
    accuracy = float(own_accuracies.mean())
    standing: Standing = "below" if accuracy <= points[0][1] else "above" if accuracy > points[-1][1] else "on"
    return Multiple(value, low, high, standing, accuracy, n, tuple(points))


def frontier(points: Points) -> list[tuple[float, float]]:
    """Of (cost, accuracy) pairs those that no cheaper one, or one as cheap, equals; the cheapest first."""
    best: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best


def frontier_cost(points: Points, accuracy: float) -> float:
    """Cost at which the frontier of some points reaches an accuracy.

    Up to the cheapest point's own accuracy it is that point's cost, an upper bound; infinite if no point reaches it.
    """
    costs, values = (np.array([[point[side] for point in points]]) for side in (0, 1))
    return float(_least_costs(costs, values, np.array([accuracy]))[0])


def _least_costs(costs: ScoreArray, accuracies: ScoreArray, wanted: ScoreArray) -> ScoreArray:
    """Of R frontiers of K points each, (R, K), the cost at which each reaches one accuracy, (R,)."""
    order = np.lexsort((-accuracies, costs), axis=1)
    costs, accuracies = (np.take_along_axis(values, order, axis=1) for values in (costs, accuracies))
    best = np.maximum.accumulate(accuracies, axis=1)
    reached = best >= wanted[:, None]
    first = reached.argmax(axis=1)
    rows = np.arange(len(costs))
    low = best[rows, np.maximum(first - 1, 0)]
    cheap = costs[rows, (best >= low[:, None]).argmax(axis=1)]  # where that best was first had
    dear, high = costs[rows, first], best[rows, first]
    share = np.divide(wanted - low, high - low, out=np.ones_like(low), where=high > low)
    between = np.exp(np.log(cheap) + share * (np.log(dear) - np.log(cheap)))
    found: ScoreArray = np.where(reached.any(axis=1), np.where(first == 0, dear, between), np.inf)
    return found
