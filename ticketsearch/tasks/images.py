"""What image tasks share: pixels to inputs, a validation split, and the recipe that belongs to a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ticketsearch.errors import InvalidValue
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream
from ticketsearch.tasks.augmentation import Augmentation, CropFlip
from ticketsearch.tasks.task import Split

AugmentName: TypeAlias = Literal["crop-flip", "none"]
FIDELITY = 100
"""Steps of the evaluator's short training, where the recipe is not shorter still."""

_ADAM = Recipe(steps=0, batch_size=60, learning_rate=3e-4, optimizer="adam")
_SGD = Recipe(steps=0, batch_size=128, learning_rate=0.1, momentum=0.9, weight_decay=1e-4, schedule="step")
RECIPES: dict[str, tuple[Recipe, int]] = {
    "conv-2": (replace(_ADAM, learning_rate=2e-4), 27),
    "conv-4": (_ADAM, 33),
    "conv-6": (_ADAM, 40),
    "resnet-20": (_SGD, 182),
    "vgg-11-bn": (_SGD, 160),
}
"""Network -> its recipe on CIFAR-10 and how many epochs, to the next whole one, that had.

Conv-2/4/6: 20,000, 25,000 and 30,000 steps of Adam (Frankle & Carbin, arXiv:1803.03635, figure 2). ResNet-20: 64,000
steps, the rate cut at a half and at three quarters (He et al., arXiv:1512.03385, section 4.2). VGG: 160 epochs, cut
likewise (Frankle et al., arXiv:1912.05671, table 1, of VGG-16).
"""
_OTHER = (replace(_SGD, learning_rate=0.05, schedule="cosine"), 30)
"""Of any other network; ours, not published."""


def recipe_of(
    network: str,
    train_size: int,
    epochs: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
) -> Recipe:
    """The recipe of a network over some epochs.

    Args:
        network: its name.
        train_size: examples in an epoch.
        epochs: length; ``None`` = the published.
        batch_size: ``None`` = the published.
        learning_rate: likewise.

    Raises:
        InvalidValue: not a single step.
    """
    recipe, published = RECIPES.get(network, _OTHER)
    batch = recipe.batch_size if batch_size is None else batch_size
    rate = recipe.learning_rate if learning_rate is None else learning_rate
    recipe = replace(recipe, batch_size=batch, learning_rate=rate)
    if batch > train_size:
        raise InvalidValue(f"batch_size {batch} exceeds the {train_size} training examples; set batch_size or examples")
    steps = round((published if epochs is None else epochs) * (train_size // batch))
    if steps < 1:
        raise InvalidValue(f"epochs {epochs} of {train_size // batch} steps are less than one step")
    return recipe.lasting(steps)


def augmentation(name: AugmentName) -> Augmentation | None:
    """The augmentation of that name: random crops of the image padded by four pixels, and flips; or none."""
    return CropFlip(padding=4) if name == "crop-flip" else None


def normalised(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float], highest: int = 255) -> Tensor:
    """Levels ``(N, C, H, W)`` to numbers: in [0, 1], then less the mean over the deviation of each channel.

    Args:
        pixels: from 0 to ``highest``.
        mean: of each channel, ``(C,)``.
        deviation: of each channel, ``(C,)``.
        highest: the level that is 1; 255 for bytes.
    """
    channels = torch.tensor([mean, deviation], dtype=torch.float32).view(2, 1, -1, 1, 1)
    return pixels.float().div_(highest).sub_(channels[0]).div_(channels[1])


def held_out(whole: Split, count: int, name: str, examples: int | None = None) -> tuple[Split, Split]:
    """Training and validation split, the same in every run: they are part of the task, not of a run's seed.

    Args:
        whole: to be split.
        count: validation examples.
        name: of the split's random stream.
        examples: training examples to keep, the first of the rest in that stream's order; ``None`` = all.

    Raises:
        InvalidValue: there are not so many.
    """
    order = torch.from_numpy(stream(0, name, "split").permutation(len(whole.labels)).astype(np.int64))
    validation, train = order[:count], order[count:]
    if examples is not None:
        if not 1 <= examples <= len(train):
            raise InvalidValue(f"task {name!r}: examples = {examples} is not between 1 and {len(train)}")
        train = train[:examples]
    return Split(whole.inputs[train], whole.labels[train]), Split(whole.inputs[validation], whole.labels[validation])
