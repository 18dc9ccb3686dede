"""Whether a study can be sent to somebody: by reading it, and by making some of its runs again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Cli
from tests.helpers.small_studies import study
from ticketsearch.leaderboard import LoadedStudy, load_study
from ticketsearch.leaderboard.soundness import drawn, soundness_of
from ticketsearch.leaderboard.studies import write_archive
from ticketsearch.records.results import Result
from ticketsearch.studies.again import Repeated, repeat
from ticketsearch.studies.execution import compute


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LoadedStudy:
    out = tmp_path_factory.mktemp("sound") / "runs"
    imp = {"name": "imp", "rounds": 2, "round_steps": "20%"}
    compute(study(out, strategies=["random", imp], fidelity="4step..8step", controls=["shuffle-mask"], budget="40ep"))
    return load_study(out)


def changed(result: Result, **values: Any) -> Result:
    """With another accuracy, in all places that say it."""
    accuracy = values.pop("accuracy", None)
    if accuracy is not None:
        confirmation = result.confirmation.model_copy(
            update={"test_accuracy": accuracy, "test_accuracies": [accuracy] * result.orders}
        )
        values |= {"test_accuracy": accuracy, "confirmation": confirmation}
    return result.model_copy(update=values)


def test_what_is_complete_and_comes_out_again_is_sound(made: LoadedStudy) -> None:
    sample = drawn(made, 99)
    assert {one.run for one in sample} == {one.run for one in made.results}
    found = soundness_of(made, [repeat(one) for one in sample])
    assert [line for one in found.sample for line in one.differences] == []
    assert found.sound
    assert found.contents == ["tiny at 0.9: 2 lines of 2 strategies, 2 seeds"]
    assert found.made_by["engine"] == {"sparse on cpu": 4}


def test_a_sample_is_the_same_for_the_same_runs_wherever_they_lie(made: LoadedStudy, tmp_path: Path) -> None:
    write_archive(tmp_path / "a.json.gz", made)
    for size in (0, 1, 2):
        names = [Path(one.run).name for one in drawn(made, size)]
        assert len(names) == size
        assert [one.run for one in drawn(load_study(tmp_path / "a.json.gz"), size)] == names


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"accuracy": 0.99}, "test accuracy was 99.00 %, is "),
        ({"mask_digest": "0" * 16}, "another mask"),
        ({"task_fingerprint": "0" * 16}, "data, network or recipe differ"),
        ({"strategy": "gone"}, "cannot be made here: .*gone"),
    ],
)
def test_a_run_that_is_not_what_it_says_is_found_by_making_it_again(
    made: LoadedStudy, change: dict[str, Any], says: str
) -> None:
    forged = changed(made.results[0], **change)
    found = soundness_of(made, [repeat(forged)])
    [line] = found.sample[0].differences[:1]
    assert re.search(says, line), line
    assert not found.sound


def test_missing_seeds_failures_and_second_outcomes_are_named(made: LoadedStudy) -> None:
    less = soundness_of(replace(made, results=made.results[1:]), [])
    assert [line.split(" lacks ")[1] for line in less.gaps] == [f"seed {made.results[0].seed}"]
    twice = changed(made.results[0], run=made.results[0].run + "~abc123", accuracy=0.5)
    assert "in it 2 times" in soundness_of(replace(made, results=[*made.results, twice]), []).faults[0]
    assert "unfinished: 3" in soundness_of(replace(made, unfinished=3), []).faults[0]
    assert not any(one.sound for one in (less, soundness_of(replace(made, problems=["x is damaged"]), [])))
    agreeing = Repeated("a", 0.5, 0.5, [])
    assert soundness_of(made, [agreeing]).sound


def test_the_command_says_it_and_exits_accordingly(made: LoadedStudy, cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "mine.json.gz"
    write_archive(archive, made)
    shown = cli("verify", archive, "--sample", "2", "--json")
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert found["sound"]
    assert len(found["sample"]) == 2
    assert "2 of 4 runs are made again" in shown.err
    write_archive(archive, replace(made, results=made.results[1:]))
    shown = cli("verify", archive, "--sample", "0")
    assert shown.code == 1
    assert "missing: tiny at 0.9: " in shown.out
    assert shown.out.splitlines()[-1].startswith("not sound")


@pytest.mark.parametrize(
    ("place", "option", "says"),
    [("run", "--sample", "is for an archive"), ("archive", "--trials", "are for one run")],
)
def test_options_of_the_other_kind_are_refused(
    made: LoadedStudy, cli: Cli, tmp_path: Path, place: str, option: str, says: str
) -> None:
    write_archive(tmp_path / "a.json.gz", made)
    where = made.results[0].run if place == "run" else tmp_path / "a.json.gz"
    shown = cli("verify", where, option, "1")
    assert shown.code == 2
    assert says in shown.err
