from __future__ import annotations

import pytest

from ticketsearch import errors
from ticketsearch.errors import TicketsearchError, UnknownName


def test_an_unknown_name_comes_with_the_nearest_ones() -> None:
    assert str(UnknownName("task", "mnst1d-mlp", ["mnist1d-mlp", "mnist-lenet", "zebra"])) == (
        "unknown task 'mnst1d-mlp'; did you mean 'mnist1d-mlp' or 'mnist-lenet'?"
    )


def test_without_a_near_one_all_are_listed() -> None:
    assert str(UnknownName("task", "qqq", ["b", "a"])) == "unknown task 'qqq'; known: a, b"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 2),
        ("UnknownName", 2),
        ("InvalidValue", 2),
        ("MissingData", 2),
        ("NotARun", 2),
        ("PluginError", 1),
        ("StrategyError", 1),
        ("CorruptRun", 1),
        ("RunInUse", 1),
        ("StorageError", 1),
        ("BudgetExhausted", 1),
        ("SearchStalled", 1),
        ("TimeLimitReached", 1),
    ],
)
def test_the_tree_is_the_one_drawn_and_decides_the_exit_status(name: str, code: int) -> None:
    error: type[TicketsearchError] = getattr(errors, name)
    assert issubclass(error, TicketsearchError)
    assert error.exit_code == code
    assert f" {name} " in str(errors.__doc__)
