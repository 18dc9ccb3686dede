"""Runs that were made elsewhere are taken from there, if they answer exactly what is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Cli
from tests.helpers.small_studies import study
from ticketsearch import Result
from ticketsearch.leaderboard import load_study
from ticketsearch.studies.execution import compute
from ticketsearch.studies.forecast import untimed
from ticketsearch.studies.known import Known

OTHER: dict[str, dict[str, Any]] = {
    "seed": {"seeds": [5]},
    "parameter": {"strategies": [{"name": "random", "batch": 3}]},
    "sparsity": {"sparsities": [0.7]},
    "budget": {"budget": "13ep"},
    "fidelity": {"fidelity": 7},
    "rising fidelity": {"fidelity": "10step..12step"},
    "confirmation": {"orders": 3},
    "control": {"controls": ["shuffle-mask"]},
    "layers": {"keep": ["output"]},
    "data": {"tasks": ["tests.helpers.tiny:residual"]},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "runs"
    compute(study(out, strategies=["random", "magnitude"], seeds=[0], baselines=True))
    return out


def known(made: Path, out: Path, **changes: Any) -> tuple[list[Any], list[str]]:
    """What a study finds, and the names of the runs that it made."""
    plan, there = study(out, **changes), load_study(made)
    found = compute(plan, ahead=untimed(plan, Known.of(there.results, there.baselines, plan)))
    assert not [one.reason for one in found if one.result is None]
    return found, sorted(path.parent.name for path in out.glob("*/result.json"))


def test_what_is_there_is_not_made_again(made: Path, tmp_path: Path) -> None:
    found, folders = known(made, tmp_path / "out", strategies=["random", "magnitude"], seeds=[0, 1], baselines=True)
    assert len(found) == 6
    assert len(folders) == 2
    assert all("seed1" in name for name in folders)
    assert len(list((tmp_path / "out" / "baselines").glob("*.json"))) == 1
    taken = [one.result for one in found if isinstance(one.result, Result) and one.result.seed == 0]
    assert {one.run for one in taken} == {str(path.parent) for path in made.glob("*/result.json")}


@pytest.mark.parametrize("what", OTHER)
def test_what_was_asked_otherwise_is_made(made: Path, tmp_path: Path, what: str) -> None:
    _, folders = known(made, tmp_path / "out", **({"strategies": ["random"], "seeds": [0]} | OTHER[what]))
    assert len(folders) == 1


def test_a_curve_of_other_points_is_of_the_same_search(made: Path, tmp_path: Path) -> None:
    for checkpoints in (0, 2, 20):
        _, folders = known(made, tmp_path / str(checkpoints), strategies=["random"], seeds=[0], checkpoints=checkpoints)
        assert folders == []
    bare = tmp_path / "bare"
    compute(study(bare, strategies=["random"], seeds=[0], checkpoints=0))
    assert len(known(bare, tmp_path / "out", strategies=["random"], seeds=[0])[1]) == 1  # it has none


def test_another_engine_s_are_made_only_if_it_is_asked_for(made: Path, tmp_path: Path) -> None:
    there = load_study(made)
    for engine, expected in (("auto", 0), ("dense", 1)):
        plan = study(tmp_path / engine, strategies=["random"], seeds=[0]).model_copy(update={"engine": engine})
        compute(plan, ahead=untimed(plan, Known.of(there.results, there.baselines, plan)))
        assert len(list((tmp_path / engine).glob("*/result.json"))) == expected


def test_from_the_command_line_an_archive_and_what_is_new_add_up(made: Path, cli: Cli, tmp_path: Path) -> None:
    archive, out = tmp_path / "published.json.gz", tmp_path / "mine"
    assert cli("report", made, "--archive", archive).code == 0
    grid = ("--tasks", "tests.helpers.tiny:task", "--sparsities", "0.9", "--budget", "12ep", "--orders", "1")
    more = ("--no-controls", "--no-frontier", "--seeds", "0")
    shown = cli("compare", "--strategies", "random,snip", *grid, *more, "--from", archive, "--out", out, "--json")
    assert shown.code == 0, shown.err
    [folder] = out.glob("*/result.json")
    assert "snip" in folder.parent.name
    [group] = json.loads(shown.out)["groups"]
    assert sorted(row["strategy"] for row in group["rows"]) == ["random", "snip"]
    board = json.loads(cli("report", archive, out, "--json").out)["groups"][0]["rows"]
    assert sorted(row["strategy"] for row in board) == ["magnitude", "random", "snip"]
