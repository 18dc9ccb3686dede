"""What benchmarks are made with."""

from __future__ import annotations

from benchmarks.tune import SETTINGS
from ticketsearch.strategies.base import make_strategy


def test_every_strategy_is_tuned_over_as_many_settings() -> None:
    assert {len(settings) for settings in SETTINGS.values()} == {6}
    for name, settings in SETTINGS.items():
        assert len({str(make_strategy(name, own)) for _, own in settings}) == 6
