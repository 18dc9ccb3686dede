"""``image-folder``: classes as folders of images, as ``torchvision.datasets.ImageFolder`` reads them.

A root with a folder ``train`` and one of ``test``, ``val`` or ``validation`` is taken as split so; with both a test and
a validation folder, each is what it says. Without ``train``, the root's own folders are the classes, and a tenth of
each is held out for validation and for test. Images are decoded once, to bytes of one size, into a file of the cache
named by the digest of their paths, sizes and times of change.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ticketsearch.errors import CorruptRun, InvalidValue
from ticketsearch.files import write_atomically
from ticketsearch.tasks.image_files import Bytes, Samples, decoded, listed
from ticketsearch.tasks.images import (
    FIDELITY,
    AugmentName,
    augmentation,
    held_out,
    held_out_of_each_class,
    normalised,
    recipe_of,
)
from ticketsearch.tasks.networks import network_factory
from ticketsearch.tasks.task import DataSource, Split, Task

HELD_OUT = 0.1
"""Share of each class for a split that has no folder of its own."""
FOLDERS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that torchvision's models are trained with."""
_FORMAT = "ticketsearch-images-2"

Folders = dict[str, tuple[Bytes, npt.NDArray[np.int64]]]


def image_folder(
    source: DataSource,
    *,
    root: str,
    network: str = "resnet-20",
    size: int = 32,
    normalise: Literal["dataset", "imagenet", "none"] = "dataset",
    augment: AugmentName = "crop-flip",
    epochs: float | None = None,
    examples: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
) -> Task:
    """Any folder of images, one folder a class: PNG, JPEG and what else Pillow reads, of 8 or 16 bits.

    Args:
        source: where data sets lie.
        root: the folder, from the data folder or absolute.
        network: conv-2, conv-4, conv-6, resnet-20, vgg-11-bn, or torchvision:NAME for one of torchvision.models.
        size: pixels a side; images are scaled by their shorter side, and the middle is cut out.
        normalise: each channel by mean and deviation of the training images, by ImageNet's, or not at all.
        augment: random crops of the padded image and flips, or none.
        epochs: length of the full training; none = the network's published recipe's.
        examples: training images to use; none = all.
        batch_size: none = the published.
        learning_rate: none = the published.
    """
    if size < 1:
        raise InvalidValue(f"task 'image-folder': size = {size} is less than 1")
    folder = source.data_folder / root
    images = _decoded(folder, size, source.cache_folder / "image-folders")
    classes = int(max(labels.max() for _, labels in images.values())) + 1
    train, validation, test = _splits(images, examples)
    mean, deviation = _scale(train, normalise)
    recipe = recipe_of(network, len(train.labels), epochs, batch_size, learning_rate)
    return Task(
        name="image-folder",
        network=network_factory(network, channels=3, size=size, classes=classes),
        train=Split(normalised(train.inputs, mean, deviation), train.labels),
        validation=Split(normalised(validation.inputs, mean, deviation), validation.labels),
        test=Split(normalised(test.inputs, mean, deviation), test.labels),
        recipe=recipe,
        fidelity=min(FIDELITY, recipe.steps),
        augment=augmentation(augment),
    )


def _splits(images: Folders, examples: int | None) -> tuple[Split, Split, Split]:
    """Training, validation and test images, as bytes."""
    found = {
        name: Split(torch.from_numpy(pixels), torch.from_numpy(labels)) for name, (pixels, labels) in images.items()
    }
    for missing in ("test", "validation"):
        if missing not in found:
            found["train"], found[missing] = held_out_of_each_class(found["train"], HELD_OUT, f"image-folder {missing}")
    train = found["train"]
    if examples is not None:  # in a random order: folders are read class by class
        if not 1 <= examples <= len(train.labels):
            raise InvalidValue(f"task 'image-folder': examples = {examples} is not between 1 and {len(train.labels)}")
        train, _ = held_out(train, len(train.labels) - examples, "image-folder examples")
    return train, found["validation"], found["test"]


def _scale(train: Split, normalise: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, in [0, 1]."""
    if normalise == "imagenet":
        return IMAGENET
    if normalise == "none":
        return (0.0,) * 3, (1.0,) * 3
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([torch.bincount(train.inputs[:, c].flatten(), minlength=256) for c in range(3)]).double()
    shares = counts / counts.sum(1, keepdim=True)
    mean = shares @ levels
    deviation = (shares @ levels.square() - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(value or 1.0 for value in deviation.tolist())


def _decoded(folder: Path, size: int, cache: Path) -> Folders:
    """Split -> bytes ``(N, 3, size, size)`` and labels; from the cache, or decoded into it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    found = {name: listed(path) for name, path in _folders(folder).items()}
    classes = {name: own for name, (own, _) in found.items()}
    for name, own in classes.items():
        if own != classes["train"]:
            odd = sorted(set(own) ^ set(classes["train"]))
            raise InvalidValue(f"{folder}: the {name} folder has other classes than the training folder: {odd[:5]}")
    _check_counts(folder, classes["train"], found)
    path = cache / f"{_digest(folder, size, found)}.safetensors"
    if not path.is_file():
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, (_, samples) in found.items():
            arrays[f"{name}_images"], arrays[f"{name}_labels"] = decoded(samples, size)
        write_atomically(path, save(arrays))
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise CorruptRun(f"the decoded images {path} are damaged ({error}); delete it, it is made again") from error
    return {name: (stored[f"{name}_images"], stored[f"{name}_labels"]) for name in found}


def _folders(folder: Path) -> dict[str, Path]:
    """Split -> where its classes are, ``train`` first; for ``train`` alone, the folder itself."""
    found = {name: folder / own for name, names in FOLDERS.items() for own in names if (folder / own).is_dir()}
    if "train" not in found:
        return {"train": folder}
    if "test" not in found and "validation" in found:  # as data sets with a hidden test split are published
        found["test"] = found.pop("validation")
    return found


def _check_counts(folder: Path, classes: list[str], found: dict[str, tuple[list[str], Samples]]) -> None:
    """Raise InvalidValue if a class has too few images for each split to have one."""
    need = 1 + len({"test", "validation"} - set(found))
    counts = Counter(label for _, label in found["train"][1])
    if few := [f"{name} has {counts[label]}" for label, name in enumerate(classes) if counts[label] < need]:
        raise InvalidValue(
            f"{folder}: each class needs {need} images, so that every split has one: {', '.join(few[:10])}; add "
            "images, or remove the class"
        )


def _digest(folder: Path, size: int, found: dict[str, tuple[list[str], Samples]]) -> str:
    state = hashlib.blake2b(f"{_FORMAT} {size}".encode(), digest_size=16)
    for name, (_, samples) in found.items():
        for file, label in samples:
            status, own = file.stat(), file.relative_to(folder)
            state.update(f"\n{name} {label} {own} {status.st_size} {status.st_mtime_ns}".encode())
    return state.hexdigest()
