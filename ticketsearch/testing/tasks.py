"""What a task of one's own owes: checked in seconds, before a search spends hours on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ticketsearch.cost import Meter
from ticketsearch.engine import make_engine
from ticketsearch.problem import MaskProblem
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.tasks import Task, load_task
from ticketsearch.tasks.layout import read_weights
from ticketsearch.testing.report import CheckFailed, Report, results_of


def check_task(task: str | Task, options: Mapping[str, Any] | None = None) -> Report:
    """Hold a task to what runs expect of it.

    Args:
        task: a registered name, ``package.module:function``, or a :class:`ticketsearch.Task`.
        options: of a task given by name.
    """
    loaded = task if isinstance(task, Task) else load_task(task, options=options)
    return Report(loaded.name, results_of(TASK_CHECKS, loaded), {})


def _same_weights(task: Task) -> str:
    engine = make_engine(task, engine="dense")
    first, again, other = (read_weights(task.build(seed), engine.layout) for seed in (0, 0, 1))
    if not np.array_equal(first.vector, again.vector) or not np.array_equal(first.rest, again.rest):
        raise CheckFailed("network() gives other weights for the same seed; draw from PyTorch's global generator only")
    if np.array_equal(first.vector, other.vector):
        raise CheckFailed("network() gives the same weights for every seed; make a new network in each call")
    space = engine.layout.space
    return f"{space.size} prunable weights in {len(space.layers)} layers"


def _labels(task: Task) -> str:
    import torch

    network = task.build(0).eval()
    with torch.no_grad():
        classes = network(task.train.inputs[:1]).shape[1]
    for name in ("train", "validation", "test"):
        labels = getattr(task, name).labels
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise CheckFailed(f"{name} has labels from {low} to {high}; the network has {classes} outputs")
    return f"{classes} classes"


def _splits(task: Task) -> str:
    seen: dict[bytes, str] = {}
    shared: dict[str, int] = {}
    for name in ("train", "validation", "test"):
        for example in {row.tobytes() for row in getattr(task, name).inputs.numpy()}:
            other = seen.setdefault(example, name)
            if other != name:
                shared[f"{other} and {name}"] = shared.get(f"{other} and {name}", 0) + 1
    if shared:
        raise CheckFailed(f"examples occur in two splits: {', '.join(f'{n} in {pair}' for pair, n in shared.items())}")
    return ", ".join(f"{len(getattr(task, name).labels)} {name}" for name in ("train", "validation", "test"))


def _recipe(task: Task) -> str:
    if task.recipe.steps < 1:
        raise CheckFailed("the recipe has no steps")
    if not 0 < task.fidelity <= task.recipe.steps:
        raise CheckFailed(f"fidelity {task.fidelity} is not between 1 and the recipe's {task.recipe.steps} steps")
    return f"{task.recipe.steps} steps, fidelity {task.fidelity}"


def _scores(task: Task) -> str:
    def scores(count: int) -> list[tuple[float, float]]:
        setup, meter = Setup.of(task, make_engine(task), seed=0), Meter(len(task.train.labels))
        problem = MaskProblem(setup.session(0.5, min(task.fidelity, 20), meter, Ledger()))
        masks = problem.space.random(problem.n_kept, stream(0, "masks"), 4)
        found = problem.evaluate(masks[:count])
        failed = [score for score in found if score.failed]
        if failed:
            raise CheckFailed(f"a random mask of sparsity 0.5 cannot be trained: {failed[0].reason}")
        return [(score.value, score.tie) for score in found]

    first = scores(4)
    if scores(4) != first:
        raise CheckFailed("the same masks have other scores the next time; does the network draw random numbers?")
    if not np.allclose(scores(1)[0], first[0], atol=1e-4):
        raise CheckFailed("a mask's score depends on the other masks of its batch")
    return f"random masks score {min(first)[0]:.2f} to {max(first)[0]:.2f}"


TASK_CHECKS: dict[str, Callable[[Task], Any]] = {
    "same-weights": _same_weights,
    "labels": _labels,
    "splits": _splits,
    "recipe": _recipe,
    "scores": _scores,
}
"""Every check of a task, in order; each returns what it found, in words."""
