"""Fixtures of the whole suite: a cache of its own, the command line in this process, a hypothesis profile."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

# Before PyTorch and the kernels are imported: threads of two workers would wait for each other, and what one of them
# compiles is loaded by all, and by their processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "numba")

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.helpers import images, tiny
from tests.helpers.commands import Cli, Outcome
from ticketsearch import MaskProblem, Task
from ticketsearch.system import cores

settings.register_profile("house", derandomize=True, deadline=None, max_examples=15)
settings.load_profile("house")


LONGEST = (
    "cluster/test_ray",
    "test_examples",
    "test_contract",
    "test_any_network",
    "test_kills",
    "test_status",
    "test_patience",
)
"""Files that take longest, and so begin first."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a tenth of the time, tests wait for processes that wait for something."""
    return cores() + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first. (A file's tests share a worker: what they have in common is made once.)"""
    places = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: min((places[name] for name in LONGEST if name in item.nodeid), default=len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is read from, or written to, the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKETSEARCH_CACHE", str(folder))
        patch.delenv("TICKETSEARCH_DATA", raising=False)
        _compile_once()
        yield folder


def _compile_once() -> None:
    """Kernels that all tests need are compiled by one worker, and those that some need by another; all load them."""
    from ticketsearch.engine import make_engine
    from ticketsearch.engine.jit import cache_folder

    folder, worker = cache_folder(), os.environ.get("PYTEST_XDIST_WORKER", "")
    if folder is None or not worker:
        return
    wide = replace(tiny.RECIPE, batch_size=100)
    kinds: dict[str, Callable[[], Task]] = {
        "wide": lambda: tiny.make_task(recipe=wide),
        "convolution": images.conv2,
        "narrow": tiny.make_task,
    }
    for name in ["narrow"] if worker == "gw0" else kinds:
        with FileLock(folder / f"{name}.lock"):
            if not (folder / name).exists():
                make_engine(kinds[name](), engine="sparse", workers=1).warm_up()
                (folder / name).touch()


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
