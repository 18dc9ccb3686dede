"""``moons``, ``circles``, ``blobs``: points in the plane, drawn by scikit-learn's formulas; and its ``digits``.

Small enough that whole populations of networks are measured at once, and with initial weights and biases uniform in
(-1, 1): the tasks of searches for networks that need no training (arXiv:2411.04658). Validation and test points are
drawn as the training points are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from ticketsearch.arrays import FloatArray, IntArray
from ticketsearch.errors import InvalidValue, MissingData
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream
from ticketsearch.tasks.networks import mlp
from ticketsearch.tasks.networks.mlp import times
from ticketsearch.tasks.task import Split, Task

Examples = Annotated[int, Field(ge=100, le=1_000_000)]
Noise = Annotated[float, Field(ge=0, le=10)]
Draw = Callable[[int, np.random.Generator], tuple[FloatArray, IntArray]]
RECIPE = Recipe(steps=2000, batch_size=100, learning_rate=1e-2, optimizer="adam", schedule="cosine")
SPREAD = 1.0
"""Of initial weights and biases: uniform in (-1, 1)."""
CENTRES = ((-4.0, -4.0), (0.0, 4.0), (4.0, -4.0))
"""Of the blobs."""


def moons(hidden: int | str = 20, examples: Examples = 50_000, noise: Noise = 0.07) -> Task:
    """MLP 2-20-2 on two half circles that reach into each other.

    Args:
        hidden: widths of the hidden layers, ``50,50``.
        examples: for training; a fifth as many for validation, and for testing.
        noise: standard deviation of what is added to each coordinate.
    """
    return _drawn("moons", hidden, examples, 2, partial(_moons, noise))


def circles(hidden: int | str = 20, examples: Examples = 50_000, noise: Noise = 0.07) -> Task:
    """MLP 2-20-2 on a circle around a circle of 0.8 times its radius.

    Args:
        hidden: widths of the hidden layers, ``50,50``.
        examples: for training; a fifth as many for validation, and for testing.
        noise: standard deviation of what is added to each coordinate.
    """
    return _drawn("circles", hidden, examples, 2, partial(_circles, noise))


def blobs(hidden: int | str = 20, examples: Examples = 50_000, noise: Noise = 1.0) -> Task:
    """MLP 2-20-3 on three clouds of points.

    Args:
        hidden: widths of the hidden layers, ``50,50``.
        examples: for training; a fifth as many for validation, and for testing.
        noise: standard deviation of a cloud.
    """
    return _drawn("blobs", hidden, examples, 3, partial(_blobs, noise))


def digits(hidden: int | str = 20) -> Task:
    """MLP 64-20-10 on scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; needs scikit-learn.

    Args:
        hidden: widths of the hidden layers, ``50,50``.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingData(
            f"task 'digits' needs scikit-learn, which has them ({error}): pip install 'ticketsearch[digits]'"
        ) from error
    inputs, labels = load_digits(return_X_y=True)
    order = stream(0, "digits").permutation(len(labels))
    parts = np.split(order, [len(order) * 3 // 5, len(order) * 4 // 5])
    inputs, labels = (inputs / 16).astype(np.float32), labels.astype(np.int64)
    return _task("digits", hidden, 10, [_split(inputs[part], labels[part]) for part in parts])


def _drawn(name: str, hidden: int | str, examples: int, classes: int, draw: Draw) -> Task:
    sizes = {"train": examples, "validation": examples // 5, "test": examples // 5}
    return _task(name, hidden, classes, [_split(*draw(size, stream(0, name, part))) for part, size in sizes.items()])


def _task(name: str, hidden: int | str, classes: int, splits: list[Split]) -> Task:
    widths = [int(splits[0].inputs.shape[1]), *_widths(name, hidden), classes]
    train, validation, test = splits
    return Task(
        name=name,
        network=partial(_network, widths, 1.0),
        scaled=partial(_network, widths),
        train=train,
        validation=validation,
        test=test,
        recipe=RECIPE,
        fidelity=0,
    )


def _widths(name: str, hidden: int | str) -> list[int]:
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3}){0,7}", str(hidden), re.ASCII):
        raise InvalidValue(f"task {name!r}: hidden {hidden!r} are no widths from 1 to 9999, like 20 or '50,50'")
    return [int(width) for width in str(hidden).split(",")]


def _network(widths: list[int], factor: float) -> nn.Module:
    network = mlp(widths[0], *(times(width, factor) for width in widths[1:-1]), widths[-1])
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -SPREAD, SPREAD)
    return network


def _split(inputs: Any, labels: Any) -> Split:
    return Split(torch.from_numpy(inputs), torch.from_numpy(labels))


def _moons(noise: float, size: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    labels, angles = rng.integers(2, size=size), rng.uniform(0, math.pi, size)
    outer = np.stack([np.cos(angles), np.sin(angles)], 1)
    inner = np.stack([1 - np.cos(angles), 0.5 - np.sin(angles)], 1)
    return _noisy(np.where(labels[:, None] == 0, outer, inner), noise, rng), labels


def _circles(noise: float, size: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    labels, angles = rng.integers(2, size=size), rng.uniform(0, 2 * math.pi, size)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * np.where(labels == 0, 1.0, 0.8)[:, None]
    return _noisy(points, noise, rng), labels


def _blobs(noise: float, size: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    labels = rng.integers(3, size=size)
    return _noisy(np.array(CENTRES)[labels], noise, rng), labels


def _noisy(points: Any, noise: float, rng: np.random.Generator) -> FloatArray:
    noisy: FloatArray = (points + rng.normal(0, noise, points.shape)).astype(np.float32)
    return noisy
