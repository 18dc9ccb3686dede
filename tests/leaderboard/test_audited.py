"""A report adds up what every run spent, from the run's own ledger."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers import tiny
from ticketsearch.leaderboard import load_study
from ticketsearch.records.folder import LEDGER, digests_of
from ticketsearch.records.ledger import Ledger, Trial, read_record
from ticketsearch.records.results import read_result, write_result


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("honest")
    options: dict[str, Any] = {"sparsity": 0.9, "budget": "20ep", "orders": 1, "checkpoints": 0}
    return Path(ticketsearch.run("ga", tiny.make_task(), out=out, settings={"population": 4}, **options).run)


@pytest.fixture
def folder(honest: Path, tmp_path: Path) -> Path:
    shutil.copytree(honest, tmp_path / "runs" / honest.name)
    return tmp_path / "runs" / honest.name


def forge(folder: Path, change: Callable[[list[Trial]], list[Trial]]) -> None:
    """Another ledger, whose seals and digest are as they should be."""
    trials = change(read_record(folder / LEDGER).trials)
    (folder / LEDGER).unlink()
    with Ledger(folder / LEDGER) as ledger:
        ledger.append(trials)
    write_result(folder, read_result(folder).model_copy(update={"files": digests_of(folder)}))


def cheaper_trial(trials: list[Trial]) -> list[Trial]:
    """One evaluation at half its price, and all costs after it by as much lower."""
    paid = trials[3].after - trials[3].before
    rebate = replace(
        paid,
        train_examples=paid.train_examples // 2,
        forward_examples=0,
        dense_flops=0,
        sparse_flops=0,
        trainings=0,
        wall_s=0.0,
        cpu_s=0.0,
        engine_s=0.0,
        strategy_s=0.0,
    )
    own = [replace(trials[3], after=trials[3].after - rebate)]
    later = [replace(one, before=one.before - rebate, after=one.after - rebate) for one in trials[4:]]
    return [*trials[:3], *own, *later]


def free_flops(trials: list[Trial]) -> list[Trial]:
    last = trials[-1]
    return [*trials[:-1], replace(last, after=replace(last.after, dense_flops=last.before.dense_flops))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cheaper_trial, r"trial 3 \(evaluate, 10\) was not charged its price"),
        (free_flops, "the FLOPs of trial"),
        (lambda trials: trials[:-1], "its ledger has"),
    ],
)
def test_a_forged_ledger_is_named_and_its_run_left_out(
    change: Callable[[list[Trial]], list[Trial]], said: str, folder: Path
) -> None:
    assert len(load_study(folder.parent).results) == 1
    forge(folder, change)
    study = load_study(folder.parent)
    assert study.results == []
    [problem] = study.problems
    assert str(folder) in problem
    assert re.search(said, problem), problem


def test_a_result_of_other_costs_than_its_ledger(folder: Path) -> None:
    result = read_result(folder)
    cost = result.cost.model_copy(update={"train_examples": result.cost.train_examples - 30})
    write_result(folder, result.model_copy(update={"cost": cost}))
    [problem] = load_study(folder.parent).problems
    assert "are not those of" in problem
    assert "do not sum to what it spent" in problem
