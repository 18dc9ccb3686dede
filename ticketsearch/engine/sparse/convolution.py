"""Compiled training of one sparse convolutional network.

The network lies in memory as :mod:`ticketsearch.engine.sparse.planes` says; a batch is worked through in blocks of 16
examples, each forward and backward through all layers, and their gradients are added up in order. A kept weight of a
convolution then costs one fused multiply-add per line in each of three products, as in
:mod:`ticketsearch.engine.sparse.vectors`, whose row is here a run of RUN lines of a plane: accumulators (or, for the
gradient, the deltas) stay in registers while the kept weights of an output pass by, and the runs of all inputs it needs
stay in the second-level cache for the other outputs.

Activations are ``h``, gradients ``d``, both ``(lines, 16)``. Borders are zero in both, always.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ticketsearch.arrays import BoolArray, FloatArray, IntArray
from ticketsearch.engine.jit import compiled
from ticketsearch.engine.sparse.kernels import ADAM, output_gradient, softmax, sparsify, update
from ticketsearch.engine.sparse.packing import Int32Array
from ticketsearch.engine.sparse.planes import RUN
from ticketsearch.engine.sparse.vectors import LANES, backward_row, forward_row, gradient_row, pool_run, unpool_run

LINE_BYTES = 4 * LANES
PLANES, LINES = (0,) * RUN, (0,)
"""Tiles, whose length says how many lines a run has: in planes of a convolution, and between linear layers."""


class Network(NamedTuple):
    """One masked network in training.

    Outputs of all layers are numbered through, F in all; those of a layer lie together. So are the inputs of all layers
    but the first, by which the same entries are listed once more.

    Attributes:
        rows: entries of output i are ``rows[i] : rows[i + 1]``, ``(F + 1,)``.
        sources: distance in lines of what an entry is multiplied with, ``(E,)``.
        columns, targets, entries: the same by input: distances of the outputs, and which entry it is.
        weights: of the entries, then a bias of every output, ``(E + F,)``.
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
def pack(mask, held, start, rest, layers, taps, with_bias, optimizer):
    """The arrays of one network.

    Args:
        mask: ``(D,)``.
        held: values of the pruned weights, ``(D,)``; empty if they are zero. Those that are not are entries as well.
        start: start weights, ``(D,)``.
        rest: biases of the outputs that have one.
        layers: where everything lies; this and the next two are those of a
            :class:`ticketsearch.engine.sparse.planes.Plan`.
        taps: distances of the weights of one output of each layer.
        with_bias: which outputs have a bias.
        optimizer: ``ADAM`` needs a second moment.
    """
    stored, behind, position, inputs = 0, 0, 0, 0
    for number in range(layers.size):
        size, before = layers[number].outputs * layers[number].fan_in, stored
        for i in range(position, position + size):
            stored += mask[i]
        for i in range(position, position + size if held.size else position):
            stored += held[i] != 0 and not mask[i]
        position += size
        behind += stored - before if number else 0
        inputs += layers[number].inputs if number else 0
    outputs = with_bias.size
    rows, columns = np.zeros(outputs + 1, dtype=np.int64), np.zeros(inputs + 1, dtype=np.int64)
    sources = np.empty(stored + 1, dtype=np.int32)  # every position is written, and only a stored one moves on
    targets, entries = np.empty(behind, dtype=np.int32), np.empty(behind, dtype=np.int32)
    weights = np.empty(stored + outputs, dtype=np.float32)
    alive = np.empty(stored + outputs, dtype=np.bool_)
    owners = np.empty(stored + 1, dtype=np.int32)  # inputs that entries belong to
    entry, position, output, column = 0, 0, 0, 0
    for number in range(layers.size):
        layer = layers[number]
        first, across = output, layer.inputs // layer.groups
        for o in range(layer.outputs):
            lowest = o // (layer.outputs // layer.groups) * across
            for i in range(layer.fan_in):
                kept = mask[position]
                value = start[position] if kept else held[position] if held.size else np.float32(0.0)
                owners[entry] = lowest + i // layer.area
                sources[entry] = taps[layer.taps + i] + lowest * layer.source_plane
                weights[entry], alive[entry] = value, kept
                entry += kept or value != 0
                position += 1
            output += 1
            rows[output] = entry
        if number > 0:
            _transpose(layer, rows[first : output + 1], sources, owners, columns, column, targets, entries)
            column += layer.inputs
    taken = 0
    for i in range(outputs):
        weights[stored + i] = rest[taken] if with_bias[i] else np.float32(0.0)
        alive[stored + i] = with_bias[i]
        taken += with_bias[i]
    moments = np.zeros(weights.size, dtype=np.float32)
    squares = np.zeros(weights.size if optimizer == ADAM else 0, dtype=np.float32)
    return Network(rows, sources, columns, targets, entries, weights, alive, moments, squares)


