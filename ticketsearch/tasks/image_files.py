"""Finding the images of a folder of classes, and decoding one.

Names that begin with a dot are left out: they belong to editors, notebooks and file managers. Everything else that
looks like an image must be one. What cannot be read is collected, so that one error tells all of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ticketsearch.errors import InvalidValue, MissingData

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""``(3, size, size)``: bytes, or 16-bit levels of an image that has more than 256."""
SHOWN = 10
"""Names in an error; of the rest it gives the number."""


@dataclass
class Listing:
    """What is in a folder of classes.

    Attributes:
        classes: names of its folders, sorted; label i is the i-th.
        samples: files with their labels, in order.
        hidden: how many files and folders were left out since their names begin with a dot.
        faults: what is in the place of an image and cannot be read, each in words.
    """

    classes: list[str] = field(default_factory=list)
    samples: list[tuple[Path, int]] = field(default_factory=list)
    hidden: int = 0
    faults: list[str] = field(default_factory=list)


def listed(folder: Path) -> Listing:
    """The images in a folder that holds one folder a class.

    Raises:
        MissingData: it holds no folders.
        InvalidValue: a class holds no images.
    """
    found, empty = Listing(), []
    for entry in _entries(folder, found):
        if _is_dangling(entry):
            found.faults.append(f"{entry.path!r} (a link to nothing)")
        elif entry.is_dir():
            before = len(found.samples) + len(found.faults)
            _collect(Path(entry.path), len(found.classes), found, set())
            found.classes.append(entry.name)
            if len(found.samples) + len(found.faults) == before:
                empty.append(entry.name)
    if not found.classes and not found.faults:
        what = f"{folder} (a link to nothing)" if _is_dangling(folder) else folder
        raise MissingData(
            f"no folders of images in {what}; name the root that holds one folder a class with --task-set root=DIR, "
            "from --data-root on"
        )
    if empty:
        from torchvision.datasets.folder import IMG_EXTENSIONS

        raise InvalidValue(
            f"{folder}: no images in the {'folder' if len(empty) == 1 else 'folders'} of {some(map(repr, empty))}; "
            f"add some, named *{' *'.join(IMG_EXTENSIONS)}, or remove what is no class"
        )
    return found


def some(names: Iterable[str]) -> str:
    """Names in a line: the first ten, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - SHOWN} more" if len(all_names) > SHOWN else ""
    return ", ".join(all_names[:SHOWN]) + more


def _entries(folder: Path, found: Listing) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, less what begins with a dot."""
    try:
        with os.scandir(folder) as entries:
            all_entries = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        found.faults.append(f"{str(folder)!r} ({error.strerror})")
        return []
    shown = [entry for entry in all_entries if not entry.name.startswith(".")]
    found.hidden += len(all_entries) - len(shown)
    return shown


def _is_dangling(path: str | os.PathLike[str]) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _collect(folder: Path, label: int, found: Listing, seen: set[str]) -> None:
    """Add the images of a class, those in folders below it after its own."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    real = os.path.realpath(folder)
    if real in seen:  # a link leads back
        return
    seen.add(real)
    below = []
    for entry in _entries(folder, found):
        if _is_dangling(entry):
            found.faults.append(f"{entry.path!r} (a link to nothing)")
        elif entry.is_dir():
            below.append(Path(entry.path))
        elif entry.name.lower().endswith(IMG_EXTENSIONS):
            if entry.is_file():
                found.samples.append((Path(entry.path), label))
            else:
                found.faults.append(f"{entry.path!r} (not a regular file)")
    for one in below:
        _collect(one, label, found, seen)


def decoded(file: Path, size: int) -> Pixels:
    """One image, scaled by its shorter side, its middle cut out, ``(3, size, size)``.

    Grey images of more than 8 bits come as 16-bit levels, 65535 for the highest value that their depth allows.

    Raises:
        ValueError: it cannot be read; says why.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                levels = np.asarray(_fitted(Image.fromarray(_fractions(image)), size)).clip(0, 1)
                grey = np.rint(levels * 65535).astype(np.uint16)
                return np.ascontiguousarray(np.broadcast_to(grey, (3, size, size)))
            colours = _fitted(image.convert("RGB"), size)
    except Exception as error:  # Pillow's decoders raise what they like about a damaged file
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    return np.ascontiguousarray(np.asarray(colours, dtype=np.uint8).transpose(2, 0, 1))


def _fitted(image: Any, size: int) -> Any:
    from torchvision.transforms import functional

    if image.size == (size, size):
        return image
    return functional.center_crop(functional.resize(image, size, antialias=True), size)


def _fractions(image: Any) -> npt.NDArray[np.float32]:
    """A deep grey image's values over the highest that its depth allows, in [0, 1], ``(height, width)``."""
    values, highest = np.asarray(image), _highest(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= highest):  # or NaN
        raise ValueError(f"its values go from {low:g} to {high:g}; they must lie between 0 and {highest:g}")
    return (values / highest).astype(np.float32)


def _highest(image: Any) -> float:
    """The highest value that a deep grey image can have: 1 for floating-point numbers."""
    if image.mode == "F":
        return 1.0
    if image.format != "TIFF":  # PNG, PGM, JPEG 2000: Pillow gives 16 bits, whatever the file's depth
        return 65535.0
    bits, signed = image.tag_v2.get(258, (16,))[0], image.tag_v2.get(339, (1,))[0] == 2
    return float(2 ** (bits - 1 if signed else bits) - 1)
