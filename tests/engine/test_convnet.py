"""The sparse engine for convolutional networks: PyTorch's results, exactness to the bit, which networks it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import tiny
from tests.helpers.engines import start_of, torch_training, train
from ticketsearch import Recipe, Split, Task, Weights
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Job, batch_indices, make_engine
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.engine.sparse.convnet import DENSE_FROM, MixedEngine, SparseConvEngine
from ticketsearch.engine.sparse.planes import convnet_of
from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.layout import read_weights

Network = Callable[[], nn.Module]
SGD = Recipe(6, 21, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-2, schedule="cosine")
ADAM = Recipe(6, 21, 0.003, optimizer="adam", weight_decay=1e-2)
ADAMW = replace(ADAM, optimizer="adamw", weight_decay=0.5)
HOYER = replace(SGD, l1=0.003, hoyer=0.002)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def pairs() -> nn.Module:
    """Two convolutions in a row, a pool that leaves a row and a column over, a third convolution, a head of two."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 9),
        nn.ReLU(),
        nn.Linear(9, 3),
    )


def kernels_and_groups() -> nn.Module:
    """Kernels of several sizes, groups, no biases, windows of three, nested containers."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, (5, 1), padding="same", bias=False), nn.ReLU(), nn.Identity()),
        nn.Sequential(nn.Conv2d(4, 6, (3, 7), padding=(1, 3), groups=2), nn.ReLU(), nn.MaxPool2d(3, 3)),
        nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(54, 3, bias=False),
    )


def point() -> nn.Module:
    """Kernels of one weight, and a last convolution without pooling."""
    return nn.Sequential(
        nn.Conv2d(2, 7, 1), nn.ReLU(), nn.Conv2d(7, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 9 * 11, 3)
    )


NETWORKS: dict[str, tuple[Network, tuple[int, int]]] = {
    "pairs": (pairs, (9, 11)),
    "kernels-and-groups": (kernels_and_groups, (9, 11)),
    "point": (point, (9, 11)),
}


def images(count: int, seed: int, size: tuple[int, int]) -> Split:
    labels = torch.arange(count) % 3
    inputs = torch.from_numpy(rng(seed).normal(size=(count, 2, *size)).astype(np.float32))
    inputs[labels == 1, 0] += 1  # a class is a channel that is brighter
    inputs[labels == 2, 1] += 1
    return Split(inputs, labels)


def make_task(name: str = "pairs", recipe: Recipe = SGD) -> Task:
    network, size = NETWORKS[name]
    return Task("images", network, images(120, 1, size), images(50, 2, size), images(50, 3, size), recipe, 3)


def some_masks(task: Task, density: float, count: int = 2) -> BoolArray:
    return rng(3).random((count, SparseConvEngine(task).layout.space.size)) < density


def make_job(task: Task, masks: BoolArray, steps: int = 6) -> Job:
    engine = DenseEngine(task, torch.device("cpu"))
    batches = batch_indices(len(task.train.labels), task.recipe.batch_size, steps, rng(5))
    return Job(masks, start_of(task, engine, 1), task.recipe, batches)


def assert_torch_s(engine: SparseConvEngine | MixedEngine, task: Task, job: Job) -> None:
    """The weights and the measures of plain PyTorch loops."""
    trained = train(engine, job)
    assert not trained.vector[~job.computed].any()
    measured = engine.evaluate(job, task.validation)
    for row in range(len(job.masks)):
        network = torch_training(task, engine, job, row)
        expected = read_weights(network, engine.layout)
        np.testing.assert_allclose(trained.vector[row], expected.vector, rtol=2e-4, atol=2e-6)
        np.testing.assert_allclose(trained.rest[row], expected.rest, rtol=2e-4, atol=2e-6)
        with torch.no_grad():
            outputs = network(task.validation.inputs)
        assert measured.loss[row] == pytest.approx(
            float(nn.functional.cross_entropy(outputs, task.validation.labels)), rel=1e-4
        )
        assert measured.accuracy[row] == float((outputs.argmax(1) == task.validation.labels).double().mean())


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_trainings_are_torch_s_at_any_density(name: str, density: float) -> None:
    task = make_task(name)
    assert_torch_s(SparseConvEngine(task), task, make_job(task, some_masks(task, density)))


@pytest.mark.parametrize("recipe", [ADAM, ADAMW, HOYER], ids=["adam", "adamw", "hoyer"])
def test_trainings_are_torch_s_by_any_recipe(recipe: Recipe) -> None:
    task = make_task(recipe=recipe)
    assert_torch_s(SparseConvEngine(task), task, make_job(task, some_masks(task, 0.4)))


@pytest.mark.parametrize("batch", [1, 16, 33])
def test_trainings_are_torch_s_at_any_batch_size(batch: int) -> None:
    task = make_task(recipe=replace(SGD, batch_size=batch, learning_rate=0.01))
    assert_torch_s(SparseConvEngine(task), task, make_job(task, some_masks(task, 0.4), steps=3))


def test_weights_held_at_a_value_take_part_and_stay() -> None:
    task = make_task()
    engine, masks = SparseConvEngine(task), some_masks(task, 0.3)
    held = rng(7).normal(scale=0.1, size=masks.shape).astype(np.float32) * (rng(8).random(masks.shape) < 0.5)
    job = replace(make_job(task, masks), held=held.astype(np.float32))
    assert_torch_s(engine, task, job)
    np.testing.assert_array_equal(train(engine, job).vector[~masks], held[~masks])


def test_layers_without_weights_and_a_data_order_for_each_mask() -> None:
    task = make_task()
    engine = SparseConvEngine(task)
    masks = some_masks(task, 0.5, len(engine.layout.space.layers))
    for row, layer in enumerate(engine.layout.space.layers):
        masks[row, layer.span] = False
    job = make_job(task, masks)
    orders = np.stack([batch_indices(120, 21, 6, rng(row)) for row in range(len(masks))])
    job = replace(job, batches=orders)
    ours, theirs = train(engine, job), train(DenseEngine(task, torch.device("cpu")), job)
    np.testing.assert_allclose(ours.vector, theirs.vector, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(ours.rest, theirs.rest, rtol=2e-4, atol=2e-6)


def test_scores_are_the_same_bits_whatever_else_is_trained_and_on_however_many_threads() -> None:
    task = make_task()
    one, three = SparseConvEngine(task, workers=1), SparseConvEngine(task, workers=3)
    job = make_job(task, some_masks(task, 0.3, 5))
    together = one.evaluate(job, task.validation)
    backwards = replace(job, masks=job.masks[::-1].copy())
    np.testing.assert_array_equal(three.evaluate(backwards, task.validation).loss[::-1], together.loss)
    alone = [one.evaluate(job.only(slice(row, row + 1)), task.validation).loss[0] for row in range(5)]
    np.testing.assert_array_equal(alone, together.loss)


def test_stopping_on_the_way_changes_no_bit() -> None:
    task = make_task(recipe=ADAM)
    engine, job = SparseConvEngine(task), make_job(task, some_masks(task, 0.3))
    np.testing.assert_array_equal(train(engine, job, (2, 3, 6)).vector, train(engine, job).vector)


def test_a_diverging_mask_is_not_a_number_and_its_neighbours_keep_every_bit() -> None:
    task = make_task()
    engine, masks = SparseConvEngine(task), some_masks(task, 0.3, 3)
    job = make_job(task, masks)
    healthy = engine.evaluate(job, task.validation)
    vector, rest = job.start.vector, job.start.rest
    wild = Weights(np.stack([vector, vector * np.float32(1e30), vector]), np.stack([rest] * 3))
    mixed = engine.evaluate(replace(job, start=wild), task.validation)
    assert not np.isfinite(mixed.loss[1])
    np.testing.assert_array_equal(mixed.loss[[0, 2]], healthy.loss[[0, 2]])


def test_of_equal_maxima_the_first_gets_the_gradient() -> None:
    """As in PyTorch; a constant image makes every inner window a tie."""
    task = make_task()
    flat = Split(torch.ones_like(task.train.inputs), task.train.labels)
    task = replace(task, train=flat)
    assert_torch_s(SparseConvEngine(task), task, make_job(task, some_masks(task, 0.6), steps=2))


def test_dense_masks_are_left_to_the_dense_engine_each_by_itself() -> None:
    task = make_task()
    mixed = make_engine(task)
    assert isinstance(mixed, MixedEngine)
    masks = np.concatenate([some_masks(task, density, 1) for density in (1.0, 0.1, 0.9, 0.2)])
    job = make_job(task, masks)
    assert_torch_s(mixed, task, job)
    sparse, dense = SparseConvEngine(task), DenseEngine(task, torch.device("cpu"))
    scores, few = mixed.evaluate(job, task.validation), sparse.evaluate(job, task.validation)
    np.testing.assert_array_equal(scores.loss[[1, 3]], few.loss[[1, 3]])
    for row in range(4):
        alone = mixed.evaluate(job.only(slice(row, row + 1)), task.validation).loss[0]
        assert alone == pytest.approx(scores.loss[row], rel=0 if row in (1, 3) else 1e-6)
    [(weights, losses)] = list(mixed.train(job, (6,)))
    [(dense_weights, dense_losses)] = list(dense.train(job.only(np.array([0, 2])), (6,)))
    np.testing.assert_allclose(weights.vector[[0, 2]], dense_weights.vector, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(losses[[0, 2]], dense_losses, rtol=1e-5)
    np.testing.assert_allclose(
        mixed.measure(weights, task.test).loss, dense.measure(weights, task.test).loss, rtol=1e-4
    )


def test_what_is_dense_is_counted_in_products_not_in_weights() -> None:
    """A weight of the first convolution is used 99 times an example, one of the head once."""
    task = make_task()
    engine = MixedEngine(task)
    masks = np.zeros((2, engine.layout.space.size), dtype=bool)
    by_uses = {layer.uses: layer for layer in engine.layout.space.layers}
    masks[0, by_uses[99].span] = True  # the second convolution: most products
    masks[1, by_uses[1].span] = True
    shares = [
        sum(np.count_nonzero(mask[layer.span]) * layer.uses for layer in engine.layout.space.layers)
        / sum(layer.size * layer.uses for layer in engine.layout.space.layers)
        for mask in masks
    ]
    assert shares[0] >= DENSE_FROM > shares[1]
    job = make_job(task, masks)
    engines = {engine.name: rows.tolist() for engine, rows in engine._parts(job)}
    assert engines == {"dense": [0], "sparse": [1]}


def test_which_networks_the_kernels_take() -> None:
    for network, size in NETWORKS.values():
        assert convnet_of(network(), (2, *size)) is not None
    relu, flat, linear = nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 3)
    assert convnet_of(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), relu, flat, linear), (2, 8, 8)) is not None
    shared = nn.Conv2d(2, 2, 3, padding=1)
    others: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), flat, linear),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), flat, linear),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), relu, nn.BatchNorm2d(4), flat, linear),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), relu, flat, linear),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=2, dilation=2), relu, flat, linear),
        nn.Sequential(nn.Conv2d(2, 4, 3), relu, flat, nn.Linear(4 * 6 * 6, 3)),
        nn.Sequential(nn.Conv2d(2, 16, 3, padding=1, stride=2), relu, flat, linear),
        nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), relu, nn.MaxPool2d(3, 2, padding=1), flat, linear),
        nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), relu, nn.AvgPool2d(2), flat, linear),
        nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), flat, nn.Linear(2 * 8 * 8, 3)),
        nn.Sequential(flat, nn.Linear(2 * 8 * 8, 3)),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), relu, flat, nn.ReLU()),
    ]
    assert [convnet_of(network, (2, 8, 8)) for network in others] == [None] * len(others)


def test_the_engine_is_chosen_from_network_and_wish() -> None:
    task = make_task()
    assert make_engine(task).name == "mixed"
    assert make_engine(task, engine="mixed").name == "mixed"  # by the name that its runs record
    assert make_engine(task, engine="sparse").name == "sparse"
    assert make_engine(task, engine="dense").name == "dense"
    with pytest.raises(InvalidValue, match=r"'images': the network is none of.*--engine dense"):
        SparseConvEngine(replace(task, network=partial(nn.Sequential, nn.Flatten(), nn.Linear(198, 3))))
    assert make_engine(tiny.make_task()).name == "sparse"
    with pytest.raises(InvalidValue, match="--engine dense"):
        make_engine(tiny.make_task(), engine="mixed")
