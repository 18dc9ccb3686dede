"""Compiled packing of batches and masks into the arrays that :mod:`ticketsearch.engine.sparse.kernels` works on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ticketsearch.arrays import BoolArray, FloatArray, IntArray
from ticketsearch.engine.jit import compiled
from ticketsearch.engine.sparse.vectors import LANES

Int32Array = npt.NDArray[np.int32]


@compiled
def gather(inputs, batches, lanes, out):
    """Examples ``(N, I)`` by ``(S, B)`` indices -> feature-major ``(S, I, lanes)``; lanes beyond B are zero."""
    steps, batch = batches.shape
    width = inputs.shape[1]
    for s in range(steps):
        for f in range(width):
            out[s, f, batch:lanes] = 0
        for first in range(0, width, LANES):
            last = min(first + LANES, width)
            for b in range(batch):
                example = batches[s, b]
                for f in range(first, last):
                    out[s, f, b] = inputs[example, f]


class Network(NamedTuple):
    """One masked perceptron in training; :mod:`ticketsearch.engine.sparse.kernels` explains the arrays.

    Attributes:
        rows, sources, columns, targets, entries: the structure of the kept weights.
        weights: their values, then one bias per feature.
        alive: like ``weights``, false where a value never changes.
        first, second: the optimiser's state, like ``weights``; ``second`` is empty under SGD.
    """

    rows: IntArray
    sources: Int32Array
    columns: IntArray
    targets: Int32Array
    entries: Int32Array
    weights: FloatArray
    alive: BoolArray
    first: FloatArray
    second: FloatArray


@compiled
def pack(mask, held, start, rest, rest_mask, widths, with_bias, dense_from, adam):
    """The arrays of one network.

    Args:
        mask: ``(D,)``.
        held: values of the pruned weights, ``(D,)``; empty if they are zero.
        start: start weights, ``(D,)``.
        rest: biases of the features that have one.
        rest_mask: which of them are trained; the others are zero. Empty if all are.
        widths: units of each layer, input first.
        with_bias: which features have a bias, ``(F,)``.
        dense_from: density from which a layer is stored whole; so is a layer that holds pruned weights at a value.
        adam: whether the optimiser needs a second moment.
    """
    layers, features = widths.size - 1, with_bias.size
    whole = np.empty(layers, dtype=np.bool_)
    stored, behind_input, first = 0, 0, 0
    for layer in range(layers):
        size, kept, nonzero = widths[layer] * widths[layer + 1], 0, 0
        for i in range(first, first + size):
            kept += mask[i]
        for i in range(first, first + size if held.size else first):
            nonzero += held[i] != 0 and not mask[i]
        whole[layer] = kept >= dense_from * size or nonzero > 0
        count = size if whole[layer] else kept
        stored += count
        behind_input += count if layer else 0
        first += size
    rows = np.zeros(features + 1, dtype=np.int64)
    sources = np.empty(stored + 1, dtype=np.int32)
    columns = np.zeros(features - widths[layers] + 1, dtype=np.int64)
    targets, entries = np.empty(behind_input, dtype=np.int32), np.empty(behind_input, dtype=np.int32)
    weights = np.empty(stored + features, dtype=np.float32)
    alive = np.empty(stored + features, dtype=np.bool_)
    _compress(mask, held, whole, start, widths, rows, sources, columns, targets, entries, weights, alive)
    taken = 0
    for i in range(features):
        trained = with_bias[i] and (rest_mask.size == 0 or rest_mask[taken])
        weights[stored + i] = rest[taken] if trained else np.float32(0.0)
        alive[stored + i] = trained
        taken += with_bias[i]
    moments = np.zeros(weights.size, dtype=np.float32)
    squares = np.zeros(weights.size if adam else 0, dtype=np.float32)
    return Network(rows, sources, columns, targets, entries, weights, alive, moments, squares)


@njit(nogil=True, inline="always", error_model="numpy")
def _compress(mask, held, whole, start, widths, rows, sources, columns, targets, entries, weights, alive):
    """Fill the structure and the values, layer by layer.

    Layers marked in ``whole`` ``(L,)`` are stored with their pruned weights. ``sources``, ``weights`` and ``alive``
    have room for one entry more than there are: every position is written and only a stored one moves on, which is
    faster than a branch nobody can predict.
    """
    entry, feature, position, below = 0, 0, 0, 0
    for layer in range(widths.size - 1):
        first = feature
        for _ in range(widths[layer + 1]):
            for c in range(widths[layer]):
                kept = mask[position]
                sources[entry] = c
                weights[entry] = start[position] if kept else held[position] if held.size else np.float32(0.0)
                alive[entry] = kept
                entry += kept or whole[layer]
                position += 1
            feature += 1
            rows[feature] = entry
        if layer > 0:
            _transpose(rows, sources, columns, targets, entries, first, feature, below, widths[layer])
            below += widths[layer]


@compiled
def unpack(network, mask, widths, out):
    """Write a network's weights into ``out`` ``(D,)``, which holds zeros."""
    position, feature = 0, 0
    for layer in range(widths.size - 1):
        inputs, outputs = widths[layer], widths[layer + 1]
        entry = network.rows[feature]
        whole = network.rows[feature + outputs] - entry == inputs * outputs
        feature += outputs
        for i in range(position, position + inputs * outputs):
            if whole or mask[i]:
                out[i] = network.weights[entry]
                entry += 1
        position += inputs * outputs


@njit(nogil=True, inline="always", error_model="numpy")
def _transpose(rows, sources, columns, targets, entries, first, last, below, inputs):
    """Entries of features [first, last) by source feature, in order; sources are features [below, below + inputs)."""
    counts = np.zeros(inputs + 1, dtype=np.int64)
    for j in range(rows[first], rows[last]):
        counts[sources[j] + 1] += 1
    for c in range(inputs):
        counts[c + 1] += counts[c]
        columns[below + c + 1] = columns[below] + counts[c + 1]
    for i in range(first, last):
        for j in range(rows[i], rows[i + 1]):
            slot = columns[below] + counts[sources[j]]
            targets[slot] = i - first
            entries[slot] = j
            counts[sources[j]] += 1
