"""What a study measures once for each task, sparsity and seed, whatever its strategies.

Random masks, each with its short scores at several lengths and two full trainings: how well does the short score
foretell the confirmed accuracy, and how well could any score? And the dense network given the whole search budget as
one long training: what does plain training make of the same examples? None of it is charged to any search.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from ticketsearch.digests import digest_of, digest_of_json
from ticketsearch.engine import batch_indices
from ticketsearch.errors import CorruptRun
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.records.folder import BASELINES
from ticketsearch.records.record import write_record
from ticketsearch.records.study_records import Baseline, read_baseline
from ticketsearch.runner.confirm import population
from ticketsearch.runner.curve import confirmed_table, short_scores
from ticketsearch.runner.progress import Tick, quiet
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream

MASKS = 32
"""Random masks per seed."""
ORDERS = 2
"""Full trainings of each: with one, masks and data orders could not be told apart."""


def measure_baseline(
    setup: Setup, sparsity: float, budget: float, fidelity: int, out: Path, tick: Tick = quiet
) -> Baseline:
    """Measure, or read back what was measured before.

    Args:
        setup: a run's: initial weights, the evaluator's batches and the confirmation's data orders are its own.
        sparsity: of the random masks.
        budget: of the searches, in epochs: how long the dense network is trained.
        fidelity: of the evaluator, in steps.
        out: the study's folder; the record is a file in its ``baselines``.
        tick: progress.
    """
    task, engine, units, seed = setup.task, setup.engine, setup.units, setup.seed
    trained_by = [task.name, task.fingerprint, seed, budget, engine.name, engine.device]
    identity = digest_of_json([*trained_by, sparsity, fidelity, units.granularity, task.keep], size=6)
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", task.name)[:100]
    path = out / BASELINES / f"{words}-{sparsity:g}-seed{seed}-{identity}.json"
    if os.path.lexists(path):
        return read_baseline(path)
    start = digest_of(setup.initial.vector, setup.initial.rest)
    identity_of_dense = digest_of_json([*trained_by, start], size=6)
    n_kept = units.space.n_kept(sparsity)
    masks = units.space.random(n_kept, stream(seed, "baseline", "masks"), MASKS)
    confirmed = confirmed_table(setup, masks, ORDERS, tick)[:, 0]  # (orders, P), on the test split
    short = short_scores(setup, masks, fidelity)
    size, batch = len(task.train.labels), task.recipe.batch_size
    tick("dense network, whole budget", 0.0)
    dense = _dense_before(path, identity_of_dense)
    record = Baseline(
        task=task.name,
        task_fingerprint=task.fingerprint,
        sparsity=sparsity,
        granularity=units.granularity,
        seed=seed,
        budget=budget,
        fidelity=fidelity,
        short_scores={steps: scores.tolist() for steps, scores in short.items()},
        evaluation_epochs={
            steps: evaluation_thirds(steps, batch, len(task.validation.labels)) / (3 * size) for steps in short
        },
        test_accuracies=confirmed.mean(0).tolist(),
        order_accuracies=confirmed.T.tolist(),
        dense_identity=identity_of_dense,
        keep=sorted(set(task.keep)),
        dense_budget_test_accuracy=_dense(setup, budget) if dense is None else dense,
    )
    write_record(path, record)
    return record


def _dense_before(path: Path, identity: str) -> float | None:
    """The dense network's accuracy, if another sparsity of this study has it: it does not depend on the sparsity."""
    for other in path.parent.glob("*.json"):
        with suppress(CorruptRun):  # another's damage is not ours; a report names it
            record = read_baseline(other)
            if record.dense_identity == identity:
                return record.dense_budget_test_accuracy
    return None


def _dense(setup: Setup, budget: float) -> float:
    """Test accuracy of the dense network after one training as long as the budget."""
    task, engine = setup.task, setup.engine
    size, batch = len(task.train.labels), task.recipe.batch_size
    steps = max(1, round(budget * size / batch))
    rng = stream(setup.seed, "baseline", "dense")
    job = population(
        [Ticket(np.ones(setup.units.weights.size, dtype=bool))],
        setup.initial,
        task.recipe.lasting(steps),
        batch_indices(size, batch, steps, rng),
    )
    [(trained, _)] = engine.train(job, (steps,))
    return float(engine.measure(trained, task.test).accuracy[0])
