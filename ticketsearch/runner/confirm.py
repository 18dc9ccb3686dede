"""Confirmation: what a ticket is worth. Full training, fresh data orders, the test split, an account of its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ticketsearch.arrays import IntArray
from ticketsearch.cost import Cost, Meter
from ticketsearch.engine import Job, Measures, batch_indices
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.recipe import Recipe
from ticketsearch.records.results import Confirmation, CostRecord
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.tasks import Task


@dataclass(frozen=True, eq=False)
class Confirmed:
    """The record, and the weights after each training, ``(k, D)`` and ``(k, R)``."""

    record: Confirmation
    trained: Weights


def confirm(setup: Setup, tickets: Sequence[Ticket], what: str, tick: Tick, cycles: int = 1) -> Confirmed:
    """Train tickets of one start step, the i-th with the i-th data order, and test them.

    The same orders serve every ticket of a run, so that differences between tickets are not differences of luck.

    Args:
        setup: the run's.
        tickets: with or without weights of their own.
        what: is trained, for the progress.
        tick: progress.
        cycles: trainings of each, one after another: each goes on with the weights of the one before, and with a data
            order of its own.
    """
    task, engine = setup.task, setup.engine
    meter = Meter(len(task.train.labels))
    first = job = _job(setup, tickets, 0)
    stops = tuple(sorted({*range(task.steps_per_epoch, job.steps, task.steps_per_epoch), job.steps} - {0}))
    trained = job.start
    for cycle in range(cycles):
        if cycle:
            rows = zip(tickets, trained.vector, trained.rest, strict=True)
            job = _job(setup, [replace(ticket, weights=Weights(v, r)) for ticket, v, r in rows], cycle)
        meter.charge(_training_cost(setup, job))
        with meter.engine():
            for done, (state, _) in enumerate(engine.train(job, stops), start=1):
                trained = state
                tick(what, (cycle + done / len(stops)) / cycles)
    meter.charge(_measuring_cost(setup, job))
    with meter.engine():
        both = (
            np.concatenate(pair) for pair in ((trained.vector, first.start.vector), (trained.rest, first.start.rest))
        )
        test, validation = engine.measure(Weights(*both), task.test), engine.measure(trained, task.validation)
    meter.lap(strategy=False)
    return Confirmed(_record(test, validation, cycles * job.steps, meter), trained)


def _job(setup: Setup, tickets: Sequence[Ticket], cycle: int) -> Job:
    first = cycle * len(tickets)
    orders = [data_order(setup.task, setup.seed, first + index)[tickets[0].step :] for index in range(len(tickets))]
    return population(tickets, setup.initial, setup.task.recipe, np.stack(orders))


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


def _record(test: Measures, validation: Measures, steps: int, meter: Meter) -> Confirmation:
    """``test`` has the trained networks, then the untrained ones."""
    count = len(validation.accuracy)
    accuracies = test.accuracy[:count].tolist()
    return Confirmation(
        test_accuracy=statistics.fmean(accuracies),
        validation_accuracy=float(validation.accuracy.mean()),
        spread=statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        untrained_test_accuracy=float(test.accuracy[count:].mean()),
        test_accuracies=accuracies,
        validation_accuracies=validation.accuracy.tolist(),
        steps=steps,
        diverged=int(np.count_nonzero(~np.isfinite(test.loss[:count]))),
        cost=CostRecord.model_validate(meter.spent.as_dict(meter.train_size)),
    )


def _training_cost(setup: Setup, job: Job) -> Cost:
    examples = job.steps * job.recipe.batch_size
    return sum((setup.pricing.training(mask, examples) for mask in job.computed), Cost(trainings=len(job.masks)))


def _measuring_cost(setup: Setup, job: Job) -> Cost:
    forward = 2 * len(setup.task.test.labels) + len(setup.task.validation.labels)
    return sum((setup.pricing.forward(mask, forward) for mask in job.computed), Cost())
