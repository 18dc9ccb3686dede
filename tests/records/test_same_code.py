"""A finished run answers for the same code only, and says when it answers."""

from __future__ import annotations

import importlib
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.runs import Breaking, Crash, crash, folder_of
from ticketsearch import MaskProblem, Result, Task
from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.provenance import code_of_package, source_of
from ticketsearch.strategies.base import make_strategy

TASK = """
import torch
from torch import nn
from tests.helpers import tiny
from ticketsearch import Task

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(8, 12), nn.Linear(12, 3)
        {init}

    def forward(self, x):
        return self.head({activation}(self.first(x.flatten(1))))

def task():
    own = tiny.make_task()
    return Task("edited", Network, own.train, own.validation, own.test, own.recipe, own.fidelity)
"""
STRATEGY = """
from dataclasses import dataclass
from edited_helper import count

@dataclass(frozen=True)
class Mine:
    def search(self, problem):
        problem.evaluate(problem.space.random(problem.n_kept, problem.rng("mine"), count() {more}))
"""
OPTIONS: dict[str, Any] = {"sparsity": 0.5, "budget": "20ep", "orders": 1, "checkpoints": 0}


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Write a module and import it anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: set[str] = set()

    def write(name: str, source: str) -> Any:
        names.add(name)
        (tmp_path / f"{name}.py").write_text(source)
        for other in names:
            sys.modules.pop(other, None)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def task_with(write: Callable[..., Any], activation: str = "torch.relu", init: str = "pass") -> Task:
    made: Task = write("edited_task", TASK.format(activation=activation, init=init)).task()
    return made


def test_a_network_that_computes_something_else_is_another_task(edited: Callable[..., Any]) -> None:
    first = task_with(edited).fingerprint
    assert task_with(edited).fingerprint == first
    others = {
        task_with(edited, activation="torch.square").fingerprint,
        task_with(edited, activation="torch.tanh").fingerprint,
        task_with(edited, init="nn.init.zeros_(self.first.bias)").fingerprint,
        task_with(edited, init="self.first.weight.data *= 2").fingerprint,
        task_with(edited, init="self.head.bias.requires_grad_(False)").fingerprint,
    }
    assert len({first, *others}) == 6


def test_an_edited_network_is_not_answered_by_the_run_before(edited: Callable[..., Any], tmp_path: Path) -> None:
    results = [
        ticketsearch.run("magnitude", task_with(edited, activation=one), out=tmp_path / "runs", **OPTIONS)
        for one in ("torch.relu", "torch.square", "torch.relu")
    ]
    first, square, again = results
    assert first.run == again.run != square.run
    assert first.task_fingerprint != square.task_fingerprint


def test_an_edited_strategy_is_another_run(edited: Callable[..., Any], tmp_path: Path) -> None:
    def result(more: str, helper: str) -> Result:
        edited("edited_helper", helper)
        strategy = edited("edited_strategy", STRATEGY.format(more=more)).Mine()
        return ticketsearch.run(strategy, tiny.make_task(), out=tmp_path / "runs", **OPTIONS)

    plain, two = "def count():\n    return 2\n", "def count():\n    return 3\n"
    first, again = result("", plain), result("", plain)
    assert first.run == again.run
    edited_itself, edited_helper = result("+ 1", plain), result("", two)
    assert len({first.run, edited_itself.run, edited_helper.run}) == 3
    assert [one.trials for one in (first, edited_itself, edited_helper)] == [2, 3, 3]


def test_a_strategy_without_a_file_is_known_by_its_code() -> None:
    def made(count: int) -> type:
        space: dict[str, Any] = {"__name__": "a notebook"}
        exec(f"class Mine:\n    def search(self, problem):\n        return {count}\n", space)
        found: type = space["Mine"]
        return found

    assert source_of(made(1)) == source_of(made(1)) != source_of(made(2))


def test_strategies_of_ours_are_the_package_s() -> None:
    assert source_of(type(make_strategy("ga", {}))) is None
    assert re.fullmatch("[0-9a-f]{16}", code_of_package())


