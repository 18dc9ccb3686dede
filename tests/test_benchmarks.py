"""What benchmarks compute from results, on cases that can be solved by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmarks.black_box import frontier_cost
from benchmarks.tune import SETTINGS
from tests.helpers.images import write_idx
from ticketsearch import DataSource, load_task
from ticketsearch.errors import InvalidValue
from ticketsearch.strategies.base import make_strategy


@pytest.mark.parametrize(
    ("accuracy", "cost"),
    [
        (0.4, 1.0),  # the cheapest is an upper bound
        (0.5, 1.0),
        (0.55, math.sqrt(10.0)),  # half of the way, in the logarithm of the cost
        (0.6, 10.0),
        (0.7, math.inf),
    ],
)
def test_the_frontier_is_the_least_cost_at_which_an_accuracy_is_reached(accuracy: float, cost: float) -> None:
    points = [(1.0, 0.5), (10.0, 0.6), (5.0, 0.45), (20.0, 0.58)]  # the last two are worth nothing
    assert frontier_cost(points, accuracy) == pytest.approx(cost)


def test_every_strategy_is_tuned_over_as_many_settings() -> None:
    assert {len(settings) for settings in SETTINGS.values()} == {6}
    for name, settings in SETTINGS.items():
        assert len({str(make_strategy(name, own)) for _, own in settings}) == 6


def test_some_of_mnist_are_the_first_training_images_by_the_published_recipe(tmp_path: Path) -> None:
    write_idx(tmp_path, "MNIST")
    place, source = "benchmarks.descent:mnist", DataSource(tmp_path)
    task, whole = load_task(place, source, {"examples": 256, "epochs": 3}), load_task("mnist-lenet", source)
    assert torch.equal(task.train.inputs, whole.train.inputs[:256])
    assert torch.equal(task.test.labels, whole.test.labels)
    recipe = task.recipe
    assert (recipe.optimizer, recipe.momentum, recipe.learning_rate) == ("sgd", 0.0, 0.1)
    assert (recipe.steps, recipe.batch_size) == (3 * 2, 128)
    with pytest.raises(InvalidValue, match="not between 128 and 270"):
        load_task(place, source, {"examples": 271})
