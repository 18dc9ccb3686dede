"""What a reader must know of a run's tickets, and results that contradict themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.results import COST, LAYERS, result
from ticketsearch.leaderboard import build, load_study
from ticketsearch.leaderboard.studies import write_archive
from ticketsearch.leaderboard.table import label_of
from ticketsearch.records.folder import SPEC
from ticketsearch.records.results import faults_of, write_result
from ticketsearch.report.text import markdown


def test_foreign_starts_and_held_weights_are_flagged_and_explained() -> None:
    [group] = build([result("plain"), result("foreign", start="foreign"), result("both", start="foreign", held=True)])
    labels = {row.strategy: label_of(row) for row in group.rows}
    assert "[" not in labels["plain"]
    assert labels["foreign"].endswith("[foreign start]")
    assert labels["both"].endswith("[foreign start] [held]")
    text = markdown([group])
    assert "[held]: pruned weights are held at other values than zero" in text
    assert "nobody can say what they were trained on" in text
    assert "[held]" not in markdown(build([result("plain")]))


def test_one_flagged_run_flags_its_row() -> None:
    [group] = build([result(seed=0), result(seed=1, held=True)])
    assert [row.marks for row in group.rows] == [["held"]]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"cost": COST | {"epochs": 100.5}}, "cost 100.5ep of a budget of 100ep"),
    ({"n_units": 246, "n_units_kept": 26}, "keeps 26 of 246 units at sparsity 0.9"),
    ({"n_kept": 30}, "its layers keep 25 weights, not 30"),
    ({"layers": [*LAYERS, {"name": "b", "shape": [2, 2], "kept": 5, "density": 1.25}], "n_kept": 30}, "more weights"),
    ({"test_accuracy": 0.61}, "not the mean"),
]


@pytest.mark.parametrize(("changes", "said"), FAULTS)
def test_results_that_contradict_themselves_are_named_and_left_out(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    wrong, sound = result("wrong", **changes), result("sound", n_units=246, n_units_kept=25)
    assert not list(faults_of(sound))
    assert said in "; ".join(faults_of(wrong))
    for one in (wrong, sound):
        folder = tmp_path / "runs" / one.strategy
        folder.mkdir(parents=True)
        (folder / SPEC).write_text("{}")
        write_result(folder, one)
    study = load_study(tmp_path / "runs")
    assert [one.strategy for one in study.results] == ["sound"]
    [problem] = study.problems
    assert said in problem
    assert "left out" in problem
    assert str(tmp_path / "runs" / "wrong") in problem
    study.results.append(wrong)
    write_archive(tmp_path / "study.json", study)
    again = load_study(tmp_path / "study.json")
    assert [one.strategy for one in again.results] == ["sound"]
    assert any(said in problem for problem in again.problems)


def test_the_mean_of_several_trainings_is_compared(tmp_path: Path) -> None:
    one = json.loads(result().model_dump_json())
    one["confirmation"]["test_accuracies"] = [0.5, 0.7]
    assert not list(faults_of(result(confirmation=one["confirmation"])))
    one["confirmation"]["test_accuracies"] = [0.5, 0.8]
    assert any("mean" in fault for fault in faults_of(result(confirmation=one["confirmation"])))
