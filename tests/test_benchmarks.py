"""What benchmarks are made with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.tune import SETTINGS
from tests.helpers.images import write_idx
from ticketsearch import DataSource, load_task
from ticketsearch.errors import InvalidValue
from ticketsearch.strategies.base import make_strategy


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
