"""A dense network with as many weights: its widths are solved for, and every run is confirmed beside it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.runs import run
from ticketsearch.engine import make_engine
from ticketsearch.masks.ticket import Ticket
from ticketsearch.runner.confirm import confirm
from ticketsearch.runner.progress import quiet
from ticketsearch.runner.setup import Setup
from ticketsearch.runner.small_dense import small_dense, solved_factor
from ticketsearch.runner.verify import verify_run
from ticketsearch.tasks import DataSource, Task, load_task
from ticketsearch.tasks.networks import NETWORKS, scaled_factory, scaled_mlp

WIDTHS = (tiny.INPUTS, 12, 10, tiny.CLASSES)


def scaled_task() -> Task:
    return replace(tiny.make_task(), scaled=partial(scaled_mlp, WIDTHS))


NAMES = {"hidden1.weight", "hidden2.weight", "output.weight"}


@pytest.mark.parametrize(("sparsity", "width"), [(0.98, 53), (0.99, 33), (0.995, 20), (0.998, 9)])
def test_widths_are_those_of_equal_hidden_layers_with_as_many_weights(sparsity: float, width: int) -> None:
    """40-w-w-10 has w^2 + 50 w weights; of 275,000 kept at these sparsities w is 53, 33, 20 and 9."""
    n = round(275_000 * (1 - sparsity))
    factor = solved_factor(partial(scaled_mlp, (40, 500, 500, 10)), NAMES, n)
    assert round(500 * factor) == width
    assert abs(width**2 + 50 * width - n) <= min(abs(w**2 + 50 * w - n) for w in (width - 1, width + 1))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_of_images_become_narrower(name: str) -> None:
    scaled = scaled_factory(name, 3, 32, 10)
    assert scaled is not None
    whole, half = (sum(p.numel() for p in scaled(factor).parameters()) for factor in (1.0, 0.5))
    assert whole == sum(p.numel() for p in NETWORKS[name](3, 32, 10).parameters())
    assert 0.2 < half / whole < 0.35  # products of two widths


def test_torchvision_s_have_no_widths() -> None:
    assert scaled_factory("torchvision:resnet18", 3, 32, 10) is None


def test_it_is_trained_as_the_dense_network_is() -> None:
    task = scaled_task()
    setup = Setup.of(task, make_engine(task), 0)
    record = small_dense(setup, 60, 2, quiet)
    assert record is not None
    factor = solved_factor(partial(scaled_mlp, WIDTHS), NAMES, 60)
    small = replace(task, network=partial(scaled_mlp, WIDTHS, factor))
    own = Setup.of(small, make_engine(small), 0)
    assert record.n_weights == own.units.weights.size
    assert abs(own.units.weights.size - 60) <= 8 + 12  # a neuron more or less
    again = confirm(own, [Ticket(np.ones(own.units.weights.size, dtype=bool))] * 2, "again", quiet).record
    assert record.test_accuracies == again.test_accuracies
    assert record.steps == task.recipe.steps


def test_every_run_has_it_and_is_verified_with_it(tmp_path: Path) -> None:
    result = run(tmp_path, "random", scaled_task())
    record = result.references["small-dense"]
    assert record.n_weights is not None
    assert abs(record.n_weights - result.n_kept) < 12
    assert not verify_run(result.run, task=scaled_task()).differences


def test_a_task_without_widths_has_no_such_control(tmp_path: Path) -> None:
    assert "small-dense" not in run(tmp_path, "random").references


def test_our_perceptrons_say_what_they_are_at_other_widths(tmp_path: Path) -> None:
    for name, width in (("mnist1d-mlp", 100), ("mnist1d-wide", 500)):
        task = load_task(name, DataSource(cache=tmp_path))
        assert task.scaled is not None
        shapes = [tuple(p.shape) for p in task.scaled(0.5).parameters() if p.ndim == 2]
        assert shapes == [(width // 2, 40), (width // 2, width // 2), (10, width // 2)]
