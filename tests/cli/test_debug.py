"""Errors are one line; with ``--debug`` they come with their tracebacks, the user's own code in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

import ticketsearch
from tests.helpers import tiny


class Broken(nn.Module):
    """Raises in its first training step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise KeyError("a dictionary of the user's\nof two lines")
        return self.layer(x.flatten(1))  # type: ignore[no-any-return]


def task() -> ticketsearch.Task:
    own = tiny.make_task()
    return ticketsearch.Task("broken", Broken, own.train, own.validation, own.test, own.recipe, own.fidelity)


ARGUMENTS = ["--strategy", "magnitude", "--task", "tests.cli.test_debug:task", "--sparsity", "0.5", "--budget", "20ep"]


def test_by_default_one_line(cli: Any, tmp_path: Path) -> None:
    done = cli("run", *ARGUMENTS, "--out", tmp_path)
    assert done.code != 0
    [line] = done.err.strip().splitlines()
    assert line.startswith("ticketsearch: error: ")
    assert "a dictionary of the user's" in line


@pytest.mark.parametrize("how", ["before", "after", "environment"])
def test_on_demand_everything(how: str, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", *ARGUMENTS, "--out", str(tmp_path)]
    if how == "environment":
        monkeypatch.setitem(os.environ, "TICKETSEARCH_DEBUG", "1")
    else:
        words = ["--debug", *words] if how == "before" else [*words, "--debug"]
    done = cli(*words)
    assert done.code != 0
    assert "in forward" in done.err
    assert 'raise KeyError("a dictionary' in done.err
    assert done.err.strip().splitlines()[-1].startswith("ticketsearch: error: ")
    assert done.out == ""


def test_the_help_says_so(cli: Any) -> None:
    assert "--debug" in cli("--help").out
