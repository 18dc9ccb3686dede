"""Compiled training of one sparse perceptron: forward, softmax, backward, update, and measuring.

All layers of a network share one set of arrays. *Features* are numbered through all layers behind the input,
outputs last; feature i owns row i of the activations ``h`` and of the gradients ``d``, ``(F, S)`` with the batch in
the S lanes. Kept weights are entries of one compressed matrix
whose row i feeds feature i (:class:`ticketsearch.engine.sparse.packing.Network`):

* ``rows[i] : rows[i + 1]``: entries of feature i; ``sources[j]`` the feature they come from, numbered in its layer;
* ``columns[i] : columns[i + 1]``: the same entries by source feature i; ``targets[k]``, ``entries[k]`` say where to;
* ``weights``: the kept weights, then one bias per feature; ``grads`` and the optimiser's state are laid out alike.

Nothing here is larger than the kept weights and the activations, and a step's work is proportional to the
kept weights. Lanes beyond the batch hold zeros in ``d``, so they add nothing to any gradient.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ticketsearch.engine.jit import compiled
from ticketsearch.engine.sparse.packing import pack
from ticketsearch.engine.sparse.vectors import (
    LANES,
    backward_row,
    block_rows,
    dense_block,
    dense_gradient,
    forward_row,
    gradient_row,
    power_of_two,
)

_block_rows = njit(inline="always")(block_rows)
RELU, TANH = 0, 1
SGD, ADAM = 0, 1


@njit(inline="always", error_model="numpy")
def _exp(x):
    """Exp to float32 accuracy, in operations that vectorise (Cephes' expf: argument reduction, degree 6)."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    x = np.float32(88.0) if x > np.float32(88.0) else x
    whole = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    return (p * r * r + r + np.float32(1.0)) * power_of_two(whole)


@njit(nogil=True, inline="always", error_model="numpy")
def _forward(tile, x, widths, rows, sources, weights, activation, h):
    """Activations of all features; the last layer's are the logits."""
    lanes = x.shape[1]
    row_bytes, at_h = np.int64(4 * lanes), np.int64(h.ctypes.data)
    tile_bytes = 4 * LANES * len(tile)
    features, entries = rows.size - 1, rows[rows.size - 1]
    block = _block_rows(len(tile))
    index, values = np.int64(sources.ctypes.data), np.int64(weights.ctypes.data)
    first_feature = 0
    for layer in range(widths.size - 1):
        source = np.int64(x.ctypes.data) if layer == 0 else (at_h + (first_feature - widths[layer]) * row_bytes)
        last_layer = first_feature + widths[layer + 1] == features
        rectify = activation == RELU and not last_layer
        inputs, last_feature = widths[layer], first_feature + widths[layer + 1]
        blocked = first_feature  # features of a dense layer that whole blocks cover
        if rows[last_feature] - rows[first_feature] == inputs * widths[layer + 1]:
            blocked += widths[layer + 1] // block * block
        for offset in range(0, 4 * lanes, tile_bytes):
            for i in range(first_feature, blocked, block):
                here = at_h + i * row_bytes + offset
                dense_block(
                    tile,
                    inputs,
                    values + 4 * rows[i],
                    4 * inputs,
                    np.int64(4),
                    source + offset,
                    row_bytes,
                    values + 4 * (entries + i),
                    here,
                    np.int64(1 if rectify else 0),
                    here,
                )
            for i in range(blocked, last_feature):
                forward_row(
                    tile,
                    np.int64(rows[i]),
                    np.int64(rows[i + 1]),
                    index,
                    values,
                    source + offset,
                    row_bytes,
                    weights[entries + i],
                    rectify,
                    at_h + i * row_bytes + offset,
                )
        if activation == TANH and not last_layer:
            for i in range(first_feature, first_feature + widths[layer + 1]):
                for b in range(lanes):
                    h[i, b] = np.float32(1.0) - np.float32(2.0) / (_exp(np.float32(2.0) * h[i, b]) + np.float32(1.0))
        first_feature += widths[layer + 1]


@njit(nogil=True, inline="always", error_model="numpy")
def softmax(z, peak, total, exponentials):
    """Per lane, over the classes: the maximum, the exponentials below it, and their sum."""
    classes, lanes = z.shape
    for b in range(lanes):
        peak[b] = z[0, b]
        total[b] = 0
    for c in range(1, classes):
        for b in range(lanes):
            peak[b] = z[c, b] if z[c, b] > peak[b] else peak[b]
    for c in range(classes):
        for b in range(lanes):
            exponentials[c, b] = _exp(z[c, b] - peak[b])
            total[b] += exponentials[c, b]


@njit(nogil=True, inline="always", error_model="numpy")
def output_gradient(labels, examples, total, d):
    """Exponentials in ``d`` become the gradient of the mean cross-entropy at the logits; zero beyond the labels.

    ``examples`` is what the mean is over: the batch, of which the labels may be a part.
    """
    classes, lanes = d.shape
    batch = labels.size
    scale = np.float32(1.0) / np.float32(examples)
    for b in range(lanes):
        total[b] = scale / total[b]
    for c in range(classes):
        for b in range(lanes):
            d[c, b] *= total[b]
        for b in range(batch, lanes):
            d[c, b] = 0
    for b in range(batch):
        d[labels[b], b] -= scale


@njit(nogil=True, inline="always", error_model="numpy")
def _backward(tile, x, widths, rows, sources, columns, targets, entries, weights, activation, h, d, grads):
    """Gradients of all kept weights and biases, from the output gradient in the last rows of ``d``."""
    lanes = x.shape[1]
    row_bytes, at_h, at_d = np.int64(4 * lanes), np.int64(h.ctypes.data), np.int64(d.ctypes.data)
    tile_bytes = 4 * LANES * len(tile)
    n_entries = rows[rows.size - 1]
    block = _block_rows(len(tile))
    index, values, out = np.int64(sources.ctypes.data), np.int64(weights.ctypes.data), np.int64(grads.ctypes.data)
    target_index, order = np.int64(targets.ctypes.data), np.int64(entries.ctypes.data)
    first_feature = rows.size - 1
    for layer in range(widths.size - 2, -1, -1):
        last_feature = first_feature
        first_feature -= widths[layer + 1]
        before = first_feature - widths[layer]  # first feature of the layer below, if it is not the input
        source = np.int64(x.ctypes.data) if layer == 0 else (at_h + before * row_bytes)
        inputs = widths[layer]
        full = np.int64(0)  # columns of a dense layer that 4 x 4 blocks cover
        if rows[last_feature] - rows[first_feature] == inputs * (last_feature - first_feature):
            full = inputs // 4 * 4
        squares = first_feature + ((last_feature - first_feature) // 4 * 4 if full else 0)
        for offset in range(0, 4 * lanes, tile_bytes):
            for i in range(first_feature, squares, 4):
                for c in range(0, full, 4):
                    dense_gradient(
                        tile,
                        source + offset + c * row_bytes,
                        at_d + i * row_bytes + offset,
                        row_bytes,
                        4 * inputs,
                        offset > 0,
                        out + 4 * (rows[i] + c),
                    )
            for i in range(first_feature, last_feature):
                done = full if i < squares else 0
                bias = gradient_row(
                    tile,
                    np.int64(rows[i] + done),
                    np.int64(rows[i + 1]),
                    index,
                    source + offset,
                    row_bytes,
                    at_d + i * row_bytes + offset,
                    offset > 0,
                    out,
                )
                grads[n_entries + i] = bias + grads[n_entries + i] if offset > 0 else bias
        if layer == 0:
            break
        delta = at_d + first_feature * row_bytes
        mode = np.int64(2 if activation == RELU else 3)
        blocked = before + (inputs // block * block if full else 0)
        for offset in range(0, 4 * lanes, tile_bytes):
            for i in range(before, blocked, block):
                dense_block(
                    tile,
                    last_feature - first_feature,
                    values + 4 * (rows[first_feature] + i - before),
                    np.int64(4),
                    4 * inputs,
                    delta + offset,
                    row_bytes,
                    values,
                    at_h + i * row_bytes + offset,
                    mode,
                    at_d + i * row_bytes + offset,
                )
            for i in range(blocked, first_feature):
                backward_row(
                    tile,
                    np.int64(columns[i]),
                    np.int64(columns[i + 1]),
                    target_index,
                    order,
                    values,
                    delta + offset,
                    row_bytes,
                    at_h + i * row_bytes + offset,
                    activation == RELU,
                    at_d + i * row_bytes + offset,
                )
        if activation == TANH:
            for i in range(before, first_feature):
                for b in range(lanes):
                    d[i, b] *= np.float32(1.0) - h[i, b] * h[i, b]


@njit(nogil=True, inline="always", error_model="numpy")
def sparsify(l1, hoyer, widths, rows, weights, grads):
    """Add the gradients of the terms that favour sparse weights; zero at a weight that is zero."""
    first_feature = 0
    for layer in range(widths.size - 1):
        first, last = rows[first_feature], rows[first_feature + widths[layer + 1]]
        first_feature += widths[layer + 1]
        total, squares = 0.0, 0.0
        for k in range(first, last):
            total += abs(weights[k])
            squares += weights[k] * weights[k]
        outward = np.float32(l1 + (2 * hoyer * total / squares if squares > 0 else 0.0))
        inward = np.float32(2 * hoyer * total * total / (squares * squares) if squares > 0 else 0.0)
        for k in range(first, last):
            grads[k] += outward * np.sign(weights[k]) - inward * weights[k]


class Rules(NamedTuple):
    """How weights are updated, in the kernels' types.

    Attributes:
        optimizer: ``SGD`` or ``ADAM``.
        momentum: of SGD, or Adam's beta1.
        nesterov: Nesterov's momentum.
        decay: coupled weight decay.
        shrink: weight decay apart from the gradient, AdamW's.
        beta2, epsilon: Adam's.
        l1, hoyer: coefficients of the terms that favour sparse weights.
    """

    optimizer: int
    momentum: np.float32
    nesterov: bool
    decay: np.float32
    shrink: np.float32
    beta2: np.float32
    epsilon: np.float32
    l1: float
    hoyer: float


@njit(nogil=True, inline="always", error_model="numpy")
def update(rules, step, rate, network, grads):
    """One step of ``torch.optim.SGD``, ``Adam`` or ``AdamW`` on all entries and biases that are alive."""
    weights, alive, first, second = network.weights, network.alive, network.first, network.second
    momentum, decay = rules.momentum, rules.decay
    if rules.optimizer == SGD:
        nesterov = rules.nesterov
        for k in range(weights.size):
            g = grads[k] + decay * weights[k] if alive[k] else np.float32(0.0)  # a product would keep NaN
            first[k] = momentum * first[k] + g
            weights[k] -= rate * (g + momentum * first[k] if nesterov else first[k])
    else:
        size = np.float32(rate / (1.0 - math.pow(momentum, step)))
        root = np.float32(math.sqrt(1.0 - math.pow(rules.beta2, step)))
        beta2, epsilon = rules.beta2, rules.epsilon
        left = np.float32(1.0 - rate * rules.shrink)
        for k in range(weights.size):
            weights[k] *= left if alive[k] else np.float32(1.0)
            g = grads[k] + decay * weights[k] if alive[k] else np.float32(0.0)
            first[k] += (np.float32(1.0) - momentum) * (g - first[k])
            second[k] = beta2 * second[k] + (np.float32(1.0) - beta2) * g * g
            weights[k] -= size * first[k] / (np.sqrt(second[k]) / root + epsilon)


@njit(nogil=True, inline="always", error_model="numpy")
def aligned(rows, lanes):
    """An empty matrix that begins on a cache line: a vector across two costs double."""
    raw = np.empty(rows * lanes + LANES, dtype=np.float32)
    skip = -np.int64(raw.ctypes.data) % (4 * LANES) // 4
    return raw[skip : skip + rows * lanes].reshape(rows, lanes)


@compiled
def train(tile, x, labels, rates, widths, activation, rules, done, losses, network):
    """Train one network on consecutive batches; its arrays are updated in place.

    Args:
        tile: T zeros; T vectors make a tile of a row.
        x: inputs ``(S, I, lanes)``, from :func:`ticketsearch.engine.sparse.packing.gather`.
        labels: ``(S, B)``.
        rates: learning rates ``(S,)``.
        widths: units of each layer, input first.
        activation: ``RELU`` or ``TANH``.
        rules: the optimiser.
        done: steps the optimiser has taken before.
        losses: ``(S,)``, where the mean training loss of each step is written; ``(0,)``: it is not computed.
        network: its arrays.
    """
    rows, sources, weights = network.rows, network.sources, network.weights
    features, lanes = rows.size - 1, x.shape[2]
    h, d = aligned(features, lanes), aligned(features, lanes)
    grads = np.zeros(weights.size, dtype=np.float32)
    peak, total = np.empty(lanes, dtype=np.float32), np.empty(lanes, dtype=np.float32)
    output = features - widths[widths.size - 1]
    for s in range(rates.size):
        _forward(tile, x[s], widths, rows, sources, weights, activation, h)
        softmax(h[output:], peak, total, d[output:])
        if losses.size:
            loss = 0.0
            for b in range(labels.shape[1]):
                loss += math.log(total[b]) + peak[b] - h[output + labels[s, b], b]
            losses[s] = loss / labels.shape[1]
        output_gradient(labels[s], labels.shape[1], total, d[output:])
        _backward(
            tile,
            x[s],
            widths,
            rows,
            sources,
            network.columns,
            network.targets,
            network.entries,
            weights,
            activation,
            h,
            d,
            grads,
        )
        if rules.l1 > 0 or rules.hoyer > 0:
            sparsify(rules.l1, rules.hoyer, widths, rows, weights, grads)
        update(rules, done + s + 1, rates[s], network, grads)


@compiled
def evaluate(tile, x, labels, widths, activation, network):
    """Accuracy and mean cross-entropy over blocks ``(K, I, lanes)``; labels ``(N,)`` fill the lanes in order."""
    rows = network.rows
    features, lanes = rows.size - 1, x.shape[2]
    h = aligned(features, lanes)
    peak, total = np.empty(lanes, dtype=np.float32), np.empty(lanes, dtype=np.float32)
    classes = widths[widths.size - 1]
    exponentials = np.empty((classes, lanes), dtype=np.float32)
    output = features - classes
    correct, loss = 0, 0.0
    for block in range(x.shape[0]):
        _forward(tile, x[block], widths, rows, network.sources, network.weights, activation, h)
        z = h[output:]
        softmax(z, peak, total, exponentials)
        for b in range(min(lanes, labels.size - block * lanes)):
            label = labels[block * lanes + b]
            loss += math.log(total[b]) + peak[b] - z[label, b]
            best = 0
            for c in range(1, classes):
                if z[c, b] > z[best, b]:
                    best = c
            correct += best == label
    return correct / labels.size, loss / labels.size


@compiled
def score(
    tile,
    x,
    labels,
    rates,
    widths,
    activation,
    rules,
    masks,
    held,
    start,
    rest,
    rest_mask,
    with_bias,
    dense_from,
    split_x,
    split_labels,
    out,
):
    """Train several networks one after another and measure each: accuracy and loss, ``(P, 2)``, into ``out``.

    ``masks`` is ``(P, D)``; ``held``, ``start``, ``rest`` and ``rest_mask`` have a row for each network or one row for
    all. The other arguments are those of :func:`train`, :func:`evaluate` and
    :func:`ticketsearch.engine.sparse.packing.pack`.
    """
    nothing, begun = np.empty(0), np.int64(0)  # no literal: train would be compiled once more for it
    for p in range(masks.shape[0]):
        network = pack(
            masks[p],
            held[p % held.shape[0]],
            start[p % start.shape[0]],
            rest[p % rest.shape[0]],
            rest_mask[p % rest_mask.shape[0]],
            widths,
            with_bias,
            dense_from,
            rules.optimizer == ADAM,
        )
        train(tile, x, labels, rates, widths, activation, rules, begun, nothing, network)
        out[p, 0], out[p, 1] = evaluate(tile, split_x, split_labels, widths, activation, network)
