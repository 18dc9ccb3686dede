"""A ticket's mask with part of what it is drawn anew: which of its properties does its accuracy need?

All keep each layer's number of weights. A layer ``(outputs, inputs, ...)`` counts as a matrix of outputs by all else:
each position of a kernel is an input of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.masks.sampling import random_like
from ticketsearch.masks.space import MaskSpace

SWITCHES = 20
"""Attempted for each edge: far beyond where degree-preserving chains are seen to have mixed."""


def shuffled(mask: BoolArray, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """Each layer's count, nothing else."""
    return random_like(mask, space, rng)


def fan_in_kept(mask: BoolArray, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """Each output keeps as many weights, of other inputs."""
    return _by_layer(mask, space, lambda layer: _rows_shuffled(layer, rng))


def fan_out_kept(mask: BoolArray, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """Each input keeps as many weights, of other outputs."""
    return _by_layer(mask, space, lambda layer: _rows_shuffled(layer.T, rng).T)


def degrees_kept(mask: BoolArray, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """Each output and each input keep as many weights: edges switched in pairs, over and over."""
    return _by_layer(mask, space, lambda layer: _switched(layer, rng))


REDRAWN = {
    "layer counts kept": shuffled,
    "fan-in kept": fan_in_kept,
    "fan-out kept": fan_out_kept,
    "both degrees kept": degrees_kept,
}
"""What is kept -> how the rest is drawn anew."""


def _by_layer(mask: BoolArray, space: MaskSpace, change: Callable[[BoolArray], BoolArray]) -> BoolArray:
    parts = [change(mask[layer.span].reshape(layer.shape[0], -1)).reshape(-1) for layer in space.layers]
    return np.concatenate(parts, dtype=bool)


def _rows_shuffled(layer: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Each row permuted by itself."""
    shuffled_rows: BoolArray = rng.permuted(layer, axis=1)
    return shuffled_rows


def _switched(layer: BoolArray, rng: np.random.Generator) -> BoolArray:
    """A random matrix with the same row and column sums: (i,j), (k,l) become (i,l), (k,j) where that is no edge."""
    switched = layer.copy()
    rows, columns = (part.tolist() for part in np.nonzero(layer))
    edges = len(rows)
    if edges < 2:
        return switched
    taken = set(zip(rows, columns, strict=True))
    for first, second in rng.integers(edges, size=(SWITCHES * edges, 2)).tolist():
        a, b = (rows[first], columns[second]), (rows[second], columns[first])
        if a not in taken and b not in taken:
            taken -= {(rows[first], columns[first]), (rows[second], columns[second])}
            taken |= {a, b}
            columns[first], columns[second] = columns[second], columns[first]
    switched[:] = False
    switched[rows, columns] = True
    return switched
