"""What the splits of a task are held to: classes to tell apart, and no examples in common."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import ticketsearch
from tests.helpers import tiny
from ticketsearch import Split, Task
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.leaderboard import build, load_study
from ticketsearch.leaderboard.table import label_of
from ticketsearch.report.text import summary


def leaking(validation: int = 0, test: int = 0) -> Task:
    """A task whose later splits have so many of the training examples."""
    task = tiny.make_task()
    splits: dict[str, Any] = {}
    for name, count in (("validation", validation), ("test", test)):
        split: Split = getattr(task, name)
        inputs = split.inputs.clone()
        inputs[:count] = task.train.inputs[5 : 5 + count]
        splits[name] = Split(inputs, split.labels)
    return replace(task, name=f"leaking-{validation}-{test}", **splits)


def run(task: Task, out: Path, strategy: Any = "magnitude") -> ticketsearch.Result:
    return ticketsearch.run(strategy, task, sparsity=0.5, budget="20ep", orders=1, checkpoints=0, out=out)


def test_shared_examples_are_counted() -> None:
    assert tiny.make_task().overlap == {}
    assert leaking(3, 7).overlap == {"train and validation": 3, "train and test": 7, "validation and test": 3}
    task = tiny.make_task()
    same = replace(task, test=task.validation)
    assert same.overlap == {"validation and test": len(task.validation.labels)}


def test_integers_are_compared_as_well() -> None:
    inputs = [torch.arange(start, start + 60).reshape(20, 3) for start in (0, 57, 1000)]
    train, validation, test = (Split(one, torch.arange(20) % 2) for one in inputs)
    task = tiny.make_task()
    recipe = replace(task.recipe, batch_size=5)
    words = Task("words", lambda: torch.nn.Linear(3, 2), train, validation, test, recipe, fidelity=1)
    assert words.overlap == {"train and validation": 1}


def test_a_run_warns_once_and_its_result_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = leaking(test=7)
    results = [
        run(task, tmp_path),
        ticketsearch.run("snip", task, budget="20ep", orders=1, checkpoints=0, out=tmp_path),
    ]
    [line] = [one for one in capsys.readouterr().err.splitlines() if "warning" in one]
    assert line.startswith("ticketsearch: warning: task 'leaking-0-7': train and test share 7 examples")
    assert all(one.overlap == {"train and test": 7} for one in results)
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(summary(results[0]))
    assert "train and test share 7 examples" in console.export_text()
    groups = build(load_study(tmp_path).results)
    assert all(label_of(row).endswith("[overlap]") for group in groups for row in group.rows)


def test_one_class_is_nothing_to_learn() -> None:
    task = tiny.make_task()
    labels = torch.full_like(task.train.labels, 2)
    with pytest.raises(InvalidValue, match=r"all \d+ training examples are of class 2; there is nothing to learn"):
        replace(task, train=Split(task.train.inputs, labels))


def test_when_every_evaluation_diverges_the_error_says_so(tmp_path: Path) -> None:
    task = tiny.make_task(recipe=replace(tiny.RECIPE, learning_rate=1e12))
    with pytest.raises(StrategyError) as caught:
        run(task, tmp_path, "random")
    words = str(caught.value)
    assert words.startswith("all ")
    assert "evaluations of strategy 'random' diverged" in words
    assert "learning rate, which is 1e+12" in words
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (folder / "ledger.sqlite").stat().st_size  # what was computed is kept
