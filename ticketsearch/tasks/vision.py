"""``mnist-lenet`` and ``fashion-lenet``: LeNet-300-100 with Frankle & Carbin's recipe (arXiv:1803.03635)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ticketsearch.errors import MissingData
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream
from ticketsearch.tasks.networks import mlp
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


def _lenet(name: str, dataset: str, source: DataSource) -> Task:
    training, test = (_images(dataset, source, train=train) for train in (True, False))
    # A fixed split, the same in every run: the validation images are part of the task, not of a run's seed.
    order = torch.from_numpy(stream(0, name, "split").permutation(len(training.labels)).astype(np.int64))
    validation, train = order[:VALIDATION_SIZE], order[VALIDATION_SIZE:]
    return Task(
        name=name,
        network=partial(mlp, 784, 300, 100, 10, init="glorot"),
        train=Split(training.inputs[train], training.labels[train]),
        validation=Split(training.inputs[validation], training.labels[validation]),
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
    pixels = images.data.float().div_(255).unsqueeze(1)
    return Split((pixels - _MEAN[dataset]) / _DEVIATION[dataset], images.targets)


# Mean and standard deviation of the training pixels, as published with the data sets' common pipelines.
_MEAN = {"MNIST": 0.1307, "FashionMNIST": 0.2860}
_DEVIATION = {"MNIST": 0.3081, "FashionMNIST": 0.3530}
