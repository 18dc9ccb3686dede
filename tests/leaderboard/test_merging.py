"""Studies put together: associative, in any order, nothing lost, conflicts named."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.analyses import run
from ticketsearch import Result
from ticketsearch.leaderboard import build, merged
from ticketsearch.leaderboard.studies import LoadedStudy, load_study, write_archive
from ticketsearch.records.study_records import Baseline, Failure

if TYPE_CHECKING:
    from tests.helpers.commands import Cli


def made(strategy: str, seed: int, place: str = "", accuracy: float = 0.5, finished: str = "2026-01-01") -> Result:
    one = run(strategy, seed, (9.0, accuracy, 0.2), budget=1000.0)
    name = f"{place}/{strategy}-{seed}" if place else f"{strategy}-{seed}"
    return one.model_copy(update={"run": name, "finished": finished})


def failed(strategy: str, seed: int, **changes: object) -> Failure:
    values = {"task": "tiny", "sparsity": 0.9, "budget": "1000ep", "reason": "no luck", "settings": {}}
    return Failure(strategy=strategy, seed=seed, **(values | changes))  # type: ignore[arg-type]


def baseline(seed: int) -> Baseline:
    return Baseline(
        task="tiny",
        task_fingerprint="f1",
        sparsity=0.9,
        seed=seed,
        budget=9.0,
        fidelity=10,
        short_scores={10: [0.1]},
        evaluation_epochs={10: 1.0},
        test_accuracies=[0.3],
        dense_budget_test_accuracy=0.8,
    )


STUDIES = (
    LoadedStudy([made("imp", 0), made("imp", 1)], [baseline(0)], [failed("ga", 0), failed("ga", 1)], unfinished=1),
    LoadedStudy([made("imp", 1, "there", finished="2025-12-31"), made("ga", 0)], [baseline(0), baseline(1)]),
    LoadedStudy([made("imp", 0, "elsewhere", 0.7), made("ga", 2)], [], [failed("ga", 1)], ["a line"]),
)


def essence(study: LoadedStudy) -> object:
    names = [Path(one.run).name for one in study.results]
    values = [one.model_dump(exclude={"run", "ticket"}) for one in study.results]
    return names, values, study.baselines, study.failures, sorted(study.problems), study.unfinished


def test_the_order_and_the_steps_make_no_difference() -> None:
    whole = essence(merged(STUDIES))
    for one, other, third in itertools.permutations(STUDIES):
        assert essence(merged([one, other, third])) == whole
        assert essence(merged([merged([one, other]), third])) == whole
        assert essence(merged([one, merged([other, third])])) == whole
    assert essence(merged([merged(STUDIES), *STUDIES[1:]]))[:4] == whole[:4]  # type: ignore[index]


def test_what_is_the_same_counts_once_and_the_first_to_finish_is_kept() -> None:
    study = merged(STUDIES[:2])
    assert [Path(one.run).name for one in study.results] == ["ga-0", "imp-0", "imp-1"]
    assert study.results[-1].finished == "2025-12-31"
    assert study.problems == []
    assert len(study.baselines) == 2


def test_a_conflict_is_named_and_nothing_is_lost() -> None:
    study = merged(STUDIES)
    mine = [one for one in study.results if Path(one.run).name.startswith("imp-0")]
    assert len(mine) == 2
    assert {round(one.test_accuracy, 1) for one in mine} == {0.5, 0.7}
    [line] = [line for line in study.problems if line != "a line"]
    assert "run imp-0 has more than one outcome (" in line
    assert all(f"{100 * one.test_accuracy:.2f} %" in line for one in mine)
    [group] = build(study.results)
    row = next(row for row in group.rows if row.strategy == "imp")
    assert row.seeds == [0, 1]
    assert len(row.runs) == 2  # one of the two counts


def test_what_failed_here_and_is_finished_there_is_no_failure() -> None:
    assert [one.seed for one in merged(STUDIES).failures] == [1]
    other = LoadedStudy([], [], [failed("ga", 0, settings={"population": 3})])
    assert len(merged([other, STUDIES[1]]).failures) == 1  # by another setting


def test_a_study_alone_stays_as_it_is() -> None:
    assert merged(STUDIES[:1]) is STUDIES[0]


def test_archives_add_up(tmp_path: Path, cli: Cli) -> None:
    paths = []
    for number, study in enumerate(STUDIES):
        paths.append(tmp_path / f"{number}.json.gz")
        write_archive(paths[-1], study)
    whole = tmp_path / "all.json.gz"
    shown = cli("report", *paths, "--json", "--archive", whole)
    assert shown.code == 1
    assert "run imp-0 has more than one outcome" in shown.err
    assert len(load_study(whole).results) == 5
    again = cli("report", whole, paths[0], "--json")
    assert json.loads(again.out)["groups"] == json.loads(shown.out)["groups"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_folder_and_an_archive_of_it_are_one_study(cli: Cli, tmp_path: Path, order: tuple[int, int]) -> None:
    task = ("--task", "tests.helpers.tiny:task", "--budget", "30ep")
    for strategy in ("magnitude", "random"):
        assert cli("run", *task, "--strategy", strategy, "--out", tmp_path / "runs").code == 0
    archive = tmp_path / "a.json.gz"
    alone = cli("report", tmp_path / "runs", "--json", "--archive", archive)
    places = [tmp_path / "runs", archive]
    both = cli("report", *(places[index] for index in order), "--json")
    assert both.code == 0, both.err
    assert [len(row["seeds"]) for row in json.loads(both.out)["groups"][0]["rows"]] == [1, 1]
    assert len(json.loads(alone.out)["groups"][0]["rows"]) == 2
