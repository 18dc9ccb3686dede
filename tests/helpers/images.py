"""Small data sets and tasks of images, which stand for those that would have to be fetched."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ticketsearch import Recipe, Split, Task
from ticketsearch.tasks.networks import network_factory


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def write_idx(root: Path, name: str) -> np.ndarray:
    """The four files of MNIST or Fashion-MNIST with 300 and 40 images; the test images."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    images = np.zeros(0, dtype=np.uint8)
    for part, count in (("train", 300), ("t10k", 40)):
        images = rng().integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(b""))
    return images


def write_folder(root: Path) -> None:
    """A folder of images: ninety of each of two classes, in a training split alone."""
    for channel, name in ((0, "ants"), (2, "bees")):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number in range(90):
            pixels = rng(number).integers(60, size=(16, 16, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(folder / f"{number}.png")


def _task(name: str, network: str, channels: int) -> Task:
    labels = torch.arange(120) // 3 % 3
    images = torch.from_numpy(rng().normal(size=(120, channels, 8, 8)).astype(np.float32))
    images[torch.arange(120), :, labels, 0] += 2.0
    train, validation, test = (Split(images[first::3], labels[first::3]) for first in range(3))
    recipe = Recipe(steps=8, batch_size=10, learning_rate=0.01, momentum=0.9)
    return Task(name, network_factory(network, channels, 8, 3), train, validation, test, recipe, fidelity=2)


def resnet() -> Task:
    return _task("small-resnet20", "resnet-20", 3)


def conv2() -> Task:
    return _task("small-conv2", "conv-2", 1)
