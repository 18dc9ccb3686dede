"""MNIST and Fashion-MNIST: LeNet-300-100 and Conv-2 with Frankle & Carbin's recipes (arXiv:1803.03635)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ticketsearch.errors import MissingData
from ticketsearch.recipe import Recipe
from ticketsearch.tasks.images import FIDELITY, AugmentName, augmentation, held_out, normalised, recipe_of
from ticketsearch.tasks.networks import mlp, network_factory
from ticketsearch.tasks.task import DataSource, Split, Task

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

VALIDATION_SIZE = 5_000


def mnist_lenet(source: DataSource) -> Task:
    """LeNet-300-100 on MNIST; 55,000 / 5,000 / 10,000 images under the data folder."""
    return _lenet("mnist-lenet", "MNIST", source)


def fashion_lenet(source: DataSource) -> Task:
    """LeNet-300-100 on Fashion-MNIST; 55,000 / 5,000 / 10,000 images under the data folder."""
    return _lenet("fashion-lenet", "FashionMNIST", source)


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
    whole, test = (_images("FashionMNIST", source, train=train) for train in (True, False))
    train, validation = held_out(whole, VALIDATION_SIZE, "fashion-conv2", examples)
    recipe = recipe_of("conv-2", len(train.labels), epochs)
    return Task(
        name="fashion-conv2",
        network=network_factory("conv-2", channels=1, size=28, classes=10),
        train=train,
        validation=validation,
        test=test,
        recipe=recipe,
        fidelity=min(FIDELITY, recipe.steps),
        augment=augmentation(augment),
    )


def _lenet(name: str, dataset: str, source: DataSource) -> Task:
    whole, test = (_images(dataset, source, train=train) for train in (True, False))
    train, validation = held_out(whole, VALIDATION_SIZE, name)
    return Task(
        name=name,
        network=partial(mlp, 784, 300, 100, 10, init="glorot"),
        train=train,
        validation=validation,
        test=test,
        recipe=Recipe(steps=4580, batch_size=60, learning_rate=1.2e-3, optimizer="adam"),
        fidelity=916,  # one epoch
    )


def _images(dataset: str, source: DataSource, *, train: bool) -> Split:
    from torchvision import datasets

    folder = source.data_folder
    kind: type[MNIST] = getattr(datasets, dataset)
    try:
        images = kind(str(folder), train=train, download=source.download)
    except (RuntimeError, OSError) as error:
        raise MissingData(
            f"no readable {dataset} in {folder / dataset}; name the folder that holds it with --data-root or "
            f"TICKETSEARCH_DATA, or fetch it with --download ({str(error).splitlines()[0]})"
        ) from error
    return Split(normalised(images.data.unsqueeze(1), [_MEAN[dataset]], [_DEVIATION[dataset]]), images.targets)


# Mean and standard deviation of the training pixels, as published with the data sets' common pipelines.
_MEAN = {"MNIST": 0.1307, "FashionMNIST": 0.2860}
_DEVIATION = {"MNIST": 0.3081, "FashionMNIST": 0.3530}
