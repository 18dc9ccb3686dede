"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) through torchvision: 45,000 / 5,000 / 10,000 images of 3x32x32.

Recipes are those published with the networks; see :data:`ticketsearch.tasks.images.RECIPES`.
"""

from __future__ import annotations

from ticketsearch.tasks.datasets import CIFAR10, CIFAR100, image_task
from ticketsearch.tasks.images import RECIPES, AugmentName
from ticketsearch.tasks.task import DataSource, Task


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
    return image_task("cifar10-conv2", CIFAR10, "conv-2", source, epochs=epochs, examples=examples, augment=augment)


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
    return image_task("cifar10-conv4", CIFAR10, "conv-4", source, epochs=epochs, examples=examples, augment=augment)


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
    return image_task("cifar10-conv6", CIFAR10, "conv-6", source, epochs=epochs, examples=examples, augment=augment)


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
    return image_task(
        "cifar10-resnet20", CIFAR10, "resnet-20", source, epochs=epochs, examples=examples, augment=augment
    )


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
    return image_task(
        "cifar10-vgg11bn", CIFAR10, "vgg-11-bn", source, epochs=epochs, examples=examples, augment=augment
    )


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
    return image_task(
        "cifar100-resnet20", CIFAR100, "resnet-20", source, epochs=epochs, examples=examples, augment=augment
    )