@njit(nogil=True, error_model="numpy")
def _transpose(layer, rows, sources, owners, columns, column, targets, entries):
    """List a layer's entries by input, in order; its inputs are numbered from ``column`` on."""
    counts = np.zeros(layer.inputs, dtype=np.int64)
    for j in range(rows[0], rows[rows.size - 1]):
        counts[owners[j]] += 1
    for c in range(layer.inputs):
        columns[column + c + 1] = columns[column + c] + counts[c]
        counts[c] = columns[column + c]
    for o in range(layer.outputs):
        for j in range(rows[o], rows[o + 1]):
            owner = owners[j]
            slot = counts[owner]
            targets[slot] = o * layer.target_plane - (sources[j] - owner * layer.source_plane)
            entries[slot] = j
            counts[owner] = slot + 1


@compiled
def unpack(network, mask, held, out):
    """Write a network's weights into ``out`` ``(D,)``, which holds zeros."""
    entry = 0
    for i in range(mask.size):
        if mask[i] or (held.size and held[i] != 0):
            out[i] = network.weights[entry]
            entry += 1


@njit(nogil=True, error_model="numpy")
def _place(inputs, chosen, layer, h):
    """Examples ``(N, C, H, W)`` by index, at most 16, into the planes of the first layer; other lanes are zero."""
    for c in range(layer.inputs):
        for y in range(layer.height):
            first = layer.source + c * layer.source_plane + y * layer.pitch
            for lane in range(LANES):
                if lane < chosen.size:
                    row = inputs[chosen[lane], c, y]
                    for x in range(layer.width):
                        h[first + x, lane] = row[x]
                else:
                    for x in range(layer.width):
                        h[first + x, lane] = 0


@njit(nogil=True, error_model="numpy")
def sum_forward(tile, layer, rows, index, values, biases, h):
    """The outputs of a layer, run by run."""
    source = np.int64(h.ctypes.data) + LINE_BYTES * layer.source
    target = np.int64(h.ctypes.data) + LINE_BYTES * layer.target
    size = layer.height * layer.pitch
    for t in range(0, size, len(tile)):
        for o in range(layer.outputs):
            forward_row(
                tile,
                np.int64(rows[o]),
                np.int64(rows[o + 1]),
                index,
                values,
                source + LINE_BYTES * t,
                np.int64(LINE_BYTES),
                biases[o],
                layer.rectify != 0,
                target + LINE_BYTES * (o * layer.target_plane + t),
            )
        if layer.pool == 0 and layer.linear == 0:  # a later convolution reads the borders
            for k in range(t, t + len(tile)):
                if k % layer.pitch >= layer.width or k >= size:
                    for o in range(layer.outputs):
                        h[layer.target + o * layer.target_plane + k] = 0


