"""Confirmation: what a ticket is worth. Full training, fresh data orders, the test split, an account of its own.

References for the same seed stand beside it: the dense network, random masks with the ticket's per-layer counts,
and one-shot magnitude pruning. All of them start from the run's initial weights and see the same data orders.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ticketsearch.arrays import IntArray
from ticketsearch.cost import Cost, Meter
from ticketsearch.digests import digest_of
from ticketsearch.engine import Job, Measures, batch_indices
from ticketsearch.masks import random_like
from ticketsearch.masks.controls import control_of
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.recipe import Recipe
from ticketsearch.records.results import Confirmation, CostRecord
from ticketsearch.records.resume import ResumeStore
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.tasks import Task


@dataclass(frozen=True, eq=False)
class Confirmed:
    """The record, and the weights after each training, ``(k, D)`` and ``(k, R)``."""

    record: Confirmation
    trained: Weights


class Shared:
    """What the runs of a study need not compute again: the dense reference of a task and seed, the dearest of all."""

    KEPT = 4

    def __init__(self) -> None:
        self._dense: dict[Hashable, Confirmed] = {}

    def dense(self, key: Hashable, compute: Callable[[], Confirmed]) -> Confirmed:
        """The reference of that key, computed at first use; the last few are kept."""
        if key not in self._dense:
            self._dense[key] = compute()
            while len(self._dense) > self.KEPT:
                self._dense.pop(next(iter(self._dense)))
        return self._dense[key]


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
        The ticket's confirmation, and those of ``dense``, ``random``, ``magnitude`` and the controls.
    """
    engine, units, initial, seed = setup.engine, setup.units, setup.initial, setup.seed

    def run(what: str, tickets: Sequence[Ticket]) -> Confirmed:
        return _kept(resume, what, tickets, initial, lambda: confirm(setup, tickets, what, tick))

    confirmed = run("ticket", [ticket] * orders)

    def trained_whole() -> Confirmed:
        return run("dense", [Ticket(np.ones(units.weights.size, dtype=bool))] * orders)

    if shared:
        start = digest_of(initial.vector, initial.rest, size=16)
        key = setup.task.fingerprint, start, engine.name, engine.device, seed, orders
        dense = shared.dense(key, trained_whole)
    else:
        dense = trained_whole()
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
    for name in controls:
        own = stream(seed, "control", name)
        drawn = [control_of(name, ticket, initial, units, own, setup.drawn) for _ in range(orders)]
        references[name] = run(name, drawn).record
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


def confirm(setup: Setup, tickets: Sequence[Ticket], what: str, tick: Tick) -> Confirmed:
    """Train tickets of one start step, the i-th with the i-th data order, and test them.

    The same orders serve every ticket of a run, so that differences between tickets are not differences of luck.
    """
    task, engine = setup.task, setup.engine
    meter = Meter(len(task.train.labels))
    orders = [data_order(task, setup.seed, index)[tickets[0].step :] for index in range(len(tickets))]
    job = population(tickets, setup.initial, task.recipe, np.stack(orders))
    meter.charge(_cost(setup, job))
    stops = tuple(sorted({*range(task.steps_per_epoch, job.steps, task.steps_per_epoch), job.steps} - {0}))
    with meter.engine():
        trained = job.start
        for done, (state, _) in enumerate(engine.train(job, stops), start=1):
            trained = state
            tick(what, done / len(stops))
        both = (np.concatenate(pair) for pair in ((trained.vector, job.start.vector), (trained.rest, job.start.rest)))
        test, validation = engine.measure(Weights(*both), task.test), engine.measure(trained, task.validation)
    meter.lap(strategy=False)
    return Confirmed(_record(test, validation, job, meter), trained)


def data_order(task: Task, seed: int, index: int) -> IntArray:
    """The index-th data order of a seed's confirmations, ``(S, B)``."""
    rng = stream(seed, "confirm", index)
    return batch_indices(len(task.train.labels), task.recipe.batch_size, task.recipe.steps, rng)


def population(tickets: Sequence[Ticket], initial: Weights, recipe: Recipe, batches: IntArray) -> Job:
    """Tickets of one start step as one job; in ``start``, pruned weights are what they are held at."""
    weights = [weights for ticket in tickets if (weights := ticket.started(initial).weights)]
    start = Weights(np.stack([w.vector for w in weights]), np.stack([w.rest for w in weights]))
    held = start.vector if any(ticket.held is not None for ticket in tickets) else None
    masks = np.stack([ticket.mask for ticket in tickets])
    rests = [ticket.rest_mask for ticket in tickets if ticket.rest_mask is not None]
    if rests and len(rests) < len(tickets):  # the dense network beside one of channels
        rests = [np.ones(start.rest.shape[1], dtype=bool) if t.rest_mask is None else t.rest_mask for t in tickets]
    return Job(masks, start, recipe, batches, tickets[0].step, held, np.stack(rests) if rests else None)


def _record(test: Measures, validation: Measures, job: Job, meter: Meter) -> Confirmation:
    """``test`` has the trained networks, then the untrained ones."""
    count = len(job.masks)
    accuracies = test.accuracy[:count].tolist()
    return Confirmation(
        test_accuracy=statistics.fmean(accuracies),
        validation_accuracy=float(validation.accuracy.mean()),
        spread=statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        untrained_test_accuracy=float(test.accuracy[count:].mean()),
        test_accuracies=accuracies,
        validation_accuracies=validation.accuracy.tolist(),
        steps=job.steps,
        diverged=int(np.count_nonzero(~np.isfinite(test.loss[:count]))),
        cost=CostRecord.model_validate(meter.spent.as_dict(meter.train_size)),
    )


def _cost(setup: Setup, job: Job) -> Cost:
    task, pricing = setup.task, setup.pricing
    train, forward = job.steps * task.recipe.batch_size, 2 * len(task.test.labels) + len(task.validation.labels)
    prices = (pricing.training(mask, train) + pricing.forward(mask, forward) for mask in job.computed)
    return sum(prices, Cost(trainings=len(job.masks)))
