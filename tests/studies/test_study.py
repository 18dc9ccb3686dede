"""Studies: what they plan, that one failure is a record, that nothing finished is repeated."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.commands import ROOT, Cli
from tests.helpers.recorder import Recorder
from tests.helpers.small_studies import GRID, study
from ticketsearch import Result, Task
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, UsageError
from ticketsearch.masks.ticket import Ticket
from ticketsearch.records.study_records import Baseline, read_baseline, read_failures
from ticketsearch.report.plan import plan_in_full, plan_in_words
from ticketsearch.runner.confirm import confirm
from ticketsearch.runner.progress import quiet
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.strategies.imp import IterativeMagnitudePruning
from ticketsearch.strategies.magnitude import Magnitude
from ticketsearch.studies.baseline import MASKS, measure_baseline
from ticketsearch.studies.execution import compute
from ticketsearch.studies.study import FRONTIER, Planned, PlannedBaseline, make_study, planned, read_study

FAILING = {"name": "imp", "round_steps": "99ep"}
"""More than the budget, which only the search finds out."""


def test_a_study_is_every_strategy_task_sparsity_and_seed_once() -> None:
    same = {"name": "ga", "population": 24}  # the default, written out
    values = GRID | {"sparsities": [0.8, 0.9], "strategies": ["ga", {"name": "ga", "population": 8}, same]}
    items = planned(make_study("test", {"grids": [values, values]}))
    assert len(items) == len(set(map(str, items))) == 2 * 2 * 2
    assert all(isinstance(item, Planned) and item.strategy == "ga" for item in items)
    assert [item.seed for item in items] == [0] * 4 + [1] * 4  # pairs first


def test_eighteen_runs_are_eighteen_runs() -> None:
    grid = {"strategies": ["imp", "ga", "sa"], "seeds": "0-2", "sparsities": [0.8, 0.9]}
    items = planned(make_study("test", {"grids": [grid]}))
    assert sum(isinstance(item, Planned) for item in items) == 18
    assert plan_in_words(items) == "18 runs (3 strategies, 2 sparsities, 3 seeds) and 6 baselines"
    lines = plan_in_full(items).splitlines()
    assert lines[0] == "mnist1d-mlp 0.8 imp: seeds 0-2, 2000ep each"
    assert lines[3] == "mnist1d-mlp 0.8 baseline: seeds 0-2"
    assert len(lines) == 2 * 4


def test_options_override_what_a_study_file_says_in_each_of_its_grids(tmp_path: Path, cli: Cli) -> None:
    text = 'seeds = "0-2"\ntasks = ["tests.helpers.tiny:task"]\nbaselines = false\n'
    text += (
        '[[grid]]\nstrategies = ["random"]\nsparsities = [0.8, 0.9]\n[[grid]]\nstrategies = ["snip"]\nbudget = "30ep"\n'
    )
    (tmp_path / "study.toml").write_text(text)
    shown = cli("compare", tmp_path / "study.toml", "--seeds", "5", "--budget", "7ep", "--dry-run")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[:-1] == [
        "tests.helpers.tiny:task 0.8 random: seed 5, 7ep each",
        "tests.helpers.tiny:task 0.9 random: seed 5, 7ep each",
        "tests.helpers.tiny:task 0.9 snip: seed 5, 7ep each",
    ]
    refused = cli("compare", tmp_path / "study.toml", "--sparsities", "1.5")
    assert refused.code == 2
    assert "sparsities" in refused.err


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "runs"
    shown = cli("compare", "--strategies", "ga", "--seeds", "1,3,4", "--no-controls", "--out", out, "--dry-run")
    assert shown.code == 0, shown.err
    row, summary = shown.out.splitlines()
    assert row == "mnist1d-mlp 0.9 ga: seeds 1, 3-4, 2000ep each"
    assert re.fullmatch(r"3 runs \(3 seeds\), at most about [\d.]+ (s|min|h)", summary)
    assert not out.exists()


def test_the_frontier_is_part_of_a_study_if_asked_for_and_baselines_unless_switched_off() -> None:
    grid = {"strategies": ["ga"], "seeds": "0-2", "frontier": True}
    items = planned(make_study("test", {"grids": [grid]}))
    assert len(items) == 3 * (1 + len(FRONTIER) + 1)
    runs = [item for item in items if isinstance(item, Planned)]
    assert all(run.controls == ("reinitialise", "shuffle-mask", "shuffle-weights") for run in runs)
    assert sum(isinstance(item, PlannedBaseline) for item in items) == 3
    sweep = {
        (run.settings["scope"], run.settings["rounds"], run.settings["round_steps"])
        for run in runs
        if run.strategy == "imp"
    }
    assert len(sweep) == len(FRONTIER) == 18


def test_a_study_file_has_shared_keys_and_grids(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        'out = "here"\nseeds = "0-1,5"\nbudget = "9ep"\nfrontier = false\nbaselines = false\n'
        '[[grid]]\nstrategies = ["ga"]\n'
        '[[grid]]\nstrategies = [{ name = "imp", rounds = 3 }]\nbudget = "30ep"\nsparsities = [0.5]\n'
    )
    found = read_study(path)
    assert found.out == "here"
    first, second = found.grids
    assert (first.seeds, first.budget, second.budget, second.sparsities) == ([0, 1, 5], "9ep", "30ep", [0.5])
    assert second.strategies[0].settings == {"rounds": 3}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("seeds = ", "not TOML"),
        ('seeds = "9-1"', "9-1"),
        ("seeds = [-1]", "seeds"),
        ("seeds = [true]", r"seeds\.0"),
        ("seeds = [1.0]", r"seeds\.0"),
        ("orders = true", "orders"),
        ("sparsities = [false]", "a truth value is not a number"),
        ('frontier = "no"', "frontier"),
        ("fidelity = true", "fidelity"),
        ("budget = 5", "budget"),
        ('budget = "5"', "budget '5'"),
        ("sparsities = [1.0]", "sparsities"),
        ("sparsity = [0.5]", "sparsity"),
        ("strategies = []", "strategies"),
        ("strategies = [3]", "strategies"),
        ("grid = 3", "grids are tables"),
        ("[[grid]]\nnope = 1", "nope"),
        ("orders = 0", "orders"),
        ('controls = ["nope"]', "nope"),
        ('strategies = ["gaa"]', "did you mean 'ga'"),
        ('strategies = [{name = "ga", populatoin = 3}]', "population"),
        ('fidelity = "x"', "fidelity"),
        ("grids = []", r"\[\[grid\]\]"),
        ('where = "here"', "where"),
    ],
)
def test_a_bad_study_is_named_with_its_place(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=match):
        read_study(path)


def test_a_study_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="cannot be read"):
        read_study(tmp_path / "nothing.toml")


def test_a_failure_is_a_record_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    plan = study(tmp_path / "out", strategies=["random", FAILING, "magnitude"])
    found = compute(plan, tell=lambda one: told.append(one.reason))
    assert [one.result is None for one in found] == [False, True, False] * 2
    assert "the budget is 12ep" in found[1].reason
    assert [bool(reason) for reason in told] == [False, True, False] * 2
    failures = read_failures(tmp_path / "out")
    assert [(f.strategy, f.settings, f.seed) for f in failures] == [("imp", {"round_steps": "99ep"}, s) for s in (0, 1)]
    compute(study(tmp_path / "out"))
    assert read_failures(tmp_path / "out") == failures  # another study's, not tried by this one
    monkeypatch.setattr(IterativeMagnitudePruning, "search", lambda self, problem: Magnitude().search(problem))
    assert [one.reason for one in compute(plan)] == [""] * 6
    assert read_failures(tmp_path / "out") == []


def test_a_damaged_record_of_failures_is_named_and_left(tmp_path: Path) -> None:
    plan = study(tmp_path / "out", strategies=[FAILING])
    compute(plan)
    path = tmp_path / "out" / "failures.json"
    damaged = path.read_bytes().replace(b"budget is", b"budget was", 1)
    path.write_bytes(damaged)
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(CorruptRun, match=r"failures\.json is damaged: .*; move it away"):
        compute(plan)
    assert path.read_bytes() == damaged
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_a_fault_in_one_run_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Magnitude.search

    def search(self: Any, problem: Any) -> Any:
        if problem.rng("x").integers(2**60) == stream(1, "strategy", "x").integers(2**60):  # seed 1
            raise ZeroDivisionError("no luck")
        return original(self, problem)

    monkeypatch.setattr(Magnitude, "search", search)
    found = compute(study(tmp_path))
    assert [one.result is None for one in found] == [False, False, False, True]
    assert "no luck" in found[3].reason


def test_finished_runs_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compute(study(tmp_path))
    folders = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}
    assert len(folders) == 4
    again = compute(study(tmp_path, seeds=[0, 1, 2]))
    assert [one.result for one in again[:4]] == [one.result for one in first]
    assert all(path.stat().st_mtime_ns == then for path, then in folders.items())


def test_results_do_not_depend_on_the_number_of_jobs(tmp_path: Path) -> None:
    told = [Recorder(), Recorder()]
    one, two = (
        compute(study(tmp_path / str(jobs), baselines=True), jobs=jobs, callbacks=[seen])
        for jobs, seen in enumerate(told, 1)
    )

    def essence(found: Any) -> list[Any]:
        return [
            (result.test_accuracies if isinstance(result, Baseline) else (result.mask_digest, result.test_accuracy))
            for result in (finished.result for finished in found)
        ]

    assert essence(one) == essence(two)
    assert len(one) == 6
    assert told[0].by_run == told[1].by_run
    assert len(told[0].by_run) == len(told[0].results) == len(told[1].results) == 4
    assert told[0].processes == told[1].processes == {os.getpid()}
    with pytest.raises(InvalidValue, match="jobs 0"):
        compute(study(tmp_path), jobs=0)


def test_a_study_stopped_halfway_goes_on_to_the_same_end(tmp_path: Path) -> None:
    def stop(_: Any) -> None:
        if len(list((tmp_path / "stopped").glob("*/result.json"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(study(tmp_path / "stopped"), tell=stop)
    found, whole = (compute(study(tmp_path / name)) for name in ("stopped", "whole"))
    times = {"run", "ticket", "cost", "curve", "confirmation", "references", "finished", "files"}
    first, second = (
        [one.result and one.result.model_dump(exclude=times) for one in results] for results in (found, whole)
    )
    assert first == second


def dying() -> Task:
    """A task under which a worker dies, as if the machine had run out of memory."""
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return tiny.make_task()


def test_a_process_that_dies_is_a_record_too(tmp_path: Path) -> None:
    plan = study(
        tmp_path, tasks=["tests.studies.test_study:dying", "tests.helpers.tiny:task"], seeds=[0], strategies=["random"]
    )
    found = compute(plan, jobs=2)
    by_task = {one.item.task: one for one in found}
    assert "process died" in by_task["tests.studies.test_study:dying"].reason
    again = compute(study(tmp_path, seeds=[0], strategies=["random"]), jobs=2)
    assert again[0].result is not None


def test_a_baseline_is_random_masks_and_the_dense_network_with_the_whole_budget(tmp_path: Path) -> None:
    task = tiny.make_task()
    setup = Setup.of(task, tiny.dense_engine(task), seed=4)
    found = measure_baseline(setup, 0.9, 12.0, 10, tmp_path)
    space = setup.units.space
    masks = space.random(space.n_kept(0.9), stream(4, "baseline", "masks"), MASKS)
    for row in (0, MASKS - 1):
        alone = confirm(setup, [Ticket(masks[row])] * 2, "", quiet)
        assert found.order_accuracies[row] == pytest.approx(alone.record.test_accuracies)
        assert found.test_accuracies[row] == pytest.approx(alone.record.test_accuracy)
    problem = tiny.make_problem(10_000, task=task, seed=4)
    for steps, scores in found.short_scores.items():
        assert scores == [float(score) for score in problem.evaluate(masks, steps)]
        assert found.evaluation_epochs[steps] == pytest.approx(problem.evaluation_cost(steps))
    long = tiny.make_task(recipe=tiny.RECIPE.lasting(120))  # 12 epochs of 10 steps
    long_setup = Setup.of(long, tiny.dense_engine(long), seed=4)
    dense = confirm(long_setup, [Ticket(np.ones(space.size, dtype=bool))] * 5, "", quiet)
    spread = np.ptp(dense.record.test_accuracies) + 0.1
    assert found.dense_budget_test_accuracy == pytest.approx(dense.record.test_accuracy, abs=spread)
    [path] = (tmp_path / "baselines").iterdir()
    assert read_baseline(path) == found == measure_baseline(setup, 0.9, 12.0, 10, tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptRun, match="damaged"):
        measure_baseline(setup, 0.9, 12.0, 10, tmp_path)


def test_the_command_compares_and_reports_what_failed(cli: Cli, tmp_path: Path) -> None:
    options: list[str | Path] = [
        "--tasks",
        "tests.helpers.tiny:task",
        "--seeds",
        "0-1",
        "--budget",
        "12ep",
        "--orders",
        "1",
        "--no-frontier",
    ]
    options += ["--out", tmp_path / "runs", "--no-controls"]
    good = cli("compare", "--strategies", "random,magnitude", *options, "--json")
    assert good.code == 0
    [group] = json.loads(good.out)["groups"]
    assert sorted(row["strategy"] for row in group["rows"]) == ["magnitude", "random"]
    assert all(row["seeds"] == [0, 1] for row in group["rows"])
    assert "[4/4]" in good.err
    wrong = cli("compare", "--strategies", "random,rondam", *options)
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
    path = tmp_path / "s.toml"
    path.write_text(
        'strategies = ["random", { name = "imp", round_steps = "99ep" }]\ntasks = ["tests.helpers.tiny:task"]\n'
        'seeds = [0, 1]\nbudget = "12ep"\norders = 1\nfrontier = false\nbaselines = false\ncontrols = []\n'
    )
    bad = cli("compare", path, "--out", tmp_path / "runs")
    assert bad.code == 1
    assert "tiny at sparsity 0.9" in bad.out
    assert bad.err.count("the budget is 12ep") == 4  # as they end, and at the end


def test_a_study_file_is_run_where_an_option_says(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        'tasks = ["tests.helpers.tiny:task"]\nstrategies = ["random"]\nseeds = [0]\nbudget = "12ep"\norders = 1\n'
        "frontier = false\nbaselines = false\ncontrols = []\n"
    )
    alone = cli("compare", path, "--out", tmp_path / "runs")
    assert alone.code == 0
    assert isinstance(json.loads(next((tmp_path / "runs").glob("*/result.json")).read_text()), dict)
    assert isinstance(compute(read_study(path).model_copy(update={"out": str(tmp_path / "runs")}))[0].result, Result)


def test_the_study_of_the_documentation_and_ours_are_studies() -> None:
    mine = read_study(ROOT / "docs" / "examples" / "study.toml")
    assert {item.task for item in planned(mine)} == {"mnist1d-mlp", "mnist-lenet"}
    for path in (ROOT / "benchmarks" / "studies").glob("*.toml"):
        assert len(planned(read_study(path))) >= {"search-cost": 100}.get(path.stem, 1)
