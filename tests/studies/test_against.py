"""One's own strategies on what others were measured on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Cli
from tests.helpers.small_studies import study
from ticketsearch import compare
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard import load_study
from ticketsearch.leaderboard.studies import published, write_archive
from ticketsearch.records.results import Result
from ticketsearch.studies.against import grids_against
from ticketsearch.studies.execution import compute
from ticketsearch.studies.study import Grid, make_study

TASK = "tests.helpers.tiny:task"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search on two seeds at two sparsities, and magnitude with another budget, on three."""
    folder = tmp_path_factory.mktemp("published")
    grid = {"sparsities": [0.8, 0.9], "checkpoints": 0, "fidelity": "4step..8step"}
    compute(study(folder / "runs", strategies=["random"], **grid))
    compute(study(folder / "runs", strategies=["magnitude"], budget="99ep", seeds=[0, 1, 2], **grid))
    write_archive(folder / "theirs.json.gz", load_study(folder / "runs"))
    return folder / "theirs.json.gz"


def asked(**keys: Any) -> Grid:
    return make_study("test", {"grids": [{"strategies": ["snip"]} | keys]}).grids[0]


def test_a_study_is_of_the_kind_that_most_searches_were(archive: Path) -> None:
    first, second = grids_against(load_study(archive).results, asked())
    assert first == {
        "strategies": [{"name": "snip"}],
        "tasks": [{"name": TASK, "settings": {}}],
        "sparsities": [0.8],
        "granularity": "weight",
        "keep": [],
        "seeds": [0, 1, 2],
        "budget": "12ep",
        "fidelity": "4step..8step",
        "orders": 1,
        "checkpoints": 0,
        "controls": [],
        "baselines": False,
    }
    assert second == first | {"sparsities": [0.9]}


def test_without_a_search_it_is_that_of_most_runs(archive: Path) -> None:
    others = [one for one in load_study(archive).results if one.strategy == "magnitude"]
    [grid] = grids_against(others, asked(sparsities=[0.9]))
    assert grid["budget"] == "99ep"


def test_a_control_that_all_of_them_had_is_asked_for(archive: Path) -> None:
    results = load_study(archive).results

    def controlled(some: bool) -> list[Result]:
        return [
            one.model_copy(update={"references": {**one.references, "shuffle-mask": one.confirmation}})
            for one in results
            if one.strategy == "random" and (some or one.seed == 0)
        ]

    for these, expected in ((controlled(True), ["shuffle-mask"]), (controlled(False) + results, [])):
        grids = grids_against(these, asked())
        assert [grid["controls"] for grid in grids] == [expected, expected]


def test_what_is_asked_for_chooses_and_replaces(archive: Path) -> None:
    results = load_study(archive).results
    [grid] = grids_against(results, asked(sparsities=[0.9], seeds="1-5", budget="7ep", orders=2, tasks=["tiny"]))
    assert (grid["seeds"], grid["budget"], grid["orders"], grid["fidelity"]) == ([1, 2], "7ep", 2, "4step..8step")
    assert grid["tasks"] == [{"name": TASK, "settings": {}}]


@pytest.mark.parametrize(
    "keys",
    [{"tasks": ["mnist1d-mlp"]}, {"sparsities": [0.5]}, {"seeds": [7]}, {"tasks": [{"name": TASK, "width": 3}]}],
)
def test_what_is_not_there_is_an_error_that_says_what_is(archive: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match=r"there are tiny at 0\.8, tiny at 0\.9; seeds 0 to 2"):
        grids_against(load_study(archive).results, asked(**keys))


def test_the_command_makes_one_s_own_runs_and_reports_them_among_the_others(
    archive: Path, cli: Cli, tmp_path: Path
) -> None:
    own = ("--strategies", "snip,random", "--sparsities", "0.9", "--against", archive, "--out", tmp_path / "mine")
    plan = cli("compare", *own, "--dry-run")
    assert plan.out.splitlines()[-1].startswith(
        "6 runs (2 strategies, 3 seeds), 2 of them finished, the others at most "
    )
    shown = cli("compare", *own, "--json", "--archive", tmp_path / "all.json.gz")
    assert shown.code == 0, shown.err
    made = Counter(load_study(path.parent).results[0].strategy for path in tmp_path.glob("mine/*/result.json"))
    assert made == {"snip": 3, "random": 1}  # the archive has two of random
    document = json.loads(shown.out)
    [group] = document["groups"]
    seeds = {row["strategy"]: len(row["seeds"]) for row in group["rows"]}
    assert (group["sparsity"], seeds) == (0.9, {"snip": 3, "random": 3, "magnitude": 3})
    assert [one["sparsity"] for one in document["sections"]] == [0.9]
    assert len(load_study(tmp_path / "all.json.gz").results) == 9

    text = cli("compare", *own).out
    place = 1 + [row["strategy"] for row in group["rows"]].index("snip")
    assert f"snip is {place}{('st', 'nd', 'rd')[place - 1]} of 3 on tiny at 0.9, with " in text


def test_in_python_too(archive: Path, tmp_path: Path) -> None:
    found = compare("snip", against=archive, sparsities=0.8, seeds=0, out=tmp_path / "mine")
    assert Counter(one.strategy for one in found) == {"snip": 1, "random": 2, "magnitude": 3}
    assert {one.sparsity for one in found} == {0.8}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sparsities", "0.9"), "name them, --strategies a,b"),
        (("--strategies", "snip", "--sparsities", "0.5"), "there are tiny at 0.8, tiny at 0.9"),
        (("--strategies", "snip", "--task-set", "width=3"), "--task-set needs --tasks"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    archive: Path, cli: Cli, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    shown = cli("compare", *arguments, "--against", archive, "--out", tmp_path / "mine")
    assert (shown.code, shown.out) == (2, "")
    assert says in shown.err
    assert not (tmp_path / "mine").exists()


def test_a_study_file_says_itself_what_to_run(archive: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("seeds = [0]\n")
    shown = cli("compare", tmp_path / "study.toml", "--against", archive)
    assert shown.code == 2
    assert "says itself on what to run; leave it out, or --against" in shown.err


@pytest.mark.parametrize("name", published())
def test_a_published_study_has_what_a_verdict_needs(name: str, cli: Cli) -> None:
    study = load_study(name)
    assert not study.problems
    seeds = {result.seed for result in study.results}
    assert len(seeds) >= 10
    groups = json.loads(cli("report", name, "--json").out)["groups"]
    for group in groups:
        assert {"imp", "random", "magnitude"} <= {row["strategy"] for row in group["rows"]}
        assert all(set(row["seeds"]) == seeds for row in group["rows"])
    assert {"shuffle-mask"} <= {name for result in study.results for name in result.references}