@njit(nogil=True, error_model="numpy")
def sum_gradient(tile, layer, rows, index, h, d, grads, bias_grads):
    """Add a layer's gradients, run by run."""
    source = np.int64(h.ctypes.data) + LINE_BYTES * layer.source
    target = np.int64(d.ctypes.data) + LINE_BYTES * layer.target
    out = np.int64(grads.ctypes.data)
    for t in range(0, layer.height * layer.pitch, len(tile)):
        for o in range(layer.outputs):
            bias_grads[o] += gradient_row(
                tile,
                np.int64(rows[o]),
                np.int64(rows[o + 1]),
                index,
                source + LINE_BYTES * t,
                np.int64(LINE_BYTES),
                target + LINE_BYTES * (o * layer.target_plane + t),
                True,
                out,
            )


@njit(nogil=True, error_model="numpy")
def sum_backward(tile, layer, gate, columns, index, order, values, h, d):
    """The gradient at a layer's inputs, run by run; zero where they are, if they come from a ReLU (``gate``)."""
    target = np.int64(d.ctypes.data) + LINE_BYTES * layer.target
    for t in range(0, layer.height * layer.pitch, len(tile)):
        for c in range(layer.inputs):
            here = LINE_BYTES * (layer.source + c * layer.source_plane + t)
            backward_row(
                tile,
                np.int64(columns[c]),
                np.int64(columns[c + 1]),
                index,
                order,
                values,
                target + LINE_BYTES * t,
                np.int64(LINE_BYTES),
                np.int64(h.ctypes.data) + here,
                gate,
                np.int64(d.ctypes.data) + here,
            )


