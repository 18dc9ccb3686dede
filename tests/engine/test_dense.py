"""What only the dense engine does: any network, batch normalisation and convolutions included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import tiny
from tests.helpers.engines import backward, batches, load, rng, start_of, train
from ticketsearch import Recipe, Task, Weights
from ticketsearch.engine import Engine, Job, make_engine
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.tasks.layout import read_weights

RECIPE = Recipe(steps=20, batch_size=30, learning_rate=0.05, momentum=0.9, weight_decay=1e-3)


@pytest.fixture(scope="module")
def normalised() -> tuple[Task, Engine]:
    task = tiny.make_task(tiny.batch_norm_network, RECIPE)
    return task, tiny.dense_engine(task)


def some_masks(engine: Engine, count: int) -> np.ndarray:
    return rng().random((count, engine.layout.space.size)) < 0.6


def test_normalisation_is_never_pruned_and_its_statistics_are_not_trained(normalised: tuple[Task, Engine]) -> None:
    _, engine = normalised
    layout = engine.layout
    assert [layer.name for layer in layout.space.layers] == ["1.weight", "5.weight"]
    assert set(layout.rest_shapes) == {"1.bias", "2.weight", "2.bias", "2.running_mean", "2.running_var", "5.bias"}
    assert set(layout.rest_shapes) - layout.trained_rest == {"2.running_mean", "2.running_var"}


def test_a_batch_of_normalised_networks_is_their_single_trainings(normalised: tuple[Task, Engine]) -> None:
    task, engine = normalised
    masks, start = some_masks(engine, 4), start_of(task, engine)
    together = train(engine, Job(masks, start, RECIPE, batches(20)))
    assert len({row.tobytes() for row in together.rest}) == 4  # each has statistics of its own
    for row in range(4):
        alone = train(engine, Job(masks[row : row + 1], start, RECIPE, batches(20)))
        np.testing.assert_allclose(together.vector[row], alone.vector[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(together.rest[row], alone.rest[0], rtol=1e-4, atol=1e-6)


def test_a_normalised_network_trains_as_in_torch_running_statistics_included(normalised: tuple[Task, Engine]) -> None:
    task, engine = normalised
    mask, start = some_masks(engine, 2)[1], start_of(task, engine)
    weights = train(engine, Job(mask[None], start, RECIPE, batches(20)))
    network = task.build(0)
    kept = load(network, engine, start, mask)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    for chosen in batches(20):
        optimizer.zero_grad()
        backward(network, task.train, chosen)
        for name, parameter in network.named_parameters():
            if name in kept and parameter.grad is not None:
                parameter.grad *= kept[name]
        optimizer.step()
    expected = read_weights(network, engine.layout)
    np.testing.assert_allclose(weights.vector[0], expected.vector, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(weights.rest[0], expected.rest, rtol=1e-3, atol=1e-5)
    network.eval()
    with torch.no_grad():
        loss = tiny.cross_entropy(network(task.test.inputs), task.test.labels)
    assert engine.measure(weights, task.test).loss[0] == pytest.approx(loss, rel=1e-3)


def test_measuring_does_not_move_running_statistics(normalised: tuple[Task, Engine]) -> None:
    task, engine = normalised
    start = start_of(task, engine)
    weights = Weights(start.vector[None].copy(), start.rest[None].copy())
    first = engine.measure(weights, task.test).loss.tolist()
    assert engine.measure(weights, task.test).loss.tolist() == first
    assert np.array_equal(weights.rest[0], start.rest)


def test_chunks_are_bounded_by_memory_and_not_by_threads() -> None:
    small = tiny.make_task()
    chunks = {workers: DenseEngine(small, torch.device("cpu"), workers).grain for workers in (1, 4)}
    assert chunks[1] == chunks[4] > 1
    wide = tiny.make_task(lambda: nn.Sequential(nn.Linear(tiny.INPUTS, 40_000), nn.Linear(40_000, tiny.CLASSES)))
    assert DenseEngine(wide, torch.device("cpu"), 1).grain == 1


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "tpu:0", "", "CPU"])
def test_an_unknown_device_is_refused(tiny_task: Task, device: str) -> None:
    with pytest.raises(UnknownName, match="unknown device"):
        make_engine(tiny_task, device)


@pytest.mark.parametrize("device", ["cuda:99", "cpu:1"])
def test_an_absent_device_is_refused_with_the_remedy(tiny_task: Task, device: str) -> None:
    with pytest.raises(InvalidValue, match=r"not on this machine.*--device cpu"):
        make_engine(tiny_task, device)
