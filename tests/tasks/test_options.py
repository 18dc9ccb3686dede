"""Options of tasks: keyword parameters of the function that makes one, the same words everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.helpers import tiny
from tests.helpers.commands import Cli
from ticketsearch import DataSource, Task, load_task, run
from ticketsearch.errors import InvalidValue, PluginError, UnknownName
from ticketsearch.records.spec import read_spec
from ticketsearch.records.study_records import read_failures
from ticketsearch.report.commands import command_of
from ticketsearch.runner.verify import verify_run
from ticketsearch.studies.execution import compute
from ticketsearch.studies.study import make_study, planned, read_study

HERE = "tests.tasks.test_options"


def blobs(
    source: DataSource,
    *,
    steps: int,
    rate: float | None = None,
    kind: Literal["plain", "odd"] = "plain",
    widths: tuple[int, ...] = (12, 10),
) -> Task:
    """Blobs of options.

    Args:
        source: where data sets lie.
        steps: of the recipe,
            all of them.
        kind: of task.
    """
    from dataclasses import replace

    assert isinstance(source, DataSource)
    recipe = replace(tiny.RECIPE, steps=steps, learning_rate=rate or 0.1)
    network = tiny.NETWORK if kind == "plain" else tiny.batch_norm_network
    assert all(isinstance(width, int) for width in widths)
    return tiny.make_task(network, recipe, f"{HERE}:blobs", fidelity=5)


def unspeakable(*, what: object = print) -> Task:
    return tiny.make_task()


def positional(width: int = 4) -> Task:
    return tiny.make_task(fidelity=width)


COMPLETE = {"steps": 20, "rate": None, "kind": "plain", "widths": [12, 10]}


def test_options_are_read_as_their_types_and_completed_with_defaults() -> None:
    assert load_task(f"{HERE}:blobs", options={"steps": "20"}).options == COMPLETE
    given = load_task(f"{HERE}:blobs", options={"steps": 7, "rate": "0.25", "kind": "odd", "widths": [3]})
    assert given.options == {"steps": 7, "rate": 0.25, "kind": "odd", "widths": [3]}
    assert (given.recipe.steps, given.recipe.learning_rate) == (7, 0.25)
    assert load_task(f"{HERE}:positional", options={"width": 3}).fidelity == 3
    assert load_task("tests.helpers.tiny:task").options == {}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, InvalidValue, "needs option steps: --task-set steps=VALUE"),
        ({"steps": "many"}, InvalidValue, "steps = 'many': input should be a valid integer"),
        ({"steps": 5, "kind": "even"}, InvalidValue, "kind = 'even': input should be 'plain' or 'odd'"),
        ({"steps": 5, "rate": float("inf")}, InvalidValue, "rate = inf: it should be a finite number"),
        ({"stesp": 5}, UnknownName, "unknown option of task .*did you mean 'steps'"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        load_task(f"{HERE}:blobs", options=options)


def test_a_task_without_options_and_one_with_unspeakable_ones_say_so() -> None:
    with pytest.raises(UnknownName, match="known: label_noise, label_noise_kind"):
        load_task("tests.helpers.tiny:task", options={"size": 3})
    with pytest.raises(PluginError, match="options must be JSON values"):
        load_task(f"{HERE}:unspeakable")
    with pytest.raises(InvalidValue, match="a Task is made already"):
        run("random", tiny.make_task(), task_options={"size": 3})


def test_a_run_keeps_its_task_s_options_and_is_repeated_and_verified_with_them(tmp_path: Path, cli: Cli) -> None:
    words = ["run", "--strategy", "magnitude", "--task", f"{HERE}:blobs", "--sparsity", "0.5", "--budget", "30ep"]
    options = ["--task-set", "steps=20", "--task-set", "kind=odd"]
    shown = cli(*words, *options, "--orders", "1", "--checkpoints", "0", "--out", tmp_path, "--json")
    assert shown.code == 0, shown.err
    expected = COMPLETE | {"kind": "odd"}
    assert json.loads(shown.out)["task_options"] == expected
    folder = Path(json.loads(shown.out)["run"])
    assert read_spec(folder).task_options == expected
    assert verify_run(folder).agrees
    found = run(
        "magnitude",
        f"{HERE}:blobs",
        task_options={"kind": "odd", "steps": 20},
        sparsity=0.5,
        budget="30ep",
        orders=1,
        checkpoints=0,
        out=tmp_path,
    )
    assert Path(found.run) == folder  # the same run, read back
    command = command_of(found)
    assert "--task-set steps=20 --task-set rate=none --task-set kind=odd --task-set 'widths=[12, 10]'" in command
    again = cli(*command.replace("'", "").replace("[12, 10]", "[12,10]").split()[1:-2], "--out", tmp_path, "--json")
    assert json.loads(again.out)["run"] == str(folder)
    other = run(
        "magnitude",
        f"{HERE}:blobs",
        task_options={"steps": 21},
        sparsity=0.5,
        budget="30ep",
        orders=1,
        checkpoints=0,
        out=tmp_path,
    )
    assert Path(other.run) != folder


def test_specs_of_tasks_without_options_are_what_they_were(tmp_path: Path) -> None:
    found = run("random", "tests.helpers.tiny:task", budget="2ep", orders=1, checkpoints=0, out=tmp_path)
    assert "task_options" not in json.loads((Path(found.run) / "spec.json").read_text())
    assert found.task_options == {}


def test_studies_name_options_beside_the_task(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "study.toml").write_text(
        f'strategies = ["random"]\nseeds = "0-1"\nfrontier = false\nbaselines = false\nbudget = "2ep"\norders = 1\n'
        f'controls = []\ncheckpoints = 0\nsparsities = [0.5]\nout = "{tmp_path / "runs"}"\n[[grid]]\n'
        f'tasks = ["tests.helpers.tiny:task", {{ name = "{HERE}:blobs", steps = 9 }}]\n[[grid]]\nseeds = "0"\n'
        f'tasks = [{{ name = "{HERE}:blobs", steps = 1, kind = "even" }}]\n'
    )
    plan = read_study(tmp_path / "study.toml")
    items = planned(plan)
    assert [(item.task, item.task_options) for item in items[:2]] == [
        ("tests.helpers.tiny:task", {}),
        (f"{HERE}:blobs", {"steps": 9}),
    ]
    assert items[1].row == f"{HERE}:blobs (steps=9) 0.5 random"
    finished = compute(plan)
    assert [one.result is None for one in finished] == [False] * 4 + [True]
    assert "'even'" in finished[-1].reason
    [failure] = read_failures(tmp_path / "runs")
    assert failure.task_options == {"steps": 1, "kind": "even"}


def test_compare_gives_options_to_every_task_it_names(tmp_path: Path, cli: Cli) -> None:
    words = ["--sparsities", "0.5", "--seeds", "0", "--budget", "2ep", "--orders", "1", "--checkpoints", "0"]
    shown = cli(
        "compare",
        "--strategies",
        "random",
        "--tasks",
        f"{HERE}:blobs",
        "--task-set",
        "steps=9",
        *words,
        "--no-controls",
        "--no-frontier",
        "--out",
        tmp_path,
        "--json",
    )
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["failed"] == []
    refused = cli(
        "compare",
        "--strategies",
        "random",
        "--task-set",
        "steps=9",
        *words,
        "--no-controls",
        "--no-frontier",
        "--out",
        tmp_path,
        "--json",
    )
    assert "unknown option of task 'mnist1d-mlp'" in refused.err
    assert make_study("here", {"grids": [{}]}).grids[0].tasks[0].name == "mnist1d-mlp"


def test_task_options_are_shown_without_loading_data(cli: Cli) -> None:
    shown = cli("tasks", "show", "image-folder").out
    assert "Options, --task-set NAME=VALUE" in shown
    assert "root (required)  (str)" in shown
    assert "network = resnet-20  (str)" in shown
    described = json.loads(cli("tasks", "show", f"{HERE}:blobs", "--json").out)
    assert described["summary"] == "Blobs of options."
    assert described["options"][0] == {
        "name": "steps",
        "type": "int",
        "required": True,
        "default": None,
        "doc": "of the recipe, all of them.",
    }
    assert [option["name"] for option in described["options"]] == ["steps", "rate", "kind", "widths"]
    own, _, common = cli("tasks", "show", "mnist1d-mlp").out.partition("Options of every task")
    assert own.split()[-1] == "none"
    assert "label_noise = 0.0  (float)" in common
    assert cli("tasks", "show", "nothing").code == 2
    assert "image-folder" in cli("tasks").out
