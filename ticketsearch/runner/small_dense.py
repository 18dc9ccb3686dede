"""The control of every claim at high sparsity: a dense network with as many weights as the ticket, trained alike.

Its hidden widths are the task's times one factor, solved for; its initial weights are drawn as the task's are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import numpy as np
from torch import nn

from ticketsearch.engine import make_engine
from ticketsearch.masks.ticket import Ticket
from ticketsearch.records.results import Confirmation
from ticketsearch.runner.confirm import confirm
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup

NAME = "small-dense"
HALVINGS = 30
"""Of the range of factors: finer than any width tells."""


def small_dense(setup: Setup, n_weights: int, orders: int, tick: Tick) -> Confirmation | None:
    """Train a dense network of about ``n_weights`` prunable weights as a ticket is trained, and test it.

    ``None``: the task does not say what its network is like at other widths.
    """
    task = setup.task
    if task.scaled is None:
        return None
    names = {layer.name for layer in setup.units.weights.layers}
    factor = solved_factor(task.scaled, names, n_weights)
    small = replace(task, network=partial(task.scaled, factor), scaled=None)
    engine = make_engine(small, setup.engine.device, workers=setup.engine.threads)
    own = Setup.of(small, engine, setup.seed)
    whole = Ticket(np.ones(own.units.weights.size, dtype=bool))
    record = confirm(own, [whole] * orders, NAME, tick).record
    return record.model_copy(update={"n_weights": own.units.weights.size})


def solved_factor(scaled: Callable[[float], nn.Module], names: Collection[str], n_weights: int) -> float:
    """The factor of widths at which the parameters of these names have nearest to ``n_weights`` numbers."""

    def count(factor: float) -> int:
        return sum(one.numel() for name, one in scaled(factor).named_parameters() if name in names)

    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) < n_weights else (low, middle)
    return min(low, high, key=lambda factor: abs(count(factor) - n_weights))
