"""Training something other than the weights: vectors that a differentiable map turns into the network's weights.

Supermasks, edge-popup, continuous sparsification and L0 gates are all of this kind: a strategy says what is trained,
how the weights follow from it, and what is added to the loss; the engine runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ticketsearch.arrays import FloatArray
from ticketsearch.engine.gates import GATES, WEIGHTS, Form, Gated, Pull, Tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Trainable:
    """A vector that is trained.

    Attributes:
        start: initial values, ``(D,)``.
        rate: learning rate, as a multiple of the recipe's.
        decay: weight decay; ``None`` = the recipe's.
    """

    start: FloatArray
    rate: float = 1.0
    decay: float | None = None


@dataclass(frozen=True, eq=False)
class Relaxation:
    """How weights follow from trained vectors.

    Attributes:
        trainables: name -> what is trained.
        weights: (trained tensors ``(D,)`` by name, step, generator) -> weights ``(D,)``; differentiable. Randomness is
            drawn from the generator alone.
        penalty: (trained tensors by name, step) -> a scalar added to the loss; ``None`` = nothing.
        train_rest: whether biases and normalisation are trained as well.
        balance: weigh the penalty by a running mean of |gradient of the loss| / |gradient of the penalty|, both by the
            trained vectors, as zero while the penalty is negative; so much of the newest. ``None`` = add it as it is.
        evaluating: whether the network is in evaluation mode, without dropout and with the statistics it has.
        teacher: weights ``(D,)`` of a network with the same rest; the loss is then the divergence from its outputs,
            ``KL(outputs || the teacher's)``, in place of the labels' cross-entropy. Its forward pass is charged.
        gated: the same weights and penalty in numbers, from which an engine may compute them faster; ``None`` = there
            are none. :func:`relaxed_by` makes all three.
    """

    trainables: Mapping[str, Trainable]
    weights: Callable[[Tensors, int, torch.Generator], Tensor]
    penalty: Callable[[Tensors, int], Tensor] | None = None
    train_rest: bool = True
    balance: float | None = None
    evaluating: bool = False
    teacher: FloatArray | None = None
    gated: Gated | None = None


def relaxed_by(
    form: Form,
    scores: Trainable,
    *,
    weights: Trainable | FloatArray,
    pull: Pull | None = None,
    beside: Mapping[str, Trainable] | None = None,
) -> Relaxation:
    """The relaxation whose weights are behind gates; with frozen weights, nothing but the gates is trained.

    Args:
        form: what a gate does.
        scores: s, trained as ``gates``.
        weights: ``(D,)``, frozen; or what is trained as ``weights``.
        pull: on the density.
        beside: other vectors, by name, for a choice that remembers something.
    """
    trained = isinstance(weights, Trainable)
    gated = Gated(form, None if isinstance(weights, Trainable) else np.array(weights, np.float32), pull)
    return Relaxation(
        {**({WEIGHTS: weights} if isinstance(weights, Trainable) else {}), GATES: scores, **(beside or {})},
        gated.weights,
        None if pull is None else gated.penalty,
        train_rest=trained,
        gated=gated,
    )