@njit(nogil=True, error_model="numpy")
def _pool(layer, h):
    """The maxima of windows."""
    base, pitch = np.int64(h.ctypes.data), LINE_BYTES * layer.pitch
    for c in range(layer.outputs):
        for y in range(layer.height // layer.pool):
            window = layer.target + c * layer.target_plane + y * layer.pool * layer.pitch
            place = layer.pooled + c * layer.pooled_plane + y * layer.pooled_pitch
            pool_run(
                layer.pool, layer.width // layer.pool, base + LINE_BYTES * window, pitch, base + LINE_BYTES * place
            )


@njit(nogil=True, error_model="numpy")
def _unpool(layer, h, d):
    """The gradient at the outputs of a layer from that at the maxima: it goes to the first maximum that is positive."""
    at_h, at_d, pitch = np.int64(h.ctypes.data), np.int64(d.ctypes.data), LINE_BYTES * layer.pitch
    for c in range(layer.outputs):
        for y in range(layer.height // layer.pool):
            window = LINE_BYTES * (layer.target + c * layer.target_plane + y * layer.pool * layer.pitch)
            place = LINE_BYTES * (layer.pooled + c * layer.pooled_plane + y * layer.pooled_pitch)
            unpool_run(
                layer.pool, layer.width // layer.pool, at_h + window, pitch, at_h + place, at_d + place, at_d + window
            )


@njit(nogil=True, error_model="numpy")
def _forward(layers, network, h):
    """All layers; the last one's outputs are the logits."""
    index, values = np.int64(network.sources.ctypes.data), np.int64(network.weights.ctypes.data)
    biases = network.weights[network.rows[network.rows.size - 1] :]
    output = 0
    for number in range(layers.size):
        layer = layers[number]
        rows, own = network.rows[output : output + layer.outputs + 1], biases[output:]
        if layer.linear:
            sum_forward(LINES, layer, rows, index, values, own, h)
        else:
            sum_forward(PLANES, layer, rows, index, values, own, h)
        if layer.pool:
            _pool(layer, h)
        output += layer.outputs


@njit(nogil=True, error_model="numpy")
def _backward(layers, network, h, d, grads):
    """Add the gradients of all entries and biases, from the output gradient at the logits."""
    at_sources, at_targets = np.int64(network.sources.ctypes.data), np.int64(network.targets.ctypes.data)
    order, values = np.int64(network.entries.ctypes.data), np.int64(network.weights.ctypes.data)
    bias_grads = grads[network.rows[network.rows.size - 1] :]
    output, column = network.rows.size - 1, network.columns.size - 1
    for number in range(layers.size - 1, -1, -1):
        layer = layers[number]
        output -= layer.outputs
        rows, own = network.rows[output : output + layer.outputs + 1], bias_grads[output:]
        if layer.linear:
            sum_gradient(LINES, layer, rows, at_sources, h, d, grads, own)
        else:
            sum_gradient(PLANES, layer, rows, at_sources, h, d, grads, own)
        if number == 0:
            break
        below = layers[number - 1]
        column -= layer.inputs
        columns = network.columns[column : column + layer.inputs + 1]
        if layer.linear:
            sum_backward(LINES, layer, below.pool == 0, columns, at_targets, order, values, h, d)
        else:
            sum_backward(PLANES, layer, below.pool == 0, columns, at_targets, order, values, h, d)
        if below.pool:
            _unpool(below, h, d)


@njit(nogil=True, error_model="numpy")
def _loss(labels, chosen, z, peak, total):
    """Summed cross-entropy of a block, after :func:`softmax`."""
    loss = 0.0
    for b in range(chosen.size):
        loss += math.log(total[b]) + peak[b] - z[labels[chosen[b]], b]
    return loss


@compiled
def train(inputs, labels, batches, rates, layers, outputs, rules, done, losses, network, h, d):
    """Train one network on consecutive batches; its arrays are updated in place.

    Args:
        inputs: all examples, ``(N, C, H, W)``.
        labels: ``(N,)``.
        batches: indices of examples, ``(S, B)``.
        rates: learning rates ``(S,)``.
        layers: where everything lies; this and the next are those of a
            :class:`ticketsearch.engine.sparse.planes.Plan`.
        outputs: of each layer, inputs of the first before them.
        rules: the optimiser.
        done: steps the optimiser has taken before.
        losses: ``(S,)``, where the mean training loss of each step is written; ``(0,)``: it is not computed.
        network: its arrays.
        h: the arena of activations, ``(lines, 16)``, zeros, on a cache line: a vector across two costs double.
        d: the arena of gradients, likewise.
    """
    grads = np.empty(network.weights.size, dtype=np.float32)
    peak, total = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    last = layers[layers.size - 1]
    z, delta = h[last.target : last.target + last.outputs], d[last.target : last.target + last.outputs]
    batch = batches.shape[1]
    losses[:] = 0
    for s in range(rates.size):
        grads[:] = 0
        for first in range(0, batch, LANES):
            chosen = batches[s, first : first + LANES]
            _place(inputs, chosen, layers[0], h)
            _forward(layers, network, h)
            softmax(z, peak, total, delta)
            if losses.size:
                losses[s] += _loss(labels, chosen, z, peak, total) / batch
            output_gradient(labels[chosen], batch, total, delta)
            _backward(layers, network, h, d, grads)
        if rules.l1 > 0 or rules.hoyer > 0:
            sparsify(rules.l1, rules.hoyer, outputs, network.rows, network.weights, grads)
        update(rules, done + s + 1, rates[s], network, grads)


@compiled
def evaluate(inputs, labels, layers, network, h):
    """Accuracy and mean cross-entropy over examples ``(N, C, H, W)`` with labels ``(N,)``; ``h`` as in training."""
    peak, total = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    last = layers[layers.size - 1]
    z = h[last.target : last.target + last.outputs]
    exponentials = np.empty(z.shape, dtype=np.float32)
    correct, loss = 0, 0.0
    for first in range(0, labels.size, LANES):
        chosen = np.arange(first, min(first + LANES, labels.size))
        _place(inputs, chosen, layers[0], h)
        _forward(layers, network, h)
        softmax(z, peak, total, exponentials)
        loss += _loss(labels, chosen, z, peak, total)
        for b in range(chosen.size):
            best = 0
            for c in range(1, last.outputs):
                if z[c, b] > z[best, b]:
                    best = c
            correct += best == labels[first + b]
    return correct / labels.size, loss / labels.size
