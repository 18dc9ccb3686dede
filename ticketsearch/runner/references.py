"""What a ticket is confirmed beside, for the same seed.

The dense network, random masks with the ticket's per-layer counts, one-shot magnitude pruning, and a dense network with
as many weights; and the controls asked for. All but the small one start from the run's initial weights, and all see the
same data orders.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from ticketsearch.digests import digest_of
from ticketsearch.masks import random_like
from ticketsearch.masks.controls import ALIGNED, CYCLIC, control_of, cycles
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.results import Confirmation
from ticketsearch.records.resume import ResumeStore
from ticketsearch.runner.aligned import aligned
from ticketsearch.runner.confirm import Confirmed, confirm
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup
from ticketsearch.runner.small_dense import NAME as SMALL_DENSE
from ticketsearch.runner.small_dense import small_dense
from ticketsearch.seeds import stream

T = TypeVar("T")


class Shared:
    """What the runs of a study need not compute again: the dense networks of a task and seed."""

    KEPT = 8

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The reference of that key, computed at first use; the last few are kept."""
        if key not in self._known:
            self._known[key] = compute()
            while len(self._known) > self.KEPT:
                self._known.pop(next(iter(self._known)))
        found: T = self._known[key]
        return found


def confirm_with_references(
    setup: Setup,
    ticket: Ticket,
    orders: int,
    tick: Tick,
    controls: Sequence[str] = (),
    shared: Shared | None = None,
    resume: ResumeStore | None = None,
) -> tuple[Confirmed, dict[str, Confirmation]]:
    """Train and test a ticket and its references.

    Args:
        setup: the run's; its seed fixes the data orders and the random masks.
        ticket: with or without weights of its own, as the strategy returned it.
        orders: k, trainings of each network.
        tick: progress.
        controls: names from :mod:`ticketsearch.masks.controls`; each training has a draw of its own.
        shared: keeps the dense reference for the next run.
        resume: keeps each network's trainings for a resumed run.

    Returns:
        The ticket's confirmation, and those of ``dense``, ``random``, ``magnitude``, ``small-dense`` where the task has
        one, and the controls.
    """
    engine, units, initial, seed = setup.engine, setup.units, setup.initial, setup.seed

    def run(what: str, tickets: Sequence[Ticket], cycles: int = 1) -> Confirmed:
        return _kept(resume, what, tickets, initial, lambda: confirm(setup, tickets, what, tick, cycles))

    confirmed = run("ticket", [ticket] * orders)

    def trained_whole() -> Confirmed:
        return run("dense", [Ticket(np.ones(units.weights.size, dtype=bool))] * orders)

    shared = shared or Shared()
    start = digest_of(initial.vector, initial.rest, size=16)
    key = setup.task.fingerprint, start, engine.name, engine.device, seed, orders
    dense = shared.once(key, trained_whole)
    kept = units.collapse(ticket.mask)
    largest = units.reduce(np.abs(dense.trained.vector[0]))
    magnitude = units.ticket(Ticket(units.space.top(largest, int(np.count_nonzero(kept)))))
    rng = stream(seed, "reference", "random")
    random = [units.ticket(Ticket(random_like(kept, units.space, rng))) for _ in range(orders)]
    references = {
        "dense": dense.record,
        "random": run("random", random).record,
        "magnitude": run("magnitude", [magnitude] * orders).record,
    }
    count = int(np.count_nonzero(ticket.mask))
    small = shared.once((SMALL_DENSE, count, *key), lambda: small_dense(setup, count, orders, tick))
    if small is not None:
        references[SMALL_DENSE] = small
    for name in controls:
        own = stream(seed, "control", name)
        if name == CYCLIC:
            drawn = [ticket] * orders
        elif name == ALIGNED:
            trained = Weights(dense.trained.vector[0], dense.trained.rest[0])
            others = [setup.drawn(int(own.integers(2**62))) for _ in range(orders)]
            drawn = [aligned(setup, ticket, trained, other, index) for index, other in enumerate(others)]
        else:
            drawn = [control_of(name, ticket, initial, units, own, setup.drawn) for _ in range(orders)]
        references[name] = run(name, drawn, cycles(name, int(np.count_nonzero(kept)), kept.size)).record
    return confirmed, references


def _kept(
    resume: ResumeStore | None,
    what: str,
    tickets: Sequence[Ticket],
    initial: Weights,
    compute: Callable[[], Confirmed],
) -> Confirmed:
    """What was confirmed before a run was killed, or is now."""
    if not resume:
        return compute()
    name = f"confirm-{what}"
    parts: list[np.ndarray[Any, Any] | str | int | None] = []
    for ticket in tickets:
        weights = ticket.started(initial).weights
        assert weights is not None  # started
        parts += [ticket.mask, weights.vector, weights.rest, ticket.step, int(ticket.held is not None)]
    identity = digest_of(*parts)
    if kept := resume.load(name, identity):
        return Confirmed(Confirmation.model_validate(kept.facts), Weights(kept.arrays["vector"], kept.arrays["rest"]))
    confirmed = compute()
    trained = {"vector": confirmed.trained.vector, "rest": confirmed.trained.rest}
    resume.save(name, identity, trained, confirmed.record.model_dump())
    return confirmed
