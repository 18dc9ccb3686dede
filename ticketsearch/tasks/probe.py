"""What a network is, told by what it does: a digest of its initial weights, its outputs and its gradients.

A printed architecture does not say what ``forward`` computes, and source code does not say what a setting outside of
it changes. So a few examples are passed through the network, forward and backward, in double precision. Numbers are
rounded before they are digested: machines differ in the last bits, and networks in the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.digests import Digest, digest_of
from ticketsearch.seeds import fenced_globals, stream
from ticketsearch.tasks.augmentation import Augmentation
from ticketsearch.tasks.layout import gradients_of

EXAMPLES = 8
DIGITS = 6
"""Digits of a number that count, the largest of its tensor having as many."""
PROJECTIONS = 4


def probe(build: Callable[[], nn.Module], inputs: Tensor, labels: Tensor) -> str:
    """A digest of a task's network: 16 hexadecimal digits.

    It does not depend on the layers left dense, nor on the training recipe.

    Args:
        build: makes the network, the same each time.
        inputs: of the training split; the first few are passed through it.
        labels: likewise.
    """
    state, network = Digest(), build()
    state.add(without_addresses(repr(network)))
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        state.add(f"{name}{tuple(tensor.shape)}{tensor.dtype}{tensor.requires_grad}", _projected(tensor.detach()))
    for training in (False, True):
        state.add(*_numbers(build, inputs[:EXAMPLES], labels[:EXAMPLES], training=training))
    return state.text()


def probe_augmentation(augment: Augmentation, inputs: Tensor, seed: int) -> str:
    """A digest of what augmentation makes of the first few inputs."""
    return digest_of(_rounded(augment(inputs[:EXAMPLES].clone(), stream(seed, "probe", "augment"))))


def without_addresses(text: str) -> str:
    """What Python prints of objects, without their places in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _numbers(build: Callable[[], nn.Module], inputs: Tensor, labels: Tensor, *, training: bool) -> list[bytes]:
    """Outputs of a few examples, and in training gradients and running statistics.

    They are computed in double precision, or in the network's own if it computes in no other.
    """
    for double in (True, False):
        network = build()
        network = (network.double() if double else network).train(training)
        own = inputs.double() if double and inputs.is_floating_point() else inputs.clone()
        try:
            with fenced_globals(0):
                return _passed(network, own, labels, DIGITS if double else 3, training=training)
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
