"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) through torchvision: 45,000 / 5,000 / 10,000 images of 3x32x32.

Recipes are those published with the networks; see :data:`ticketsearch.tasks.images.RECIPES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ticketsearch.errors import MissingData
from ticketsearch.tasks.images import FIDELITY, RECIPES, AugmentName, augmentation, held_out, normalised, recipe_of
from ticketsearch.tasks.networks import network_factory
from ticketsearch.tasks.task import DataSource, Split, Task

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

VALIDATION_SIZE = 5_000
CLASSES = {"CIFAR10": 10, "CIFAR100": 100}
MEAN = {"CIFAR10": (0.4914, 0.4822, 0.4465), "CIFAR100": (0.5071, 0.4865, 0.4409)}
"""Of the training pixels' channels, as published with the data sets' common pipelines; so is the deviation."""
DEVIATION = {"CIFAR10": (0.2470, 0.2435, 0.2616), "CIFAR100": (0.2673, 0.2564, 0.2762)}


def cifar10_conv2(
    source: DataSource,
    *,
    epochs: float = RECIPES["conv-2"][1],
    examples: int | None = None,
    augment: AugmentName = "none",
) -> Task:
    """Conv-2 on CIFAR-10, Adam at 2e-4.

    Args:
        source: where the data set lies.
        epochs: length of the full training; the default is nearest to the published number of steps.
        examples: training images to use; none = all.
        augment: random crops of the padded image and flips, or none.
    """
    return _cifar("cifar10-conv2", "CIFAR10", "conv-2", source, epochs, examples, augment)


def cifar10_conv4(
    source: DataSource,
    *,
    epochs: float = RECIPES["conv-4"][1],
    examples: int | None = None,
    augment: AugmentName = "none",
) -> Task:
    """Conv-4 on CIFAR-10, Adam at 3e-4.

    Args:
        source: where the data set lies.
        epochs: length of the full training; the default is nearest to the published number of steps.
        examples: training images to use; none = all.
        augment: random crops of the padded image and flips, or none.
    """
    return _cifar("cifar10-conv4", "CIFAR10", "conv-4", source, epochs, examples, augment)


def cifar10_conv6(
    source: DataSource,
    *,
    epochs: float = RECIPES["conv-6"][1],
    examples: int | None = None,
    augment: AugmentName = "none",
) -> Task:
    """Conv-6 on CIFAR-10, Adam at 3e-4.

    Args:
        source: where the data set lies.
        epochs: length of the full training; the default is nearest to the published number of steps.
        examples: training images to use; none = all.
        augment: random crops of the padded image and flips, or none.
    """
    return _cifar("cifar10-conv6", "CIFAR10", "conv-6", source, epochs, examples, augment)


def cifar10_resnet20(
    source: DataSource,
    *,
    epochs: float = RECIPES["resnet-20"][1],
    examples: int | None = None,
    augment: AugmentName = "crop-flip",
) -> Task:
    """ResNet-20 on CIFAR-10, SGD at 0.1 with two cuts of the rate, augmented.

    Args:
        source: where the data set lies.
        epochs: length of the full training; the default is nearest to the published number of steps.
        examples: training images to use; none = all.
        augment: random crops of the padded image and flips, or none.
    """
    return _cifar("cifar10-resnet20", "CIFAR10", "resnet-20", source, epochs, examples, augment)


def cifar10_vgg11bn(
    source: DataSource,
    *,
    epochs: float = RECIPES["vgg-11-bn"][1],
    examples: int | None = None,
    augment: AugmentName = "crop-flip",
) -> Task:
    """VGG-11 with batch normalisation on CIFAR-10, SGD at 0.1 with two cuts of the rate, augmented.

    Args:
        source: where the data set lies.
        epochs: length of the full training.
        examples: training images to use; none = all.
        augment: random crops of the padded image and flips, or none.
    """
    return _cifar("cifar10-vgg11bn", "CIFAR10", "vgg-11-bn", source, epochs, examples, augment)


def cifar100_resnet20(
    source: DataSource,
    *,
    epochs: float = RECIPES["resnet-20"][1],
    examples: int | None = None,
    augment: AugmentName = "crop-flip",
) -> Task:
    """ResNet-20 on CIFAR-100, by CIFAR-10's recipe.

    Args:
        source: where the data set lies.
        epochs: length of the full training.
        examples: training images to use; none = all.
        augment: random crops of the padded image and flips, or none.
    """
    return _cifar("cifar100-resnet20", "CIFAR100", "resnet-20", source, epochs, examples, augment)


def _cifar(
    name: str,
    dataset: str,
    network: str,
    source: DataSource,
    epochs: float,
    examples: int | None,
    augment: AugmentName,
) -> Task:
    whole, test = (_images(dataset, source, train=train) for train in (True, False))
    train, validation = held_out(whole, min(VALIDATION_SIZE, len(whole.labels) // 10), dataset, examples)
    recipe = recipe_of(network, len(train.labels), epochs)
    return Task(
        name=name,
        network=network_factory(network, channels=3, size=32, classes=CLASSES[dataset]),
        train=train,
        validation=validation,
        test=test,
        recipe=recipe,
        fidelity=min(FIDELITY, recipe.steps),
        augment=augmentation(augment),
    )


def _images(dataset: str, source: DataSource, *, train: bool) -> Split:
    from torchvision import datasets

    kind: type[CIFAR10] = getattr(datasets, dataset)
    folder = source.data_folder
    try:
        images = kind(str(folder), train=train, download=source.download)
    except (RuntimeError, OSError) as error:
        raise MissingData(
            f"no readable {dataset} in {folder / kind.base_folder}; name the folder that holds it with --data-root or "
            f"TICKETSEARCH_DATA, or fetch it with --download ({str(error).splitlines()[0]})"
        ) from error
    pixels = torch.from_numpy(images.data).permute(0, 3, 1, 2)  # (N, 3, 32, 32)
    return Split(normalised(pixels, MEAN[dataset], DEVIATION[dataset]), torch.tensor(images.targets))
