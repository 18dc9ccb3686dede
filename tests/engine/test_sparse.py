"""What the sparse engine adds to the contract: exactness to the bit, agreement with the dense engine, odd shapes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import tiny
from ticketsearch import Recipe, Split, Task, Weights
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Job, batch_indices, make_engine
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.engine.sparse.perceptron import SparseEngine, perceptron_of
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.tasks.layout import read_weights

STEPS = 100
SGD = Recipe(STEPS, 30, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3, schedule="cosine", warmup_steps=9)
ADAM = Recipe(STEPS, 30, 0.003, optimizer="adam", weight_decay=1e-3)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def perceptron(*widths: int, activation: type[nn.Module] = nn.ReLU, bias: bool = True) -> nn.Sequential:
    modules: list[nn.Module] = [nn.Flatten()]
    for index in range(len(widths) - 1):
        modules += [nn.Linear(widths[index], widths[index + 1], bias=bias), activation()]
    return nn.Sequential(*modules[:-1])


def both(task: Task) -> tuple[SparseEngine, DenseEngine]:
    return SparseEngine(task), DenseEngine(task, torch.device("cpu"))


def assert_same(task: Task, masks: BoolArray, steps: int = STEPS, tolerance: float = 2e-4) -> None:
    """Both engines end at the same weights, losses and accuracies."""
    sparse, dense = both(task)
    start = read_weights(task.build(1), sparse.layout)
    batches = batch_indices(len(task.train.labels), task.recipe.batch_size, steps, rng(7))
    job = Job(masks, start, task.recipe.lasting(steps), batches)
    [(a, loss_a)], [(b, loss_b)] = (list(engine.train(job, (steps,))) for engine in (sparse, dense))
    np.testing.assert_allclose(a.vector, b.vector, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.rest, b.rest, rtol=0, atol=tolerance)
    np.testing.assert_allclose(loss_a, loss_b, rtol=0, atol=tolerance)
    assert not a.vector[~masks].any()
    measured = sparse.evaluate(job, task.validation)
    np.testing.assert_allclose(measured.loss, dense.measure(b, task.validation).loss, rtol=0, atol=tolerance)


@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("density", [0.03, 0.3, 0.49, 0.51, 0.8, 1.0])
def test_both_engines_agree_at_every_density(recipe: Recipe, density: float) -> None:
    assert_same(tiny.make_task(recipe=recipe), rng().random((3, tiny.SIZE)) < density)


@pytest.mark.parametrize("widths", [(8, 3), (8, 1, 3), (8, 5, 7, 3), (8, 33, 18, 3), (8, 4, 4, 4, 4, 3)], ids=str)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_both_engines_agree_on_any_widths(widths: tuple[int, ...], activation: type[nn.Module]) -> None:
    task = tiny.make_task(lambda: perceptron(*widths, activation=activation), SGD)
    size = sum(a * b for a, b in pairwise(widths))
    masks = np.stack([rng(1).random(size) < 0.4, np.ones(size, dtype=bool)])
    assert_same(task, masks)


@pytest.mark.parametrize("batch", [1, 15, 16, 17, 100, pytest.param(129, marks=pytest.mark.slow), 300])
def test_both_engines_agree_at_any_batch_size(batch: int) -> None:
    recipe = replace(SGD, batch_size=batch, steps=20, learning_rate=0.02)
    assert_same(tiny.make_task(recipe=recipe), rng().random((2, tiny.SIZE)) < 0.4, steps=20)


def test_empty_and_full_layers_empty_rows_and_columns() -> None:
    task = tiny.make_task(recipe=SGD)
    layers = SparseEngine(task).layout.space.layers
    masks = rng().random((6, tiny.SIZE)) < 0.4
    for row, (layer, value) in enumerate([(0, False), (1, False), (2, False), (1, True)]):
        masks[row, layers[layer].span] = value
    masks[4].reshape(-1)[layers[1].span].reshape(layers[1].shape)[3] = False  # a unit without inputs
    masks[5].reshape(-1)[layers[1].span].reshape(layers[1].shape)[:, 3] = False  # a unit without outputs
    assert_same(task, masks)


def test_networks_without_biases() -> None:
    task = tiny.make_task(lambda: perceptron(8, 9, 3, bias=False), SGD)
    assert_same(task, rng().random((2, 8 * 9 + 9 * 3)) < 0.5)


def test_scores_are_the_same_bits_whatever_else_is_trained_and_on_however_many_threads() -> None:
    task = tiny.make_task(recipe=SGD)
    masks = rng().random((7, tiny.SIZE)) < 0.3
    one, three = SparseEngine(task, workers=1), SparseEngine(task, workers=3)
    start = read_weights(task.build(1), one.layout)
    job = Job(masks, start, task.recipe, batch_indices(300, 30, STEPS, rng()))
    together = one.evaluate(job, task.validation)
    reversed_job = Job(masks[::-1].copy(), start, task.recipe, job.batches)
    np.testing.assert_array_equal(three.evaluate(reversed_job, task.validation).loss[::-1], together.loss)
    alone = [one.evaluate(job.only(slice(row, row + 1)), task.validation).loss[0] for row in range(7)]
    np.testing.assert_array_equal(alone, together.loss)


def test_gathering_in_many_blocks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny.make_task(recipe=SGD)
    engine = SparseEngine(task)
    start = read_weights(task.build(1), engine.layout)
    job = Job(rng().random((3, tiny.SIZE)) < 0.3, start, task.recipe, batch_indices(300, 30, STEPS, rng()))
    whole = engine.evaluate(job, task.validation)
    monkeypatch.setattr("ticketsearch.engine.sparse.perceptron.BLOCK_BYTES", 7 * 4 * 8 * 32)  # seven steps
    blocks = engine.evaluate(job, task.validation)
    np.testing.assert_array_equal(blocks.loss, whole.loss)
    np.testing.assert_array_equal(blocks.accuracy, whole.accuracy)


def test_a_diverging_mask_is_not_a_number_and_its_neighbours_keep_every_bit() -> None:
    task = tiny.make_task(recipe=SGD)
    engine = SparseEngine(task)
    start = read_weights(task.build(1), engine.layout)
    wild = Weights(np.stack([start.vector, start.vector * np.float32(1e30), start.vector]), np.stack([start.rest] * 3))
    masks = rng().random((3, tiny.SIZE)) < 0.3
    batches = batch_indices(300, 30, STEPS, rng())
    healthy = engine.evaluate(Job(masks, start, task.recipe, batches), task.validation)
    mixed = engine.evaluate(Job(masks, wild, task.recipe, batches), task.validation)
    assert not np.isfinite(mixed.loss[1])
    np.testing.assert_array_equal(mixed.loss[[0, 2]], healthy.loss[[0, 2]])


def test_large_logits_do_not_overflow() -> None:
    task = tiny.make_task()
    engine = SparseEngine(task)
    start = read_weights(task.build(1), engine.layout)
    large = Weights(start.vector[None] * np.float32(30), start.rest[None])
    reference = DenseEngine(task, torch.device("cpu")).measure(large, task.validation)
    np.testing.assert_allclose(engine.measure(large, task.validation).loss, reference.loss, rtol=1e-5)


def test_what_is_a_perceptron() -> None:
    assert perceptron_of(perceptron(4, 5, 2)) is not None
    assert perceptron_of(nn.Sequential(nn.Linear(4, 2))) is not None
    assert perceptron_of(nn.Linear(4, 2)) is not None
    others: list[nn.Module] = [
        nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)),
        nn.Sequential(nn.Flatten(0), nn.Linear(4, 2)),
        nn.Sequential(OrderedDict(bn=nn.BatchNorm1d(4), out=nn.Linear(4, 2))),
        tiny.batch_norm_network(),
    ]
    assert [perceptron_of(network) for network in others] == [None] * len(others)


def test_the_engine_is_chosen_from_network_and_device() -> None:
    assert make_engine(tiny.make_task()).name == "sparse"
    assert make_engine(tiny.make_task(), engine="dense").name == "dense"
    assert make_engine(tiny.make_task(tiny.batch_norm_network)).name == "dense"
    with pytest.raises(InvalidValue, match="--engine dense"):
        make_engine(tiny.make_task(tiny.batch_norm_network), engine="sparse")
    with pytest.raises(UnknownName, match="sparse"):
        make_engine(tiny.make_task(), engine="spars")


def test_a_subclass_of_sequential_may_do_anything_and_is_left_to_the_dense_engine() -> None:
    class Doubling(nn.Sequential):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = 2 * super().forward(inputs)  # type: ignore[no-untyped-call]
            return output

    assert perceptron_of(Doubling(nn.Linear(4, 2))) is None


def test_splits_smaller_than_a_row_of_lanes_and_larger_ones() -> None:
    task = tiny.make_task()
    engine, dense = both(task)
    weights = read_weights(task.build(1), engine.layout)
    population = Weights(weights.vector[None], weights.rest[None])
    for count in (1, 31, 32, 33, 100):
        split = Split(task.test.inputs[:count], task.test.labels[:count])
        own, other = engine.measure(population, split), dense.measure(population, split)
        np.testing.assert_allclose(own.loss, other.loss, rtol=1e-5)
        np.testing.assert_array_equal(own.accuracy, other.accuracy)
