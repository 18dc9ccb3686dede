"""Fixtures of the whole suite: a cache of its own, the command line in this process, a hypothesis profile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import tiny
from tests.helpers.commands import ROOT, Cli, Outcome
from ticketsearch import MaskProblem, Task

settings.register_profile("house", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is read from, or written to, the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKETSEARCH_CACHE", str(folder))
        patch.setenv("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))  # compiled once, for all workers
        patch.delenv("TICKETSEARCH_DATA", raising=False)
        yield folder


@pytest.fixture(scope="session")
def tiny_task() -> Task:
    return tiny.make_task()


@pytest.fixture
def problem() -> MaskProblem:
    return tiny.make_problem()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process, through the console script's entry point."""
    from ticketsearch.cli import main

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ticketsearch", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return run
