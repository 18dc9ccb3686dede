"""Confirmation: what a ticket is worth. Full training, fresh data orders, the test split, an account of its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

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
