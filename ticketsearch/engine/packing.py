"""Compiled packing of batches and masks into the arrays that :mod:`ticketsearch.engine.kernels` works on."""

from __future__ import annotations

import numpy as np
from numba import njit

from ticketsearch.engine.vectors import LANES


@njit(nogil=True, cache=True, error_model="numpy")
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


@njit(nogil=True, cache=True, error_model="numpy")
def compress(mask, dense, start, biases, widths, rows, sources, columns, targets, entries, weights, alive):
    """Fill a network's arrays from a mask ``(D,)``, start weights ``(D,)`` and biases ``(F,)``; see the kernels.

    Layers marked in ``dense`` ``(L,)`` are stored whole, their pruned weights as zeros; ``alive`` tells the kept
    entries from them. ``sources``, ``weights`` and ``alive`` need room for one entry more than there are: every
    position is written and only a kept one moves on, which is faster than a branch nobody can predict.
    """
    entry, feature, position, below = 0, 0, 0, 0
    rows[0] = 0
    columns[0] = 0
    for layer in range(widths.size - 1):
        first = feature
        for _ in range(widths[layer + 1]):
            for c in range(widths[layer]):
                kept = mask[position]
                sources[entry] = c
                weights[entry] = start[position] if kept else np.float32(0.0)
                alive[entry] = kept
                entry += kept or dense[layer]
                position += 1
            feature += 1
            rows[feature] = entry
        if layer > 0:
            _transpose(rows, sources, columns, targets, entries, first, feature, below, widths[layer])
            below += widths[layer]
    for i in range(biases.size):
        weights[entry + i] = biases[i]


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
