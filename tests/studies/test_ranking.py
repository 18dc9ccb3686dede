"""``ticketsearch fidelity``: what is trained, on which orders, and that it is not trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.runs import run, trials_of
from ticketsearch.engine import Job, batch_indices, make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import digest
from ticketsearch.runner.again import searched_masks
from ticketsearch.runner.confirm import data_order
from ticketsearch.runner.progress import quiet
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.studies.ranking import measure_ranking


def setup_of() -> Setup:
    task = tiny.make_task()
    return Setup.of(task, make_engine(task), 0)


def test_scores_and_trainings_are_the_engine_s_own(tmp_path: Path) -> None:
    setup = setup_of()
    masks = setup.units.space.random(25, stream(1, "masks"), 4)
    record = measure_ranking(setup, masks, [5, 20], orders=2, confirmations=2, out=tmp_path, tick=quiet)
    task, engine = setup.task, setup.engine
    for steps in (5, 20):
        for order in range(2):
            batches = batch_indices(300, 30, steps, stream(0, "ranking", steps, order))
            measures = engine.evaluate(Job(masks, setup.initial, task.recipe.lasting(steps), batches), task.validation)
            assert np.array(record.scores[steps]["accuracy"])[:, order].tolist() == measures.accuracy.tolist()
            assert np.array(record.scores[steps]["loss"])[:, order].tolist() == (-measures.loss).tolist()
    for index in range(2):
        job = Job(masks, setup.initial, task.recipe, data_order(task, 0, index))
        [(trained, _)] = engine.train(job, (60,))
        expected = engine.measure(trained, task.test).accuracy.tolist()
        assert np.array(record.test_accuracies)[:, index].tolist() == expected
    assert record.evaluation_epochs[5] == pytest.approx((3 * 5 * 30 + 100) / 900)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = measure_ranking(setup, masks, [5, 20], orders=2, confirmations=2, out=tmp_path, tick=fail)
    assert again == record
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def fail(*_: object) -> None:
    raise AssertionError("it was measured before")


@pytest.mark.parametrize(("masks", "orders", "confirmations"), [(2, 2, 2), (3, 1, 2), (3, 2, 1)])
def test_too_few_are_refused(masks: int, orders: int, confirmations: int, tmp_path: Path) -> None:
    setup = setup_of()
    population = setup.units.space.random(25, stream(1, "masks"), masks)
    with pytest.raises(InvalidValue, match="give at least 3, 2 and 2"):
        measure_ranking(setup, population, [5], orders=orders, confirmations=confirmations, out=tmp_path, tick=quiet)


def test_masks_of_a_run_are_those_it_evaluated(tmp_path: Path) -> None:
    result = run(tmp_path, "cma-es", settings={"population": 4}, budget="30ep")
    evaluated = {trial.mask for trial in trials_of(result.run)}
    masks = searched_masks(Path(result.run), setup_of(), 6)
    assert len(masks) == 6
    assert {digest(mask) for mask in masks} <= evaluated
    with pytest.raises(InvalidValue, match="evaluated 0 masks"):
        searched_masks(Path(run(tmp_path, "magnitude").run), setup_of(), 6)


def test_the_command_says_what_to_search_with(cli: Cli, tmp_path: Path) -> None:
    words = [
        "fidelity",
        "--task",
        "tests.helpers.tiny:task",
        "--masks",
        "12",
        "--steps",
        "5step,20step",
        "--out",
        tmp_path,
    ]
    done = cli(*words, "--json", "--html", tmp_path / "picture.html")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["masks"] == 12
    assert len(found["scores"]) == 10  # two lengths, five kinds
    assert (tmp_path / "picture.html").read_text().count("ceiling of any score") >= 1
    printed = cli(*words)
    assert printed.code == 0
    assert "For that budget: --fidelity" in printed.out or "No score tells" in printed.out


def test_the_command_takes_the_masks_of_a_run(cli: Cli, tmp_path: Path) -> None:
    result = run(tmp_path / "runs", "ga", "tests.helpers.tiny:task", settings={"population": 4}, budget="20ep")  # type: ignore[arg-type]
    done = cli("fidelity", "--of", result.run, "--masks", "8", "--steps", "5step", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["masks"] == 8
