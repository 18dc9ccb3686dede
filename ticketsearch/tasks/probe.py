"""What a network is, told by what it does: a digest of its initial weights, its outputs and its gradients.

A printed architecture does not say what ``forward`` computes, and source code does not say what a setting outside of
it changes. So a few examples are passed through the network, forward and backward, in double precision. Numbers are
rounded before they are digested: machines differ in the last bits, and networks in the first.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.seeds import fenced_globals, stream
from ticketsearch.tasks.layout import gradients_of

if TYPE_CHECKING:
    from ticketsearch.tasks.task import Task

EXAMPLES = 8
DIGITS = 6
"""Digits of a number that count, the largest of its tensor having as many."""
PROJECTIONS = 4


def probe(task: Task, seed: int) -> str:
    """A digest of a task's network at a seed: 16 hexadecimal digits.

    It does not depend on the layers left dense, nor on the training recipe.
    """
    state = hashlib.blake2b(digest_size=8)
    network = task.build(seed)
    state.update(re.sub(r" at 0x[0-9a-f]+", "", repr(network)).encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        state.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}{tensor.requires_grad}".encode())
        state.update(_projected(tensor.detach()))
    for training in (False, True):
        for number in _numbers(task, seed, training=training):
            state.update(number)
    if task.augment is not None:
        rng = stream(seed, "probe", "augment")
        state.update(_rounded(task.augment(task.train.inputs[:EXAMPLES].clone(), rng)))
    return state.hexdigest()


def _numbers(task: Task, seed: int, *, training: bool) -> list[bytes]:
    """Outputs of a few examples, and in training gradients and running statistics.

    They are computed in double precision, or in the network's own if it computes in no other.
    """
    for double in (True, False):
        network = task.build(seed)
        network = (network.double() if double else network).train(training)
        inputs, labels = task.train.inputs[:EXAMPLES].clone(), task.train.labels[:EXAMPLES]
        if double and inputs.is_floating_point():
            inputs = inputs.double()
        try:
            with fenced_globals(0):
                return _passed(network, inputs, labels, DIGITS if double else 3, training=training)
        except Exception as error:  # the user's own code; what it cannot do at all, the layout says
            words = [type(error).__name__.encode()]
    return words


def _passed(network: nn.Module, inputs: Tensor, labels: Tensor, digits: int, *, training: bool) -> list[bytes]:
    outputs = network(inputs)
    if not training:
        return [_rounded(outputs, digits)]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    grads = gradients_of(F.cross_entropy(outputs, labels), trained)
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return [_rounded(outputs, digits), *(b"" if g is None else _projected(g) for g in grads), *map(_projected, buffers)]


def _projected(tensor: Tensor) -> bytes:
    """A few sums of its numbers with random signs, rounded: of a long tensor as good as all of them."""
    values = tensor.detach().double().cpu().numpy().reshape(-1)
    if values.size <= PROJECTIONS or not np.isfinite(values).all():
        return _rounded(tensor)
    signs = stream(values.size, "probe", "signs").choice([-1.0, 1.0], (PROJECTIONS, values.size))
    sums = signs @ values / max(float(np.abs(values).sum()), 1e-300)
    return _rounded(torch.from_numpy(np.append(sums, np.abs(values).max() / (1 + np.abs(values).max()))), 5)


def _rounded(tensor: Tensor, digits: int = DIGITS) -> bytes:
    values = tensor.detach().double().cpu().numpy().reshape(-1)
    finite = np.where(np.isfinite(values), values, 0)
    largest = float(np.abs(finite).max(initial=0))
    whole = np.round(finite / (largest or 1.0) * 10**digits).astype(np.int64) + 0
    odd = np.where(np.isnan(values), 1, np.where(np.isinf(values), 2, 0)).astype(np.int8)
    head = f"{tuple(tensor.shape)}{largest:.{digits - 1}e}"
    return head.encode() + bytes(whole.tobytes()) + bytes(odd.tobytes())
