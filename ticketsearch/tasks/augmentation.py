"""Augmentation: what a training step does to its images. A value, so that a task stays one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.errors import InvalidValue


class Augmentation(Protocol):
    """Changes a batch; a frozen dataclass whose printed form says all that decides what it does."""

    def __call__(self, inputs: Tensor, rng: np.random.Generator) -> Tensor:
        """``(B, ...) -> (B, ...)``, of the same shape; draws from ``rng`` alone and changes no argument."""
        ...


@dataclass(frozen=True)
class CropFlip:
    """Random crops of the padded image, and horizontal flips, as in He et al. (arXiv:1512.03385, section 4.2).

    Padding is with zeros: of normalised images, the mean.

    Attributes:
        padding: pixels on each side.
        flip: whether half of the images are mirrored.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise InvalidValue(f"padding {self.padding} is less than 0")

    def __call__(self, inputs: Tensor, rng: np.random.Generator) -> Tensor:
        """Implements :class:`Augmentation` for images ``(B, C, H, W)``."""
        batch, _, height, width = inputs.shape
        down, right = rng.integers(2 * self.padding + 1, size=(2, batch, 1))
        rows = down + np.arange(height)  # (B, H), in the padded image
        columns = right + np.arange(width)  # (B, W)
        if self.flip:
            columns = np.where(rng.random((batch, 1)) < 0.5, columns[:, ::-1], columns)
        padded = F.pad(inputs, [self.padding] * 4).permute(0, 2, 3, 1)  # pixels last: they are moved whole
        images, y, x = (
            torch.from_numpy(np.ascontiguousarray(index)).to(inputs.device)
            for index in (np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :])
        )
        return padded[images, y, x].permute(0, 3, 1, 2)
