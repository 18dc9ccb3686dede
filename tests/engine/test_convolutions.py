"""Convolutional networks on a CPU: one after another, with the scores they would have in a batch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.convolutions import RECIPE, batches, make_engine, make_task, small, stacked
from tests.helpers.engines import backward, load, rng, start_of, torch_training, train
from ticketsearch import Recipe
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Job
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import resnet_20


def some_masks(engine: DenseEngine, count: int) -> BoolArray:
    return rng(5).random((count, engine.layout.space.size)) < 0.6


@pytest.mark.parametrize("rows", [0, 4], ids=["one order", "an order each"])
def test_four_normalised_networks_are_their_single_trainings_and_torch_s(rows: int) -> None:
    task = make_task()
    engine = make_engine(task)
    job = Job(some_masks(engine, 4), start_of(task, engine), RECIPE, batches(6, rows))
    together = train(engine, job)
    assert len({row.tobytes() for row in together.rest}) == 4  # each has statistics of its own
    for row in range(4):
        alone = train(engine, job.only(slice(row, row + 1)))
        assert np.array_equal(together.vector[row], alone.vector[0])
        assert np.array_equal(together.rest[row], alone.rest[0])
        network = torch_training(task, engine, job, row)
        expected = read_weights(network, engine.layout)
        np.testing.assert_allclose(together.vector[row], expected.vector, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(together.rest[row], expected.rest, rtol=1e-3, atol=1e-5)
        network.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(network(task.test.inputs), task.test.labels)
        assert engine.measure(alone, task.test).loss[0] == pytest.approx(float(loss), rel=1e-4)
    names = list(engine.layout.rest_shapes)
    assert [name for name in names if "running" in name] == [
        "1.running_mean",
        "1.running_var",
        "4.running_mean",
        "4.running_var",
    ]


@pytest.mark.parametrize("rows", [0, 3], ids=["one order", "an order each"])
@pytest.mark.parametrize("network", [small, partial(resnet_20, classes=3)], ids=["small", "resnet-20"])
def test_one_after_another_is_what_a_stack_gives(network: object, rows: int) -> None:
    task = make_task(network)
    single, batch = make_engine(task), stacked(task)
    assert single.grain == 1
    recipe = replace(RECIPE, learning_rate=2e-3)  # rounding is amplified in proportion, and soon without bounds
    job = Job(some_masks(single, 3), start_of(task, single), recipe, batches(3, rows))
    ours, theirs = train(single, job), train(batch, job)
    np.testing.assert_allclose(ours.vector, theirs.vector, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.rest, theirs.rest, rtol=1e-3, atol=1e-4)
    scores = single.evaluate(job, task.validation), batch.evaluate(job, task.validation)
    np.testing.assert_allclose(scores[0].loss, scores[1].loss, rtol=1e-3)
    np.testing.assert_allclose(single.measure(ours, task.test).loss, batch.measure(ours, task.test).loss, rtol=1e-3)


def test_scores_do_not_depend_on_the_number_of_workers() -> None:
    task = make_task()
    one, two = make_engine(task), make_engine(task, 2)
    job = Job(some_masks(one, 4), start_of(task, one), RECIPE, batches(3))
    assert one.evaluate(job, task.validation).loss.tolist() == two.evaluate(job, task.validation).loss.tolist()


def test_a_normalised_network_goes_on_from_the_statistics_of_its_start() -> None:
    task = make_task()
    engine = make_engine(task)
    masks = some_masks(engine, 1)
    order = batches(6)
    whole = train(engine, Job(masks, start_of(task, engine), Recipe(6, 20, 0.02), order))
    half = train(engine, Job(masks, start_of(task, engine), Recipe(6, 20, 0.02), order[:3]))
    rest = train(engine, Job(masks, half, Recipe(6, 20, 0.02), order[3:], first_step=3))
    np.testing.assert_allclose(rest.vector, whole.vector, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(rest.rest, whole.rest, rtol=1e-5, atol=1e-7)


def test_gradients_of_a_convolutional_network_are_torch_s() -> None:
    task = make_task()
    engine = make_engine(task)
    mask, start = some_masks(engine, 1)[0], start_of(task, engine)
    chosen = np.arange(30)
    network = task.build(0)
    load(network, engine, start, mask)
    backward(network, task.train, chosen)
    expected = np.concatenate(
        [
            dict(network.named_parameters())[layer.name].grad.numpy().ravel()  # type: ignore[union-attr]
            for layer in engine.layout.space.layers
        ]
    )
    start.vector[~mask] = 0
    np.testing.assert_allclose(engine.gradients(start, chosen), expected, rtol=1e-3, atol=1e-6)
