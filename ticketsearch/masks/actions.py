"""Actions: what a ticket's kept weights start from (mask-1) and what its pruned weights are held at (mask-0).

Source: Zhou et al., "Deconstructing lottery tickets" (arXiv:1905.01067), sections 4.1 (mask-1) and 4.2 (mask-0), with
w_i the initial and w_f the final weight, layer by layer.

Mask-1, the kept weights start from

``rewind``             w_i
``reinit``             the layer's whole initial tensor, permuted: a fresh draw from its values
``reinit-same-sign``   the same, with the sign of w_i
``reshuffle``          the layer's kept initial values, permuted among the kept
``reshuffle-same-sign``  the same, with the sign of w_i
``constant``           sign(w_i) times the standard deviation of the layer's initial values
``constant-coin-sign`` that deviation with the sign of a fair coin
``flip-sign``          -w_i; not in the paper, whose code draws signs anew
``coin-sign``          |w_i| with the sign of a fair coin; ours as well
``trained-sign``       |w_i| with the sign of w_f: what is known of the trained network is its signs (arXiv:2504.05357)

Mask-0, the pruned weights are held at

``zero``               zero
``freeze``             w_i
``zero-if-shrunk``     zero where |w_f| < |w_i|, as those moved towards zero, else w_i
``zero-if-shrunk-all`` the same, and kept weights that moved towards zero start from zero
"""

from __future__ import annotations

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import UnknownName
from ticketsearch.masks.space import MaskSpace
from ticketsearch.masks.ticket import Ticket, Weights

MASK_1 = (
    *("rewind", "reinit", "reinit-same-sign", "reshuffle", "reshuffle-same-sign"),
    *("constant", "constant-coin-sign", "flip-sign", "coin-sign", "trained-sign"),
)
MASK_0 = ("zero", "freeze", "zero-if-shrunk", "zero-if-shrunk-all")


def check_actions(mask_1: str, mask_0: str) -> None:
    """Pass, if both are known.

    Raises:
        UnknownName: no such action.
    """
    if mask_1 not in MASK_1:
        raise UnknownName("mask-1 action", mask_1, MASK_1)
    if mask_0 not in MASK_0:
        raise UnknownName("mask-0 action", mask_0, MASK_0)


def act(
    mask: BoolArray,
    initial: Weights,
    final: FloatArray,
    space: MaskSpace,
    rng: np.random.Generator,
    mask_1: str = "rewind",
    mask_0: str = "zero",
) -> Ticket:
    """The ticket that two actions make of a mask.

    Args:
        mask: ``(D,)``.
        initial: w_i and all that is not pruned.
        final: weights after training, ``(D,)``; a weight pruned earlier has its value from the round that pruned it.
        space: layers.
        rng: draws permutations and coins.
        mask_1: what kept weights start from.
        mask_0: what pruned weights are held at.

    Raises:
        UnknownName: no such action.
    """
    check_actions(mask_1, mask_0)
    if mask_1 == "trained-sign":
        start = np.copysign(initial.vector, final)
    else:
        start = _start(mask_1, mask, initial.vector, space, rng)
    held, shrunk = initial.vector, np.abs(final) < np.abs(initial.vector)
    if mask_0.startswith("zero-if-shrunk"):
        held = np.where(shrunk, np.float32(0), held)
    if mask_0 == "zero-if-shrunk-all":
        start = np.where(shrunk, np.float32(0), start)
    return Ticket(mask, Weights(start, initial.rest), held=None if mask_0 == "zero" else held)


def signed_constants(initial: FloatArray, space: MaskSpace) -> FloatArray:
    """``sign(w_i)`` times the standard deviation of the layer's initial values, ``(D,)``."""
    constants = np.sign(initial)
    for layer in space.layers:
        constants[layer.span] *= initial[layer.span].std()
    return constants


def kaiming_constants(initial: FloatArray, space: MaskSpace) -> FloatArray:
    """``sign(w_i)`` times ``sqrt(2 / fan_in)`` of the layer, ``(D,)``: the signed Kaiming constant (1911.13299)."""
    constants = np.sign(initial)
    for layer in space.layers:
        constants[layer.span] *= np.float32(np.sqrt(2 * layer.shape[0] / layer.size))
    return constants


def _start(action: str, mask: BoolArray, initial: FloatArray, space: MaskSpace, rng: np.random.Generator) -> FloatArray:
    """What kept weights start from, ``(D,)``; what it says of pruned ones does not matter."""
    start = initial.copy()
    if action.startswith(("reinit", "reshuffle")):
        for layer in space.layers:
            own = start[layer.span]
            kept = mask[layer.span]
            own[kept] = rng.permutation(own if action.startswith("reinit") else own[kept])[: np.count_nonzero(kept)]
    elif action.startswith("constant"):
        start = signed_constants(initial, space)
    if action.endswith("same-sign"):
        start = np.abs(start) * np.sign(initial)
    elif action.endswith("coin-sign"):
        start = np.abs(start) * rng.choice(np.array([-1, 1], dtype=np.float32), start.size)
    elif action == "flip-sign":
        start = -start
    return start
