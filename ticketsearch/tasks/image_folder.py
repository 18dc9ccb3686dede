"""``image-folder``: classes as folders of images, as ``torchvision.datasets.ImageFolder`` reads them.

A root with a folder ``train`` and one of ``test``, ``val`` or ``validation`` is taken as split so; with both a test and
a validation folder, each is what it says. Without ``train``, the root's own folders are the classes. A split without a
folder gets a tenth of each class of the training images, at least one. Images are decoded once, to levels of one size,
into a file of the cache named by the digest of their paths, sizes and times of change.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ticketsearch.digests import Digest
from ticketsearch.errors import CorruptRun, InvalidValue
from ticketsearch.records.files import write_atomically
from ticketsearch.seeds import stream
from ticketsearch.tasks.image_files import Listing, Pixels, decoded, listed, some
from ticketsearch.tasks.images import FIDELITY, AugmentName, augmentation, held_out, normalised, recipe_of
from ticketsearch.tasks.networks import network_factory, scaled_factory
from ticketsearch.tasks.task import DataSource, Split, Task

HELD_OUT = 0.1
"""Share of each class for a split that has no folder of its own."""
FOLDERS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that torchvision's models are trained with."""
_FORMAT = "ticketsearch-images-2"

Folders = dict[str, tuple[Pixels, npt.NDArray[np.int64]]]
"""Split -> levels ``(N, 3, size, size)``, all of one depth, and labels ``(N,)``."""


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
    """Any folder of images, one folder a class: PNG, JPEG and what else Pillow reads, also grey images of 16 bits.

    Files and folders whose names begin with a dot are left out.

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
    images, names = _read(folder, size, source.cache_folder / "image-folders")
    highest = int(np.iinfo(images["train"][0].dtype).max)
    train, validation, test = _splits(images, names, examples)
    mean, deviation = _scale(train, normalise, highest)
    recipe = recipe_of(network, len(train.labels), epochs, batch_size, learning_rate)
    return Task(
        name="image-folder",
        network=network_factory(network, channels=3, size=size, classes=len(names)),
        scaled=scaled_factory(network, channels=3, size=size, classes=len(names)),
        train=Split(normalised(train.inputs, mean, deviation, highest), train.labels),
        validation=Split(normalised(validation.inputs, mean, deviation, highest), validation.labels),
        test=Split(normalised(test.inputs, mean, deviation, highest), test.labels),
        recipe=recipe,
        fidelity=min(FIDELITY, recipe.steps),
        augment=augmentation(augment),
    )


def _splits(images: Folders, names: list[str], examples: int | None) -> tuple[Split, Split, Split]:
    """Training, validation and test images, as levels."""
    found = {name: Split(_tensor(pixels), torch.from_numpy(labels)) for name, (pixels, labels) in images.items()}
    missing = [name for name in ("test", "validation") if name not in found]
    _check_counts(found["train"], names, missing)
    for name in missing:
        found["train"], found[name] = _held_out_by_class(found["train"], f"image-folder {name}")
    train = found["train"]
    if examples is not None:  # in a random order: folders are read class by class
        if not 1 <= examples <= len(train.labels):
            raise InvalidValue(f"task 'image-folder': examples = {examples} is not between 1 and {len(train.labels)}")
        train, _ = held_out(train, len(train.labels) - examples, "image-folder examples")
    return train, found["validation"], found["test"]


def _tensor(pixels: Pixels) -> torch.Tensor:
    """Levels as PyTorch can count them."""
    return torch.from_numpy(pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32))


def _check_counts(train: Split, names: list[str], missing: list[str]) -> None:
    """Refuse classes with too few images for one in each split."""
    needed = 1 + len(missing)
    counts = np.bincount(train.labels.numpy(), minlength=len(names)).tolist()
    few = [f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if count < needed]
    if few:
        raise InvalidValue(
            f"task 'image-folder': too few images of {some(few)}: a class needs {needed}, one each for train, "
            f"{' and '.join(missing)}; add images, or folders train, val and test, or remove the class"
        )


def _held_out_by_class(whole: Split, name: str) -> tuple[Split, Split]:
    """What is left, and a tenth of each class, at least one image; drawn as :func:`held_out` does."""
    order = stream(0, name, "split").permutation(len(whole.labels))
    labels = whole.labels.numpy()
    counts = np.bincount(labels)
    by_class = order[np.argsort(labels[order], kind="stable")]  # (N,)
    place = np.arange(len(order)) - (np.cumsum(counts) - counts)[labels[by_class]]  # in its class
    share = np.maximum(1, np.rint(HELD_OUT * counts))
    held = np.zeros(len(order), dtype=bool)
    held[by_class[place < share[labels[by_class]]]] = True
    kept, out = (torch.from_numpy(order[chosen[order]].astype(np.int64)) for chosen in (~held, held))
    return Split(whole.inputs[kept], whole.labels[kept]), Split(whole.inputs[out], whole.labels[out])


def _scale(train: Split, normalise: str, highest: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, in [0, 1]."""
    if normalise == "imagenet":
        return IMAGENET
    if normalise == "none":
        return (0.0,) * 3, (1.0,) * 3
    levels = torch.arange(highest + 1, dtype=torch.float64) / highest
    channels = [train.inputs[:, channel].flatten() for channel in range(3)]
    counts = torch.stack([torch.bincount(channel, minlength=highest + 1) for channel in channels]).double()
    shares = counts / counts.sum(1, keepdim=True)
    mean = shares @ levels
    deviation = (shares @ levels.square() - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(value or 1.0 for value in deviation.tolist())


def _read(folder: Path, size: int, cache: Path) -> tuple[Folders, list[str]]:
    """The images of each split, from the cache or decoded into it, and the names of the classes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    found = {name: listed(path) for name, path in _folders(folder).items()}
    classes = found["train"].classes
    for name, own in found.items():
        if own.classes != classes and not own.faults:
            odd = sorted(set(own.classes) ^ set(classes))
            raise InvalidValue(f"{folder}: the {name} folder has other classes than the training folder: {odd[:5]}")
    if hidden := sum(one.hidden for one in found.values()):
        which = "1 file or folder whose name begins" if hidden == 1 else f"{hidden} files and folders whose names begin"
        print(f"ticketsearch: left out of {folder}: {which} with a dot", file=sys.stderr)
    faults = [fault for one in found.values() for fault in one.faults]
    path = None if faults else cache / f"{_digest(folder, size, found)}.safetensors"
    if path is None or not path.is_file():
        arrays = _decoded(found, size, faults)
        if path is None or faults:
            raise InvalidValue(
                f"{folder}: {len(faults)} {'image' if len(faults) == 1 else 'images'} cannot be read: {some(faults)}; "
                "mend or remove them"
            )
        write_atomically(path, save(arrays))
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise CorruptRun(f"the decoded images {path} are damaged ({error}); delete it, it is made again") from error
    return {name: (stored[f"{name}_images"], stored[f"{name}_labels"]) for name in found}, classes


def _decoded(found: dict[str, Listing], size: int, faults: list[str]) -> dict[str, npt.NDArray[Any]]:
    """Name -> array of what is kept; what cannot be read is added to the faults."""
    images: dict[str, list[Pixels]] = {name: [] for name in found}
    for name, listing in found.items():
        for file, _ in listing.samples:
            try:
                images[name].append(decoded(file, size))
            except ValueError as error:
                faults.append(f"{str(file)!r} ({error})")
    if faults:
        return {}
    deep = any(image.dtype == np.uint16 for own in images.values() for image in own)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, own in images.items():
        arrays[f"{name}_images"] = np.stack([_deepened(image) for image in own] if deep else own)
        arrays[f"{name}_labels"] = np.array([label for _, label in found[name].samples], dtype=np.int64)
    return arrays


def _deepened(image: Pixels) -> npt.NDArray[np.uint16]:
    """The same fractions of the highest level, in 16 bits."""
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)  # type: ignore[return-value]


def _folders(folder: Path) -> dict[str, Path]:
    """Split -> where its classes are, ``train`` first; for ``train`` alone, the folder itself."""
    found = {
        name: folder / own
        for name, names in FOLDERS.items()
        for own in names
        if (folder / own).is_dir() or (folder / own).is_symlink()  # a link to nothing is named as such later
    }
    if "train" not in found:
        return {"train": folder}
    if "test" not in found and "validation" in found:  # as data sets with a hidden test split are published
        found["test"] = found.pop("validation")
    return found


def _digest(folder: Path, size: int, found: dict[str, Listing]) -> str:
    state = Digest(size=16)
    state.add(_FORMAT, size)
    for name, listing in found.items():
        for file, label in listing.samples:
            status = file.stat()
            place = str(file.relative_to(folder)).encode("utf-8", "surrogateescape")
            state.add(name, label, place, status.st_size, status.st_mtime_ns)
    return state.text()
