from __future__ import annotations

from types import ModuleType

import pytest

from tests.helpers.commands import python
from ticketsearch import leaderboard


@pytest.mark.parametrize("name", leaderboard.__all__)
def test_public_names_resolve_and_hide_no_module(name: str) -> None:
    assert not isinstance(getattr(leaderboard, name), ModuleType)


def test_public_names_are_sorted_and_listed_once() -> None:
    assert leaderboard.__all__ == sorted(set(leaderboard.__all__))


def test_importing_the_statistics_loads_neither_scipy_nor_torch() -> None:
    code = (
        "import sys, ticketsearch.leaderboard;"
        "print({name.partition('.')[0] for name in sys.modules} & {'scipy', 'torch'})"
    )
    assert python("-c", code).stdout.strip() == "set()"
