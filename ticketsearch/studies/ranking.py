"""Before a search is paid for: masks scored briefly on several data orders, and trained in full on several others.

What is made of it stands in :mod:`ticketsearch.leaderboard.ranking`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.digests import digest_of, digest_of_json
from ticketsearch.engine import Job, batch_indices
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.problem.scores import BASIN, SCORES, ScoreName
from ticketsearch.problem.short import values_of
from ticketsearch.records.record import read_record, write_record
from ticketsearch.records.study_records import RankingRecord
from ticketsearch.runner.confirm import data_order, population
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream


def measure_ranking(
    setup: Setup, masks: BoolArray, steps: Sequence[int], *, orders: int, confirmations: int, out: Path, tick: Tick
) -> RankingRecord:
    """Train ``(P, U)`` masks of units briefly and in full, or read back what was measured before.

    Args:
        setup: task, engine, seed.
        masks: the population.
        steps: lengths of the short training.
        orders: data orders of each length, at least two.
        confirmations: full trainings of each mask, at least two.
        out: folder of records.
        tick: progress.

    Raises:
        InvalidValue: too few of something to tell masks from orders.
    """
    if len(masks) < 3 or orders < 2 or confirmations < 2:
        raise InvalidValue(
            f"{len(masks)} masks, {orders} orders and {confirmations} confirmations: give at least 3, 2 and 2"
        )
    task, engine = setup.task, setup.engine
    trained_by = [task.name, task.fingerprint, setup.seed, engine.name, engine.device, setup.units.granularity]
    identity = digest_of_json([*trained_by, digest_of(masks), list(steps), orders, confirmations], size=6)
    path = out / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', task.name)[:100]}-seed{setup.seed}-{identity}.json"
    if os.path.lexists(path):
        return read_record(RankingRecord, path)
    tickets = [setup.units.ticket(Ticket(mask)) for mask in masks]
    confirmed = confirmed_accuracies(setup, tickets, confirmations, tick)
    scores: dict[int, dict[str, list[list[float]]]] = {}
    for place, length in enumerate(steps):
        scores[length] = {name: table.tolist() for name, table in _short(setup, masks, length, orders).items()}
        tick("short scores", (place + 1) / len(steps))
    batch, validation, size = task.recipe.batch_size, len(task.validation.labels), len(task.train.labels)
    record = RankingRecord(
        task=task.name,
        task_fingerprint=task.fingerprint,
        seed=setup.seed,
        granularity=setup.units.granularity,
        sparsity=1 - int(np.count_nonzero(masks[0])) / setup.units.space.size,
        scores=scores,
        evaluation_epochs={length: evaluation_thirds(length, batch, validation) / (3 * size) for length in steps},
        test_accuracies=confirmed.tolist(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, record)
    return record


def confirmed_accuracies(setup: Setup, tickets: Sequence[Ticket], count: int, tick: Tick) -> ScoreArray:
    """Test accuracies of full trainings of P tickets of one start step, all on the same data orders, ``(P, count)``."""
    task, accuracies = setup.task, []
    for index in range(count):
        job = population(tickets, setup.initial, task.recipe, data_order(task, setup.seed, index))
        trained = [weights for weights, _ in setup.engine.train(job, (job.steps,))][-1]
        accuracies.append(setup.engine.measure(trained, task.test).accuracy)
        tick("full trainings", (index + 1) / count)
    return np.stack(accuracies, axis=1)


def _short(setup: Setup, masks: BoolArray, steps: int, orders: int) -> dict[ScoreName, ScoreArray]:
    """Scores of short trainings on orders of their own, ``(P, orders)`` for each kind."""
    task, units, found = setup.task, setup.units, []
    for index in range(orders):
        rng = stream(setup.seed, "ranking", steps, index)
        batches = batch_indices(len(task.train.labels), task.recipe.batch_size, steps, rng)
        rest = units.rest_mask(masks)
        job = Job(units.expand(masks), setup.initial, task.recipe.lasting(steps), batches, rest_mask=rest, traced=True)
        found.append(setup.engine.evaluate(job, task.validation))
    return {score: np.stack([values_of(one, score) for one in found], axis=1) for score in SCORES if score != BASIN}
