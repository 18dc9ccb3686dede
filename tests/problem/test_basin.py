"""The basin score: how far a short training goes where the dense one went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import images, tiny
from tests.helpers.engines import torch_training
from tests.helpers.runs import run
from ticketsearch.engine import Job, batch_indices
from ticketsearch.errors import BudgetExhausted, StrategyError
from ticketsearch.runner.verify import verify_run
from ticketsearch.seeds import stream
from ticketsearch.strategies.sa import SimulatedAnnealing
from ticketsearch.tasks.layout import read_weights


def test_it_is_the_cosine_of_two_trainings_by_torch() -> None:
    problem = tiny.make_problem(1000.0)
    engine, task = problem._session.engine, tiny.make_task()
    masks = tiny.masks_of(problem, 20)  # more than are trained together
    scores = [float(score) for score in problem.evaluate(masks, 10, score="basin")]
    start, whole = problem.initial_weights(), np.ones(problem.space.size, dtype=bool)
    order = batch_indices(300, 30, task.recipe.steps, stream(0, "train", 0))
    dense = read_weights(torch_training(task, engine, Job(whole[None], start, task.recipe, order), 0), engine.layout)
    batches = batch_indices(300, 30, 10, stream(0, "evaluate"))
    for mask, score in zip(masks[::6], scores[::6], strict=True):
        job = Job(mask[None], start, task.recipe.lasting(10), batches)
        short = read_weights(torch_training(task, engine, job, 0), engine.layout)
        one, other = (network.vector[mask] - start.vector[mask] for network in (short, dense))
        assert score == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other), abs=1e-4)


def test_the_dense_training_is_paid_for_once() -> None:
    problem = tiny.make_problem(1000.0)
    masks = tiny.masks_of(problem, 4)
    problem.evaluate(masks[:2], 10, score="basin")
    dense, short = problem.recipe.steps * 30, 10 * 30
    assert problem.spent.train_examples == dense + 2 * short
    problem.evaluate(masks, 10, score="basin")
    assert problem.spent.train_examples == dense + 4 * short
    with pytest.raises(BudgetExhausted):
        tiny.make_problem(5.0).evaluate(masks, 10, score="basin")


def test_what_it_is_not_of() -> None:
    problem = tiny.make_problem(1000.0)
    masks = tiny.masks_of(problem, 2)
    for options in ({"fidelity": 0}, {"weights": "inherited"}):
        with pytest.raises(StrategyError, match="of one step at least, from the initial weights"):
            problem.evaluate(masks, score="basin", **options)
    with pytest.raises(StrategyError, match="masks must be booleans"):
        problem.evaluate(masks[:, 1:], score="basin")
    assert problem.trials == 0


def test_channels_have_one_too() -> None:
    problem = tiny.make_problem(1000.0, task=images.resnet(), granularity="channel", sparsity=0.5)
    scores = problem.evaluate(tiny.masks_of(problem, 2), 5, score="basin")
    assert all(0 < float(score) < 1 for score in scores)


def test_a_run_with_it_trains_as_well_as_scores_and_can_be_verified(tmp_path: Path) -> None:
    result = run(tmp_path, SimulatedAnnealing(score="basin"), budget="60ep")
    assert result.calls.keys() == {"train", "evaluate"}  # a hybrid, to the report
    found = verify_run(result.run, trials=4, strategy=SimulatedAnnealing(score="basin"), task=tiny.make_task())
    assert found.differences == []
    assert found.evaluations == 4
