"""Small convolutional networks on the sparse engine, and the same in one stack."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tests.helpers.engines import rng
from ticketsearch import Recipe, Split, Task
from ticketsearch.arrays import IntArray
from ticketsearch.engine import batch_indices
from ticketsearch.engine.dense.engine import MAX_CHUNK, DenseEngine

RECIPE = Recipe(steps=6, batch_size=20, learning_rate=0.02, momentum=0.9, weight_decay=1e-3)


def images(seed: int, count: int, size: int) -> Split:
    labels = torch.arange(count) % 3
    noise = torch.from_numpy(rng(seed).normal(size=(count, 3, size, size)).astype(np.float32))
    noise[torch.arange(count), labels] += 1  # a class is a colour
    return Split(noise, labels)


def small(classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2, groups=3),
        nn.BatchNorm2d(6, momentum=0.3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, classes),
    )


def make_task(network: object = small, recipe: Recipe = RECIPE, **changes: object) -> Task:
    train_split, validation, test = (images(seed, count, 9) for seed, count in ((0, 120), (1, 60), (2, 150)))
    return Task("images", network, train_split, validation, test, recipe, 3, **changes)  # type: ignore[arg-type]


def make_engine(task: Task, workers: int = 1) -> DenseEngine:
    return DenseEngine(task, torch.device("cpu"), workers)


def stacked(task: Task) -> DenseEngine:
    """The same engine with all networks of a chunk in each operation, as on a GPU."""
    engine = make_engine(task)
    engine._one_by_one = engine._images = False
    engine.grain = MAX_CHUNK
    return engine


def batches(steps: int, rows: int = 0) -> IntArray:
    if rows:
        return np.stack([batch_indices(120, 20, steps, rng(row)) for row in range(rows)])
    return batch_indices(120, 20, steps, rng())