def test_a_ledger_of_other_code_is_refused_and_fresh_begins_anew(tmp_path: Path) -> None:
    def run(**more: Any) -> Result:
        return ticketsearch.run("ga", tiny.make_task(), out=tmp_path, settings={"population": 4}, **OPTIONS, **more)

    with pytest.raises(Crash):
        run(progress=Breaking(4, crash))
    folder = folder_of(tmp_path)
    with sqlite3.connect(folder / LEDGER) as connection:
        connection.execute("UPDATE made SET code = 'another'")
    connection.close()
    with pytest.raises(CorruptRun, match=r"trials were made by other code.*--fresh"):
        run()
    result = run(fresh=True)
    [replaced] = (tmp_path / ".replaced").iterdir()
    assert replaced.name == f"{folder.name}.1"
    assert (replaced / LEDGER).is_file()
    assert Path(result.run) == folder
    assert run(fresh=True).mask_digest == result.mask_digest
    assert len(list((tmp_path / ".replaced").iterdir())) == 2


def test_a_finished_run_says_in_a_line_that_it_is_shown(
    tmp_path: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    result = ticketsearch.run("magnitude", tiny.make_task(), out=tmp_path, **OPTIONS)
    finished = datetime.fromisoformat(result.finished)
    assert abs((datetime.now(UTC) - finished).total_seconds()) < 3600
    capsys.readouterr()
    assert ticketsearch.run("magnitude", tiny.make_task(), out=tmp_path, **OPTIONS) == result
    [line] = capsys.readouterr().err.splitlines()
    assert f"finished on {finished:%Y-%m-%d %H:%M} UTC and is shown, not repeated; --fresh" in line
    words = [
        "run",
        "--strategy",
        "magnitude",
        "--task",
        "tests.helpers.tiny:task",
        "--sparsity",
        "0.5",
        "--budget",
        "20ep",
        "--orders",
        "1",
        "--checkpoints",
        "0",
        "--out",
        tmp_path,
    ]
    shown = cli(*words)
    assert shown.code == 0
    assert "is shown, not repeated" in shown.err
    anew = cli(*words, "--fresh")
    assert "is shown" not in anew.err
    assert (tmp_path / ".replaced" / f"{Path(result.run).name}.1").is_dir()


def test_fresh_moves_nothing_that_is_no_run(tmp_path: Path) -> None:
    result = ticketsearch.run("magnitude", tiny.make_task(), out=tmp_path, **OPTIONS)
    folder = Path(result.run)
    for path in folder.iterdir():
        path.unlink()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(NotARun, match="is not a run"):
        ticketsearch.run("magnitude", tiny.make_task(), out=tmp_path, fresh=True, **OPTIONS)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_result_knows_where_its_task_came_from(cli: Cli, tmp_path: Path) -> None:
    result = ticketsearch.run("magnitude", "tests.helpers.tiny:task", out=tmp_path / "runs", **OPTIONS)
    assert result.task_source == "tests.helpers.tiny:task"
    assert cli("verify", result.run, "--trials", 1).code == 0
    assert cli("export", result.run, "--format", "state-dict", "--output", tmp_path / "t.safetensors").code == 0
    assert ticketsearch.run("magnitude", tiny.make_task(), out=tmp_path / "b", **OPTIONS).task_source is None


@dataclass(frozen=True)
class Drawing:
    """Draws from a global generator, which is fenced for tasks."""

    def search(self, problem: MaskProblem) -> None:
        problem.evaluate(problem.space.random(problem.space.n_kept(problem.sparsity), problem.rng("x"), 2))


def test_probing_leaves_global_generators_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    task = tiny.make_task()
    assert task.fingerprint == tiny.make_task().fingerprint
    assert torch.equal(state, torch.get_rng_state())
    ticketsearch.run(Drawing(), task, out=tmp_path, **OPTIONS)
    assert torch.equal(state, torch.get_rng_state())
