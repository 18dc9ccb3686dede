"""Images in folders, one folder a class: which there are, and what is in them.

Names that begin with a dot are no classes and no images, as nowhere else. Whatever is wrong with the files of a folder
is said of all of them at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ticketsearch.errors import InvalidValue, MissingData

if TYPE_CHECKING:
    from PIL import Image

Bytes = npt.NDArray[np.uint8]
Samples = list[tuple[Path, int]]
NAMED = 10
"""Files that an error names."""
DEEP = 65535
"""The brightest level of 16 bits."""


def listed(folder: Path) -> tuple[list[str], Samples]:
    """Classes, sorted, and files with the number of their class, in order.

    Raises:
        MissingData: there are no folders of images.
        InvalidValue: a class without images, or links that lead nowhere.
    """
    try:
        hidden = 0
        classes = []
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            if entry.name.startswith("."):
                hidden += 1
            elif entry.is_dir():
                classes.append(entry.name)
            elif not os.path.exists(entry.path):
                raise InvalidValue(f"{entry.path} is a link that leads nowhere; remove it")
        found: list[list[Path]] = []
        for name in classes:
            images, more = _images(folder / name)
            found.append(images)
            hidden += more
    except OSError as error:
        raise MissingData(
            f"no folders of images in {folder} ({error.strerror}); name the root that holds one folder a class with "
            "--task-set root=DIR, from --data-root on"
        ) from error
    if not any(found):
        raise MissingData(
            f"no folders of images in {folder}; name the root that holds one folder a class with --task-set root=DIR, "
            "from --data-root on"
        )
    if empty := [name for name, images in zip(classes, found, strict=True) if not images]:
        raise InvalidValue(f"{folder}: no image in {_words(empty)}; remove the folder, or put images into it")
    if hidden:
        _tell_hidden(str(folder), hidden)
    samples = [(path, label) for label, images in enumerate(found) for path in images]
    if gone := [str(path) for path, _ in samples if not path.exists()]:
        raise InvalidValue(f"{len(gone)} links lead to no file: {_words(gone)}")
    return classes, samples


def _images(folder: Path) -> tuple[list[Path], int]:
    """Image files below a folder, in order, and how many names were left out for their dot."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    found, hidden = [], 0
    for place, folders, files in os.walk(folder, followlinks=True):
        hidden += sum(name.startswith(".") for name in (*folders, *files))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(place) / name
            for name in sorted(files)
            if not name.startswith(".") and name.lower().endswith(IMG_EXTENSIONS)
        ]
    return found, hidden


@cache
def _tell_hidden(folder: str, count: int) -> None:
    print(
        f"ticketsearch: {count} names in {folder} begin with a dot and are taken for no classes and no images",
        file=sys.stderr,
    )


def decoded(samples: Samples, size: int) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """All images as bytes ``(N, 3, size, size)``, and their labels ``(N,)``.

    Raises:
        InvalidValue: files that cannot be read, all of them counted and ten named.
    """
    images, faults = [], []
    for path, _ in samples:
        try:
            images.append(image_of(path, size))
        except InvalidValue as error:
            faults.append(str(error))
    if faults:
        raise InvalidValue(f"{len(faults)} of {len(samples)} images cannot be read: {_words(faults)}")
    return np.stack(images), np.array([label for _, label in samples], dtype=np.int64)


def image_of(path: Path, size: int) -> Bytes:
    """One image as bytes ``(3, size, size)``: scaled by its shorter side, the middle cut out.

    Raises:
        InvalidValue: it cannot be read, says why.
    """
    from PIL import Image
    from torchvision.transforms import functional

    try:
        with Image.open(path) as file:
            image = _eight_bits(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidValue(f"{path} ({str(error).replace(str(path), 'it')})") from error
    if image.size != (size, size):
        image = functional.center_crop(functional.resize(image, size, antialias=True), size)
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey images of 16 bits by their own depth; Pillow would cut off what is above 255."""
    from PIL import Image

    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > DEEP:
        span = f"from {levels.min():g} to {levels.max():g}"
        raise ValueError(f"its pixels are of mode {image.mode}, {span}; save them as 8 or 16 bits")
    return Image.fromarray(np.rint(levels.astype(np.float64) * (255 / DEEP)).astype(np.uint8))


def _words(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
