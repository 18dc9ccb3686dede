"""MNIST and Fashion-MNIST: LeNet-300-100 and Conv-2 with Frankle & Carbin's recipes (arXiv:1803.03635)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

from ticketsearch.errors import InvalidValue
from ticketsearch.recipe import OptimizerName, Recipe
from ticketsearch.tasks.datasets import FASHION_MNIST, MNIST, ImageData, image_task
from ticketsearch.tasks.images import AugmentName
from ticketsearch.tasks.networks import mlp, scaled_mlp
from ticketsearch.tasks.task import DataSource, Task

LENET = (784, 300, 100, 10)
InitName = Literal["glorot", "kaiming"]


def mnist_lenet(
    source: DataSource,
    *,
    epochs: float = 5,
    optimizer: OptimizerName = "adam",
    learning_rate: float = 1.2e-3,
    batch_size: int = 60,
    init: InitName = "glorot",
) -> Task:
    """LeNet-300-100 on MNIST; 55,000 / 5,000 / 10,000 images under the data folder.

    Args:
        source: where the data set lies.
        epochs: length of the full training.
        optimizer: ``adam``, ``adamw`` or ``sgd`` without momentum.
        learning_rate: constant.
        batch_size: examples per step.
        init: scale of the initial weights: Glorot & Bengio's, as in the paper, or He et al.'s (``kaiming``).
    """
    recipe = Recipe(1, batch_size, learning_rate, optimizer)
    return _lenet("mnist-lenet", MNIST, source, epochs, recipe, init)


def fashion_lenet(
    source: DataSource,
    *,
    epochs: float = 5,
    optimizer: OptimizerName = "adam",
    learning_rate: float = 1.2e-3,
    batch_size: int = 60,
    init: InitName = "glorot",
) -> Task:
    """LeNet-300-100 on Fashion-MNIST; 55,000 / 5,000 / 10,000 images under the data folder.

    Args:
        source: where the data set lies.
        epochs: length of the full training.
        optimizer: ``adam``, ``adamw`` or ``sgd`` without momentum.
        learning_rate: constant.
        batch_size: examples per step.
        init: scale of the initial weights: Glorot & Bengio's, as in the paper, or He et al.'s (``kaiming``).
    """
    recipe = Recipe(1, batch_size, learning_rate, optimizer)
    return _lenet("fashion-lenet", FASHION_MNIST, source, epochs, recipe, init)


def fashion_conv2(
    source: DataSource, *, epochs: float = 22, examples: int | None = None, augment: AugmentName = "none"
) -> Task:
    """Conv-2 on Fashion-MNIST; 55,000 / 5,000 / 10,000 images under the data folder.

    Args:
        source: where the data set lies.
        epochs: length of the full training; the default is nearest to the paper's 20,000 steps.
        examples: training images to use; none = all.
        augment: random crops and flips, or none.
    """
    name = "fashion-conv2"
    data = replace(FASHION_MNIST, stream=name)
    return image_task(name, data, "conv-2", source, epochs=epochs, examples=examples, augment=augment)


def _lenet(name: str, data: ImageData, source: DataSource, epochs: float, recipe: Recipe, init: InitName) -> Task:
    """LeNet-300-100 by a recipe, of which only the number of steps is still to be told."""
    train, validation, test = data.splits(source, name)
    epoch = max(1, len(train.labels) // recipe.batch_size)
    if not 0 < epochs <= 10_000:
        raise InvalidValue(f"task {name!r}: epochs {epochs:g} is not above 0, and at most 10000")
    return Task(
        name=name,
        network=partial(mlp, *LENET, init=init),
        scaled=partial(scaled_mlp, LENET, init=init),
        train=train,
        validation=validation,
        test=test,
        recipe=recipe.lasting(round(epochs * epoch)),
        fidelity=epoch,
    )
