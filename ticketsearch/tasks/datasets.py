"""The image data sets that torchvision reads, and tasks of one of them and a network with its published recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ticketsearch.errors import MissingData
from ticketsearch.tasks.images import FIDELITY, AugmentName, augmentation, held_out, normalised, recipe_of
from ticketsearch.tasks.networks import network_factory, scaled_factory
from ticketsearch.tasks.task import DataSource, Split, Task

VALIDATION_SIZE = 5_000
"""Of a published data set; of a smaller one a tenth."""


@dataclass(frozen=True)
class ImageData:
    """A data set: torchvision's name of it, its classes, the size of its images, and their channels' statistics.

    Mean and deviation are those of the training pixels in [0, 1], as published with the data sets' common pipelines.
    ``stream`` names the random stream of the validation split; default the data set's name.
    """

    name: str
    classes: int
    size: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    stream: str = ""

    def split(self, source: DataSource, *, train: bool) -> Split:
        """The images of one of its two files, normalised, ``(N, C, size, size)``.

        Raises:
            MissingData: they are not there, or cannot be read.
        """
        from torchvision import datasets

        kind: Any = getattr(datasets, self.name)
        folder = source.data_folder
        try:
            images = kind(str(folder), train=train, download=source.download)
        except (RuntimeError, OSError) as error:
            raise MissingData(
                f"no readable {self.name} in {folder / getattr(kind, 'base_folder', self.name)}; name the folder that "
                "holds it with --data-root or TICKETSEARCH_DATA, or fetch it with --download "
                f"({str(error).splitlines()[0]})"
            ) from error
        pixels = torch.as_tensor(images.data)  # (N, H, W), or (N, H, W, C)
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        return Split(normalised(pixels, self.mean, self.deviation), torch.as_tensor(images.targets))

    def splits(self, source: DataSource, name: str, examples: int | None = None) -> tuple[Split, Split, Split]:
        """Training, validation and test; ``name`` is that of the random stream which chooses the validation."""
        whole, test = (self.split(source, train=train) for train in (True, False))
        count = min(VALIDATION_SIZE, len(whole.labels) // 10)
        return *held_out(whole, count, name, examples), test


MNIST = ImageData("MNIST", 10, 28, (0.1307,), (0.3081,))
FASHION_MNIST = ImageData("FashionMNIST", 10, 28, (0.2860,), (0.3530,))
CIFAR10 = ImageData("CIFAR10", 10, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CIFAR100 = ImageData("CIFAR100", 100, 32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


def image_task(
    name: str,
    data: ImageData,
    network: str,
    source: DataSource,
    *,
    epochs: float,
    examples: int | None,
    augment: AugmentName,
) -> Task:
    """A network on a data set, by the network's published recipe.

    Args:
        name: of the task.
        data: the data set.
        network: name of one of :mod:`ticketsearch.tasks.networks`.
        source: where the data set lies.
        epochs: length of the full training.
        examples: training images to use; ``None`` = all.
        augment: random crops and flips, or none.
    """
    train, validation, test = data.splits(source, data.stream or data.name, examples)
    recipe = recipe_of(network, len(train.labels), epochs)
    return Task(
        name=name,
        network=network_factory(network, channels=len(data.mean), size=data.size, classes=data.classes),
        scaled=scaled_factory(network, channels=len(data.mean), size=data.size, classes=data.classes),
        train=train,
        validation=validation,
        test=test,
        recipe=recipe,
        fidelity=min(FIDELITY, recipe.steps),
        augment=augmentation(augment),
    )
