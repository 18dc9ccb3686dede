"""How far one gets without looking at the inputs."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import ticketsearch
from tests.helpers import tiny
from ticketsearch import Result, Split, Task
from ticketsearch.report.text import summary


def with_labels(train: torch.Tensor, test: torch.Tensor) -> Task:
    task = tiny.make_task()
    return replace(task, train=Split(task.train.inputs, train), test=Split(task.test.inputs, test))


def shown(result: Result) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(summary(result))
    return console.export_text()


def test_the_majority_is_that_of_training_measured_on_test(tmp_path: Path) -> None:
    task = tiny.make_task()
    train = torch.arange(len(task.train.labels)) % 3
    train[: len(train) // 2] = 2
    test = torch.zeros(len(task.test.labels), dtype=torch.long)
    test[: 7 * len(test) // 10] = 2
    uneven = with_labels(train, test)
    assert uneven.majority == pytest.approx(float((test == 2).double().mean()))
    assert uneven.n_classes == 2
    options = {"sparsity": 0.5, "budget": "20ep", "orders": 1, "checkpoints": 0}
    result = ticketsearch.run("magnitude", uneven, out=tmp_path, **options)  # type: ignore[arg-type]
    assert result.majority_test_accuracy == uneven.majority
    assert f"is right for {100 * uneven.majority:.2f} % of the test split" in shown(result)


def test_of_even_classes_nothing_is_said(tmp_path: Path) -> None:
    task = tiny.make_task()
    even = with_labels(torch.arange(len(task.train.labels)) % 3, torch.arange(len(task.test.labels)) % 3)
    result = ticketsearch.run("magnitude", even, sparsity=0.5, budget="20ep", orders=1, checkpoints=0, out=tmp_path)
    assert result.n_classes == 3
    assert "unbalanced" not in shown(result)
