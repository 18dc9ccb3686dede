"""MNIST and Fashion-MNIST: LeNet-300-100 and Conv-2 with Frankle & Carbin's recipes (arXiv:1803.03635)."""

from __future__ import annotations

from functools import partial

from ticketsearch.recipe import Recipe
from ticketsearch.tasks.datasets import FASHION_MNIST, MNIST, ImageData, image_task
from ticketsearch.tasks.images import AugmentName
from ticketsearch.tasks.networks import mlp
from ticketsearch.tasks.task import DataSource, Task


def mnist_lenet(source: DataSource) -> Task:
    """LeNet-300-100 on MNIST; 55,000 / 5,000 / 10,000 images under the data folder."""
    return _lenet("mnist-lenet", MNIST, source)


def fashion_lenet(source: DataSource) -> Task:
    """LeNet-300-100 on Fashion-MNIST; 55,000 / 5,000 / 10,000 images under the data folder."""
    return _lenet("fashion-lenet", FASHION_MNIST, source)


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
    return image_task(
        name, FASHION_MNIST, "conv-2", source, epochs=epochs, examples=examples, augment=augment, split=name
    )


def _lenet(name: str, data: ImageData, source: DataSource) -> Task:
    train, validation, test = data.splits(source, name)
    return Task(
        name=name,
        network=partial(mlp, 784, 300, 100, 10, init="glorot"),
        train=train,
        validation=validation,
        test=test,
        recipe=Recipe(steps=4580, batch_size=60, learning_rate=1.2e-3, optimizer="adam"),
        fidelity=916,  # one epoch
    )
