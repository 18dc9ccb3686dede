"""Tickets of channels trained as smaller networks: what comes back is what masked training gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.convolutions import images
from tests.helpers.engines import rng
from ticketsearch import Recipe, Task, Ticket, Weights
from ticketsearch.engine import Engine, Job, batch_indices, make_engine
from ticketsearch.engine.dense.compacted import CompactedEngine
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.masks.units import Units
from ticketsearch.runner.confirm import population
from ticketsearch.tasks.channels import make_units
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import resnet_20

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cutting_is_always_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketsearch.engine.dense.compacted.WORTH_FLOPS", 0)


def units_of(engine: Engine, task: Task) -> Units:
    return make_units("channel", engine.layout, task.build(0), task.train.inputs[:1])


def job_of(task: Task, seeds: list[int], steps: int = 12, sparsity: float = 0.5) -> Job:
    """A random mask for each seed, one data order for each row, starts of their own."""
    engine = DenseEngine(task, CPU, 1)
    units, start = units_of(engine, task), read_weights(task.build(0), engine.layout)
    tickets = [
        units.ticket(
            Ticket(
                units.space.random(units.space.n_kept(sparsity), rng(seed)),
                Weights(start.vector + np.float32(0.01 * row), start.rest),
            )
        )
        for row, seed in enumerate(seeds)
    ]
    size = len(task.train.labels)
    batches = np.stack([batch_indices(size, task.recipe.batch_size, steps, rng(row)) for row in range(len(seeds))])
    return population(tickets, start, task.recipe.lasting(steps), batches)


def check_equal(task: Task, job: Job, stops: tuple[int, ...], tolerance: float) -> None:
    masked, cut = (list(kind(task, CPU, 2).train(job, stops)) for kind in (DenseEngine, CompactedEngine))
    for (weights, losses), (again, losses_again) in zip(masked, cut, strict=True):
        np.testing.assert_allclose(again.vector, weights.vector, atol=tolerance)
        np.testing.assert_allclose(again.rest, weights.rest, atol=tolerance)
        np.testing.assert_allclose(losses_again, losses, atol=tolerance)
    assert not np.array_equal(masked[-1][0].vector, job.start.vector)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nesterov": True, "weight_decay": 0.05},
        {"optimizer": "adam", "momentum": 0.0, "weight_decay": 0.05},
        {"optimizer": "adamw", "momentum": 0.0, "weight_decay": 0.5},
    ],
)
def test_cut_training_is_masked_training(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny.make_task(tiny.Residual, replace(tiny.RECIPE, **changes))  # type: ignore[arg-type]
    sizes = []
    trains = DenseEngine.train

    def watched(self: DenseEngine, job: Job, stops: tuple[int, ...]) -> object:
        sizes.append(self.layout.space.size)
        return trains(self, job, stops)

    monkeypatch.setattr(DenseEngine, "train", watched)
    tolerance = 1e-4 if task.recipe.optimizer != "sgd" else 2e-5  # which scales gradients of rounding size up
    check_equal(task, job_of(task, [3, 7, 3]), (5, 12), tolerance)
    whole = DenseEngine(task, CPU, 1).layout.space.size
    assert sizes[0] == whole
    assert len(sizes) == 3  # masked; cut, for each of two masks
    assert max(sizes[1:]) < 0.6 * whole


def test_a_residual_network_of_images_trains_cut_as_masked() -> None:
    train, validation, test = (images(seed, count, 8) for seed, count in ((0, 60), (1, 30), (2, 30)))
    recipe = Recipe(steps=4, batch_size=20, learning_rate=0.02, momentum=0.9, weight_decay=1e-3)
    task = Task("resnet", lambda: resnet_20(3, 8, 3), train, validation, test, recipe, 2)
    check_equal(task, job_of(task, [1, 1], 4), (4,), 2e-3)


@pytest.mark.parametrize("changes", [{"precision": 8}, {"l1": 1e-4}])
def test_what_depends_on_all_weights_of_a_layer_is_not_cut(changes: dict[str, object]) -> None:
    task = tiny.make_task(tiny.Residual, replace(tiny.RECIPE, **changes))  # type: ignore[arg-type]
    check_equal(task, job_of(task, [3]), (4,), 0.0)


def test_short_trainings_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny.residual()
    job = job_of(task, [3])
    flops = 12 * 30 * 3 * DenseEngine(task, CPU, 1).layout.space.flops_per_example()
    monkeypatch.setattr("ticketsearch.engine.dense.compacted.compact", lambda *_, **__: pytest.fail("it was cut"))
    monkeypatch.setattr("ticketsearch.engine.dense.compacted.WORTH_FLOPS", flops + 1)
    list(CompactedEngine(task, CPU, 1).train(job, (12,)))
    monkeypatch.setattr("ticketsearch.engine.dense.compacted.WORTH_FLOPS", flops)
    with pytest.raises(pytest.fail.Exception, match="it was cut"):
        list(CompactedEngine(task, CPU, 1).train(job, (12,)))


def test_the_dense_engine_that_is_made_cuts() -> None:
    assert type(make_engine(tiny.residual())) is CompactedEngine
