"""What benchmarks compute from results, on cases that can be solved by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.black_box import frontier_cost
from benchmarks.tune import SETTINGS
from ticketsearch.strategies.base import make_strategy


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
    points = [(1.0, 0.5), (10.0, 0.6), (5.0, 0.45), (20.0, 0.58)]  # the last two are worth nothing
    assert frontier_cost(points, accuracy) == pytest.approx(cost)


def test_every_strategy_is_tuned_over_as_many_settings() -> None:
    assert {len(settings) for settings in SETTINGS.values()} == {6}
    for name, settings in SETTINGS.items():
        assert len({str(make_strategy(name, own)) for _, own in settings}) == 6
