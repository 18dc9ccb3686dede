"""A real network small enough to be trained in milliseconds."""

from __future__ import annotations

from functools import cache

import torch

from ticketsearch.cost import Meter
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.problem.session import Session
from ticketsearch.recipe import Recipe
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.tasks import Split, Task
from ticketsearch.tasks.networks import mlp

CLASSES, INPUTS = 3, 8
EVALUATIONS = 24


def _blobs(count: int, name: str) -> Split:
    """Gaussian blobs around three centres, overlapping, so that accuracies differ."""
    centres = stream(0, "centres").normal(size=(CLASSES, INPUTS))
    rng = stream(0, name)
    labels = rng.integers(CLASSES, size=count)
    inputs = centres[labels] + rng.normal(scale=1.2, size=(count, INPUTS))
    return Split(torch.from_numpy(inputs).float(), torch.from_numpy(labels))


@cache
def tiny_task() -> Task:
    """Blobs and a perceptron of a few hundred weights."""
    recipe = Recipe(steps=60, batch_size=30, learning_rate=0.1, momentum=0.9, schedule="cosine")
    splits = (_blobs(300, "train"), _blobs(90, "validation"), _blobs(90, "test"))
    return Task("tiny", lambda: mlp(INPUTS, 12, 10, CLASSES), *splits, recipe=recipe, fidelity=10)


def tiny_session(ledger: Ledger, seed: int = 0) -> Session:
    """A search on it, with a budget of some evaluations."""
    task = tiny_task()
    setup = Setup.of(task, DenseEngine(task, torch.device("cpu"), 1), seed)
    meter = Meter(len(task.train.labels))
    meter.limit_thirds = EVALUATIONS * evaluation_thirds(
        task.fidelity, task.recipe.batch_size, len(task.validation.labels)
    )
    return setup.session(0.9, task.fidelity, meter, ledger)
