"""What a study measures once for each task, sparsity and seed, whatever its strategies.

Random masks, each with its short scores at several lengths and one full training: how well does the short score
foretell the confirmed accuracy? And the dense network given the whole search budget as one long training: what does
plain training make of the same examples? None of it is charged to any search.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from ticketsearch.anytime import confirm_masks, short_scores
from ticketsearch.confirm import Tick, population
from ticketsearch.engine import Engine, batch_indices
from ticketsearch.errors import CorruptRun
from ticketsearch.folders import BASELINES
from ticketsearch.masks import random_masks
from ticketsearch.pricing import evaluation_thirds
from ticketsearch.results import Baseline, read_baseline, write_record
from ticketsearch.seeds import stream
from ticketsearch.tasks import Task
from ticketsearch.tasks.channels import make_units
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tickets import Ticket

MASKS = 32
"""Random masks per seed."""


def _digest(parts: list[object]) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()


def _quiet(_what: str, _fraction: float) -> None:
    pass


def measure_baseline(
    engine: Engine,
    task: Task,
    sparsity: float,
    seed: int,
    budget: float,
    fidelity: int,
    out: Path,
    tick: Tick = _quiet,
    granularity: str = "weight",
) -> Baseline:
    """Measure, or read back what was measured before.

    Args:
        engine: trains.
        task: recipe, data, test split.
        sparsity: of the random masks.
        seed: a run's: initial weights, the evaluator's batches and the confirmation's data orders are its own.
        budget: of the searches, in epochs: how long the dense network is trained.
        fidelity: of the evaluator, in steps.
        out: the study's folder; the record is a file in its ``baselines``.
        tick: progress.
        granularity: of the masks.
    """
    what: list[object] = [task.name, task.fingerprint, sparsity, seed, budget, fidelity, engine.name, engine.device]
    identity = _digest([*what, *([] if granularity == "weight" else [granularity]), *task.keep])
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", task.name)[:100]
    path = out / BASELINES / f"{words}-{sparsity:g}-seed{seed}-{identity}.json"
    if os.path.lexists(path):
        return read_baseline(path)
    initial = read_weights(task.build(seed), engine.layout)
    units = make_units(granularity, engine.layout, task.build(seed=0), task.train.inputs[:1])
    start = hashlib.blake2b(initial.vector.tobytes() + initial.rest.tobytes(), digest_size=8).hexdigest()
    identity_of_dense = _digest([task.name, task.fingerprint, start, seed, budget, engine.name, engine.device])
    masks = random_masks(units.space, sparsity, MASKS, stream(seed, "baseline", "masks"))
    confirmed = confirm_masks(engine, task, masks, initial, seed, 1, tick, units=units)
    short = short_scores(engine, task, masks, initial, seed, fidelity, units)
    size, batch = len(task.train.labels), task.recipe.batch_size
    tick("dense network, whole budget", 0.0)
    dense = _dense_before(path, identity_of_dense)
    record = Baseline(
        task=task.name,
        task_fingerprint=task.fingerprint,
        sparsity=sparsity,
        granularity=granularity,
        seed=seed,
        budget=budget,
        fidelity=fidelity,
        short_scores={steps: scores.tolist() for steps, scores in short.items()},
        evaluation_epochs={
            steps: evaluation_thirds(steps, batch, len(task.validation.labels)) / (3 * size) for steps in short
        },
        test_accuracies=[test for test, _ in confirmed],
        dense_identity=identity_of_dense,
        keep=sorted(set(task.keep)),
        dense_budget_test_accuracy=_dense(engine, task, seed, budget) if dense is None else dense,
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


def _dense(engine: Engine, task: Task, seed: int, budget: float) -> float:
    """Test accuracy of the dense network after one training as long as the budget."""
    size, batch = len(task.train.labels), task.recipe.batch_size
    steps = max(1, round(budget * size / batch))
    rng = stream(seed, "baseline", "dense")
    job = population(
        [Ticket(np.ones(engine.layout.space.size, dtype=bool))],
        read_weights(task.build(seed), engine.layout),
        task.recipe.lasting(steps),
        batch_indices(size, batch, steps, rng),
    )
    [(trained, _)] = engine.train(job, (steps,))
    return float(engine.measure(trained, task.test).accuracy[0])
