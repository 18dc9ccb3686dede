"""On a GPU (opt-in: ``-m gpu``): the same results as on a CPU, and the same ones each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ticketsearch
from tests.helpers import convolutions, tiny
from tests.helpers.engines import rng, start_of, train
from ticketsearch import Recipe, Task
from ticketsearch.engine import Job, make_engine
from ticketsearch.plugins import STRATEGIES, available

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]
SGD = Recipe(steps=8, batch_size=30, learning_rate=0.05, momentum=0.9, weight_decay=1e-3)
ADAM = Recipe(steps=8, batch_size=30, learning_rate=1e-3, optimizer="adam")


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(2, 6, batch_first=True), nn.Linear(6, tiny.CLASSES)

        def forward(self, inputs: torch.Tensor) -> Any:
            return self.head(self.gru(inputs.reshape(len(inputs), -1, 2))[0][:, -1])

    return Last()


TASKS: dict[str, Task] = {
    "perceptron": tiny.make_task(recipe=SGD),
    "perceptron, adam": tiny.make_task(recipe=ADAM),
    "batch normalisation": tiny.make_task(tiny.batch_norm_network, SGD),
    "residual": tiny.residual(),
    "recurrent": tiny.make_task(recurrent, SGD),
    "convolutions": convolutions.make_task(),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_training_is_that_of_the_cpu(name: str) -> None:
    task = TASKS[name]
    cpu, gpu = make_engine(task, "cpu", "dense"), make_engine(task, "cuda")
    size, recipe = len(task.train.labels), task.recipe.lasting(8)
    masks = rng().random((3, cpu.layout.space.size)) < 0.5
    batches = np.stack([rng(step).choice(size, recipe.batch_size, replace=False) for step in range(8)])
    job = Job(masks, start_of(task, cpu), recipe, batches)
    expected, found = train(cpu, job), train(gpu, job)
    assert not found.vector[~masks].any()
    np.testing.assert_allclose(found.vector, expected.vector, rtol=5e-3, atol=2e-3)  # convolutions round their inputs
    np.testing.assert_allclose(found.rest, expected.rest, rtol=5e-3, atol=2e-3)
    np.testing.assert_allclose(gpu.measure(found, task.test).loss, cpu.measure(found, task.test).loss, rtol=5e-3)


def test_what_a_network_draws_is_the_same_each_time() -> None:
    """Not the same as on a CPU: each device has a generator of its own."""
    task = tiny.make_task(tiny.dropout_network, SGD)
    gpu = make_engine(task, "cuda")
    masks = np.ones((2, gpu.layout.space.size), dtype=bool)
    job = Job(masks, start_of(task, gpu), task.recipe, np.stack([np.arange(30) + step for step in range(8)]))
    first, second = train(gpu, job), train(gpu, job)
    assert np.array_equal(first.vector, second.vector)
    assert np.array_equal(first.vector[0], first.vector[1])  # draws are the batch's, not the network's


@pytest.mark.parametrize("name", [one.name for one in available(STRATEGIES) if one.distribution == "ticketsearch"])
def test_every_strategy_runs_and_gives_the_same_again(name: str, tmp_path: Path) -> None:
    def run(out: Path) -> ticketsearch.Result:
        return ticketsearch.run(name, tiny.task(), budget=60, orders=2, checkpoints=2, device="cuda", out=out)

    first, second = run(tmp_path / "a"), run(tmp_path / "b")
    assert first.device == "cuda"
    assert first.mask_digest == second.mask_digest
    assert first.confirmation.test_accuracies == second.confirmation.test_accuracies
    assert first.machine.accelerator == torch.cuda.get_device_name(0)
