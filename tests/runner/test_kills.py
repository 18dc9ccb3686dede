"""Real processes, killed at random moments and started again until they are done.

``TICKETSEARCH_KILLS=50`` asks for more kills than the dozen of the suite.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.commands import ROOT
from tests.helpers.logged import END, LOG
from tests.helpers.runs import outcome
from ticketsearch import Result
from ticketsearch import run as run_here
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import read_record
from ticketsearch.records.results import read_result

KILLS = int(os.environ.get("TICKETSEARCH_KILLS", "2"))
CASES: dict[str, dict[str, Any]] = {
    "imp": {"rounds": 4, "rewind": "5step"},
    "ga": {"population": 4},
    "sa": {"chains": 3},
    "optuna": {"batch": 3},
    "supermask": {},
}
CALLS = {"imp": 14, "ga": 25, "sa": 30, "optuna": 30, "supermask": 10}
"""Of the engine, in a whole run, about."""
BUDGET, SPARSITY = "60ep", 0.8


def start(out: Path, strategy: str, log: Path) -> subprocess.Popen[bytes]:
    settings = [part for key, value in CASES[strategy].items() for part in ("--set", f"{key}={value}")]
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ticketsearch",
            "run",
            "--strategy",
            strategy,
            *settings,
            "--task",
            "tests.helpers.logged:task",
            "--sparsity",
            str(SPARSITY),
            "--budget",
            BUDGET,
            "--orders",
            "2",
            "--out",
            out,
        ],
        cwd=ROOT,
        env={**os.environ, LOG: str(log)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def folder_of(out: Path) -> Path | None:
    return next((path for path in out.iterdir() if path.is_dir()), None) if out.is_dir() else None


def kill_after(process: subprocess.Popen[bytes], log: Path, calls: int, delay: float) -> None:
    """Kill so long after the process has computed so much; at once if it is done before."""
    goal = _text(log).count(END) + calls
    while process.poll() is None and _text(log).count(END) < goal:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.communicate()


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def computed(log: Path) -> list[tuple[str, str, int]]:
    """What was logged; the last line may be half written."""
    lines = [line.split() for line in _text(log).splitlines()]
    return [(line[0], line[1], int(line[2])) for line in lines if len(line) == 3]


def moments(strategy: str) -> list[tuple[int, float]]:
    """When to kill: after how many of the engine's calls, and how many seconds later."""
    rng = np.random.Generator(np.random.PCG64([7, *strategy.encode()]))
    kills = KILLS // len(CASES) + (list(CASES).index(strategy) < KILLS % len(CASES))
    return [(int(rng.integers(0, 2 + CALLS[strategy] // kills)), float(rng.uniform(0, 0.03))) for _ in range(kills)]


@pytest.mark.parametrize("strategy", [name for name in CASES if list(CASES).index(name) < KILLS])
def test_a_run_killed_again_and_again_ends_as_one_left_alone(tmp_path: Path, strategy: str) -> None:
    out, log = tmp_path / "killed", tmp_path / "log"
    recorded: set[tuple[str, str, int]] = set()
    repeated: set[tuple[str, str, int]] = set()
    for moment in [*moments(strategy), None]:
        folder, before = folder_of(out), len(computed(log))
        if folder is not None and (folder / LEDGER).is_file():
            recorded |= {trial.question for trial in read_record(folder / LEDGER).trials}
        process = start(out, strategy, log)
        if moment is None:
            assert process.communicate(timeout=100)[1] == b""
            assert process.returncode == 0
        else:
            kill_after(process, log, *moment)
        repeated |= recorded & set(computed(log)[before:])
    folder = folder_of(out)
    assert folder is not None
    result = read_result(folder)
    # After the search the ticket's mask is scored at several lengths, the search's own among them.
    assert {mask for _, mask, _ in repeated} <= {result.mask_digest}
    whole: Result = run_here(
        strategy,
        tiny.make_task(),
        settings=CASES[strategy],
        sparsity=SPARSITY,
        budget=BUDGET,
        orders=2,
        out=tmp_path / "whole",
    )
    assert outcome(result) == outcome(whole)
    assert result.model_dump(
        include={"curve": {"__all__": {"test_accuracy", "mask_digest"}}, "short_scores": True}
    ) == (whole.model_dump(include={"curve": {"__all__": {"test_accuracy", "mask_digest"}}, "short_scores": True}))
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "ledger.sqlite",
        "result.json",
        "spec.json",
        "ticket.safetensors",
    ]
