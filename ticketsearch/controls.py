"""Controls: a ticket with one of its claims taken away, confirmed beside it.

Frankle et al., "Pruning neural networks at initialization: why are we missing the mark?" (arXiv:2009.08576), section 4:
if a ticket does no better than its control, what the control destroyed was not what made it work.

``reinitialise``     the same mask over a fresh draw of the initial weights: do the weights matter?
``shuffle-mask``     the mask permuted within each layer, the weights left where they are: does it matter which?
``shuffle-weights``  the kept start weights permuted among the kept of their layer: does it matter which goes where?
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ticketsearch.errors import StrategyError, UnknownName
from ticketsearch.masks import MaskSpace, random_like
from ticketsearch.tickets import Ticket, Weights

NAMES = ("reinitialise", "shuffle-mask", "shuffle-weights")


def control_of(
    name: str,
    ticket: Ticket,
    initial: Weights,
    space: MaskSpace,
    rng: np.random.Generator,
    draw: Callable[[int], Weights],
) -> Ticket:
    """The control of a ticket.

    Args:
        name: one of ``NAMES``.
        ticket: with or without weights of its own.
        initial: the run's initial weights; what a shuffled mask uncovers starts from them.
        space: layers.
        rng: draws permutations, and the seed of a fresh initialisation.
        draw: initial weights of a seed.

    Raises:
        UnknownName: no such control.
        StrategyError: the control is the ticket itself: nothing was taken away, and a comparison would say nothing.
    """
    start = ticket.weights or initial
    mask, weights = ticket.mask, start
    if name == "reinitialise":
        weights = draw(int(rng.integers(2**62)))
    elif name == "shuffle-mask":
        mask = random_like(ticket.mask, space, rng)
        weights = Weights(np.where(ticket.mask, start.vector, initial.vector), start.rest)
    elif name == "shuffle-weights":
        vector = start.vector.copy()
        for layer in space.layers:
            kept = np.flatnonzero(ticket.mask[layer.span]) + layer.offset
            vector[kept] = vector[rng.permutation(kept)]
        weights = Weights(vector, start.rest)
    else:
        raise UnknownName("control", name, NAMES)
    same_mask = bool((mask == ticket.mask).all())
    if same_mask and bool((weights.vector[mask] == start.vector[mask]).all()):
        raise StrategyError(f"control {name!r} left the ticket as it was: there is nothing in it to change")
    return Ticket(mask, weights, ticket.step)


def check_controls(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each once and known."""
    for name in names:
        if name not in NAMES:
            raise UnknownName("control", name, NAMES)
    return tuple(dict.fromkeys(names))
