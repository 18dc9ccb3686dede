"""Controls: a ticket with one of its claims taken away, confirmed beside it.

Frankle et al., "Pruning neural networks at initialization: why are we missing the mark?" (arXiv:2009.08576), section 4:
if a ticket does no better than its control, what the control destroyed was not what made it work.

``reinitialise``     the same mask over a fresh draw of the initial weights: do the weights matter?
``shuffle-mask``     the mask permuted within each layer, the weights left where they are: does it matter which?
``shuffle-weights``  the kept start weights permuted among the kept of their layer: does it matter which goes where?
``invert``           the lowest scores kept in place of the highest, as many in each layer: do the scores mean anything?
``cyclic``           the ticket itself, trained as often as IMP trains on its way to the same sparsity, each training
                     going on with the weights of the one before: how much of IMP's lead, if it goes on with its
                     weights, is its mask, and how much its schedule? (SCULPT, arXiv:2406.02773)
``aligned``          the mask over a fresh draw of the initial weights, its neurons permuted to where their like are
                     (:mod:`ticketsearch.runner.aligned`): was the mask good for these weights, or only in these places?

What is permuted or inverted are units: whole channels, if those are what the ticket keeps. Random masks with the
ticket's per-layer counts are a reference of every run (:mod:`ticketsearch.runner.confirm`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ticketsearch.errors import StrategyError, UnknownName
from ticketsearch.masks.sampling import random_like, top_per_layer
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.masks.units import Units

CYCLIC, ALIGNED = "cyclic", "aligned"
CHANGES = ("reinitialise", "shuffle-mask", "shuffle-weights", "invert")
"""Controls that take something of the ticket away; the others train otherwise."""
NAMES = (*CHANGES, CYCLIC, ALIGNED)

ROUND = 0.2
"""Fraction of what is left that IMP prunes in a round (arXiv:1803.03635)."""


def control_of(
    name: str,
    ticket: Ticket,
    initial: Weights,
    units: Units,
    rng: np.random.Generator,
    draw: Callable[[int], Weights],
) -> Ticket:
    """The control of a ticket.

    Args:
        name: one of ``CHANGES``.
        ticket: with or without weights of its own, as its strategy returned it: what a shuffled mask uncovers starts
            from these too.
        initial: the run's initial weights, for tickets without, and where a ticket's weights are zero.
        units: what a shuffled or inverted mask keeps as many of in each layer.
        rng: draws permutations, and the seed of a fresh initialisation.
        draw: initial weights of a seed.

    Raises:
        UnknownName: no such control.
        StrategyError: the control is the ticket itself: nothing was taken away, and a comparison would say nothing;
            or there are no scores to invert.
    """
    start = ticket.weights or initial
    mask, weights, space = ticket.mask, start, units.space
    kept = units.collapse(mask)
    uncovered = Weights(np.where(start.vector == 0, initial.vector, start.vector), start.rest)
    if name == "reinitialise":
        weights = draw(int(rng.integers(2**62)))
        ticket = replace(ticket, step=0)  # fresh weights have the whole training before them
    elif name == "shuffle-mask":
        mask = units.expand(random_like(kept, space, rng))
        weights = uncovered
    elif name == "invert":
        if ticket.scores is None:
            raise StrategyError("control 'invert': this strategy gives its ticket no scores; leave the control out")
        mask = units.expand(top_per_layer(-units.reduce(ticket.scores), space.counts(kept), space))
        weights = uncovered
    elif name == "shuffle-weights":
        vector = start.vector.copy()
        for layer in units.weights.layers:
            own = np.flatnonzero(ticket.mask[layer.span]) + layer.offset
            vector[own] = vector[rng.permutation(own)]
        weights = Weights(vector, start.rest)
    else:
        raise UnknownName("control", name, CHANGES)
    same_mask = bool((mask == ticket.mask).all())
    if same_mask and bool((weights.vector[mask] == start.vector[mask]).all()):
        raise StrategyError(f"control {name!r} left the ticket as it was: there is nothing in it to change")
    return replace(ticket, mask=mask, weights=weights, rest_mask=units.rest_mask(units.collapse(mask)))


def cycles(name: str, kept: int, size: int) -> int:
    """How often a control is trained; by IMP's rounds of a fifth for ``cyclic``, else once.

    Args:
        name: one of ``NAMES``.
        kept: units of the ticket.
        size: of all.
    """
    if name != CYCLIC:
        return 1
    return max(1, math.ceil(math.log(kept / size) / math.log(1 - ROUND) - 1e-9))


def check_controls(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each once and known."""
    for name in names:
        if name not in NAMES:
            raise UnknownName("control", name, NAMES)
    return tuple(dict.fromkeys(names))
