"""What an encoding can express: how much of a ticket's accuracy survives being written in it.

The ticket, its mask with parts drawn anew (:mod:`ticketsearch.masks.redrawn`), and its best fit in each encoding; all
from the ticket's own start weights, on the same data orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import Meter
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.redrawn import REDRAWN
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import MaskProblem
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.confirm import confirm
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.strategies.encoding import make_encoding


@dataclass(frozen=True)
class Written:
    """A mask made of a ticket's, and what it is worth.

    Attributes:
        name: what it has of the ticket, or the encoding that it was written in.
        overlap: fraction of the ticket's kept weights that it keeps.
        test_accuracy: mean over data orders.
        spread: their standard deviation.
        numbers: in a genome of the encoding; ``None`` where there is no encoding.
    """

    name: str
    overlap: float
    test_accuracy: float
    spread: float
    numbers: int | None = None


def write_ticket(
    setup: Setup, ticket: Ticket, encodings: Sequence[str], sparsity: float, orders: int, tick: Tick
) -> list[Written]:
    """Write a ticket in each way, train it and test it.

    Args:
        setup: the run's.
        ticket: its mask of weights.
        encodings: as searchers are told them.
        sparsity: the run's.
        orders: full trainings of each.
        tick: progress.

    Raises:
        InvalidValue: the ticket is not of weights; or an encoding cannot be fitted.
    """
    if setup.units.granularity != "weight":
        raise InvalidValue(f"tickets of {setup.units.granularity} are not written in encodings; take one of weights")
    start = ticket.weights or setup.initial
    whole = Weights(np.where(start.vector == 0, setup.initial.vector, start.vector), start.rest)
    problem = MaskProblem(setup.session(sparsity, 1, Meter(len(setup.task.train.labels)), Ledger()))
    fits = [
        (name, encoding, encoding.fit(ticket.mask)) for name in encodings for encoding in [make_encoding(name, problem)]
    ]

    def worth(name: str, masks: Sequence[BoolArray], numbers: int | None = None) -> Written:
        own = [replace(ticket, mask=mask, weights=whole) for mask in masks]
        record = confirm(setup, own, name, tick).record
        overlap = float(np.mean([np.count_nonzero(mask & ticket.mask) / np.count_nonzero(mask) for mask in masks]))
        return Written(name, overlap, record.test_accuracy, record.spread, numbers)

    found = [worth("the ticket", [ticket.mask] * orders)]
    for name, draw in REDRAWN.items():
        rng = stream(setup.seed, "redrawn", name)
        found.append(worth(name, [draw(ticket.mask, setup.units.weights, rng) for _ in range(orders)]))
    for name, encoding, genome in fits:
        found.append(worth(name, [encoding.decode(genome)] * orders, encoding.dimensions))
    return found
