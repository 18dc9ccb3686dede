"""Limits on plug-ins are of seconds of a processor: a busy machine breaks no honest one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ROOT, Cli
from ticketsearch.plugins.patience import PATIENCE, Allowance, run_limited
from ticketsearch.testing.limits import TimeLimit, time_limit


class Clocks:
    """Time that goes by as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.computed = self.waited = 0.0
        monkeypatch.setattr("ticketsearch.plugins.patience.time.monotonic", lambda: self.wall)

    def allowance(self, *, blind: bool = False) -> Allowance:
        return Allowance(10.0, lambda: None if blind else self.computed, lambda: self.waited)


def test_what_computes_is_ended_at_the_limit_whatever_the_wall_says(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    allowance = clocks.allowance()
    clocks.computed, clocks.wall, clocks.waited = 9.9, 2000.0, 1990.0  # others held the processor
    assert not allowance.over
    clocks.computed = 10.0
    assert allowance.over


def test_what_sleeps_is_ended_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    allowance = clocks.allowance()
    clocks.wall = 10 * PATIENCE - 0.1
    assert not allowance.over
    clocks.wall = 10 * PATIENCE
    assert allowance.over


def test_where_the_system_says_nothing_the_wall_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    allowance = clocks.allowance(blind=True)
    clocks.computed, clocks.wall = 100.0, 29.0
    assert not allowance.over
    clocks.wall = 30.0
    assert allowance.over


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(1000)"])
def test_processes_that_do_not_end_are_ended(code: str) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run_limited([sys.executable, "-c", f"print('begun', flush=True)\n{code}"], 0.4, environment=os.environ)
    assert caught.value.output == "begun\n"


def test_processes_get_their_input_and_their_output_is_whole() -> None:
    code = "import sys, time; text = sys.stdin.read(); time.sleep(0.3); print(text[::-1] * 50000); sys.exit(3)"
    done = run_limited([sys.executable, "-c", code], 10, environment=os.environ, text="abc")
    assert (done.returncode, done.stdout) == (3, "cba" * 50000 + "\n")


def test_blocks_are_ended_too() -> None:
    with pytest.raises(TimeLimit, match=r"within 0\.2 s of a processor"), time_limit(0.2):
        sum(iter(lambda: 1, 0))
    with pytest.raises(TimeLimit), time_limit(0.2):
        time.sleep(100)
    with time_limit(0.2):
        sum(range(1000))


SOURCE = '''
from dataclasses import dataclass
from ticketsearch import Ticket
import tests.helpers.tiny

@dataclass(frozen=True)
class Mine:
    """Random masks.

    Attributes:
        count: masks.
    """

    count: int = 3

    def search(self, problem):
        rng = problem.rng("mine")
        problem.evaluate([problem.space.random(problem.n_kept, rng) for _ in range(self.count)])

@dataclass(frozen=True)
class Wrong(Mine):
    def search(self, problem):
        return Ticket(problem.space.random(problem.n_kept + 1, problem.rng("x")))

instance = Mine(4)

def task():
    return tests.helpers.tiny.make_task()
'''


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine:Mien", "has no attribute 'Mien'"),
        ("no_such_module:Mine", "No module named 'no_such_module'"),
        ("gaa", "did you mean 'ga'"),
        ("mine:", "unknown"),
        ("a b:c", "unknown"),
    ],
)
def test_what_is_not_there_is_bad_input(
    name: str, words: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = cli("check", name)
    assert done.code == 2, done.out
    [line] = done.err.strip().splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        pytest.param("mine:Mine", [], marks=pytest.mark.slow),  # tests/test_examples.py has a sound one too
        ("mine:Wrong", ["exact-count"]),
        pytest.param("mine:task", [], marks=pytest.mark.slow),
    ],
)
def test_what_is_not_installed_is_checked_by_its_place(name: str, fails: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ticketsearch", "check", name, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["failures"] == fails, done.stdout
    assert done.returncode == bool(fails)


def test_settings_reach_what_is_not_installed(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = cli("check", "mine:Mine", "--set", "count=many")
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1)
    assert "count" in done.err
    assert cli("check", "mine:Mine", "--set", "nobody").code == 2
