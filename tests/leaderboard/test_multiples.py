"""Multiples of IMP's cost, on cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.multiples import DRAWS, SEED, frontier, frontier_cost, multiple

POINTS = [(1.0, 0.5), (10.0, 0.6), (5.0, 0.45), (20.0, 0.58)]  # the last two are worth nothing


@pytest.mark.parametrize(
    ("accuracy", "cost"),
    [
        (0.4, 1.0),  # the cheapest is an upper bound
        (0.5, 1.0),
        (0.55, math.sqrt(10.0)),  # half of the way, in the logarithm of the cost
        (0.6, 10.0),
        (0.7, math.inf),
    ],
)
def test_the_frontier_is_the_least_cost_at_which_an_accuracy_is_reached(accuracy: float, cost: float) -> None:
    assert frontier_cost(POINTS, accuracy) == pytest.approx(cost)


def test_of_points_as_cheap_the_better_one_counts() -> None:
    assert frontier([*POINTS, (1.0, 0.55)]) == [(1.0, 0.55), (10.0, 0.6)]
    assert frontier_cost([*POINTS, (1.0, 0.55)], 0.55) == 1.0


def constant(points: list[tuple[float, float]], n: int) -> list[tuple[list[float], list[float]]]:
    return [([cost] * n, [accuracy] * n) for cost, accuracy in points]


@pytest.mark.parametrize(
    ("accuracy", "standing", "value"),
    [(0.55, "on", 100 / math.sqrt(10.0)), (0.5, "below", 100.0), (0.2, "below", 100.0), (0.61, "above", 0.0)],
)
def test_a_multiple_is_the_cost_over_the_frontier_s_there(accuracy: float, standing: str, value: float) -> None:
    found = multiple([100.0] * 3, [accuracy] * 3, constant(POINTS, 3))
    assert (found.standing, found.n) == (standing, 3)
    assert (found.value, found.low, found.high) == pytest.approx((value, value, value))  # no seed differs
    assert found.frontier == ((1.0, 0.5), (10.0, 0.6))


def test_its_interval_resamples_the_seeds_of_both_sides_in_pairs() -> None:
    """A search on IMP's own curve, seed by seed: whatever is drawn, its cost is twice IMP's."""
    costs = [2.0, 4.0, 8.0, 16.0]
    paired = multiple(costs, [0.5, 0.6, 0.7, 0.8], [([cost / 2 for cost in costs], [0.5, 0.6, 0.7, 0.8])])
    assert (paired.value, paired.low, paired.high) == pytest.approx((2.0, 2.0, 2.0))
    drawn = np.random.Generator(np.random.PCG64(SEED)).integers(4, size=(DRAWS, 4))
    expected = [np.mean([costs[seed] for seed in row]) / 3 for row in drawn]  # IMP costs 3 on every seed
    apart = multiple(costs, [0.5] * 4, constant([(3.0, 0.5)], 4))
    assert (apart.low, apart.high) == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))


def test_one_seed_has_no_interval_and_unpaired_seeds_are_refused() -> None:
    alone = multiple([6.0], [0.5], constant([(3.0, 0.5)], 1))
    assert (alone.value, alone.low, alone.high) == (2.0, None, None)
    with pytest.raises(InvalidValue, match="each on all 2 seeds"):
        multiple([1.0, 1.0], [0.5, 0.5], constant([(3.0, 0.5)], 1))
    with pytest.raises(InvalidValue, match="at least one setting"):
        multiple([1.0], [0.5], [])
