"""Masks with given counts, of the whole space or of each layer: at random, or the highest scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.masks.space import MaskSpace


def top_per_layer(scores: npt.NDArray[np.floating], counts: Sequence[int] | IntArray, space: MaskSpace) -> BoolArray:
    """Keep the ``counts[l]`` highest scores of each layer: ``(D,)``, ``(L,)`` -> ``(D,)``; floors first."""
    parts = []
    for layer, n in zip(space.layers, counts, strict=True):
        alone = MaskSpace((replace(layer, offset=0),), space.unit, space.floor, space.block)
        parts.append(alone.top(scores[layer.span], int(n)))
    return np.concatenate(parts, dtype=bool)


def random_per_layer(space: MaskSpace, counts: IntArray, rng: np.random.Generator) -> BoolArray:
    """A random mask that keeps exactly ``counts[l]`` units of layer l."""
    if space.block is not None:
        return top_per_layer(rng.random(space.size), counts, space)
    return np.concatenate(
        [rng.permutation(np.arange(layer.size) < n) for layer, n in zip(space.layers, counts, strict=True)], dtype=bool
    )


def random_like(mask: BoolArray, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """A random mask with the same number of kept weights in every layer: the control of sparse training."""
    return random_per_layer(space, space.counts(mask), rng)
