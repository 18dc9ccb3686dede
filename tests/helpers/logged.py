"""The tiny task, on engines that write down what they compute: for processes that are killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tests.helpers import tiny
from ticketsearch import Split, Task
from ticketsearch.engine import Job, Measures
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.engine.sparse.perceptron import SparseEngine
from ticketsearch.masks import digest

LOG, END = "TICKETSEARCH_TEST_LOG", ".\n"
"""Where to, and what stands after each call."""


def _log(kind: str, job: Job, fidelity: int) -> None:
    lines = [f"{kind} {digest(mask)} {fidelity}\n" for mask in job.masks]
    with open(os.environ[LOG], "a", encoding="ascii") as file:
        file.write("".join(lines) + END)


def task() -> Task:
    """The tiny task; from now on, evaluations and trainings are logged once they are computed."""
    evaluate, train, train_relaxed = SparseEngine.evaluate, SparseEngine.train, SparseEngine.train_relaxed

    def logged_evaluate(self: SparseEngine, job: Job, split: Split) -> Measures:
        measures = evaluate(self, job, split)
        _log("evaluate", job, job.steps)
        return measures

    def logged_train(self: SparseEngine, job: Job, stops: tuple[int, ...]) -> Iterator[Any]:
        yield from train(self, job, stops)
        # A confirmation's trainings have a data order each; those of checkpoints are of several masks.
        searching = job.batches.ndim == 2 and len(job.masks) == 1
        _log("train" if searching else "confirm", job, job.steps)

    def logged_relaxed(
        self: SparseEngine, job: Job, relaxation: Relaxation, stops: tuple[int, ...], seed: int
    ) -> Iterator[Any]:
        yield from train_relaxed(self, job, relaxation, stops, seed)
        _log("train", job, job.steps)

    SparseEngine.evaluate = logged_evaluate  # type: ignore[method-assign]
    SparseEngine.train = logged_train  # type: ignore[method-assign]
    SparseEngine.train_relaxed = logged_relaxed  # type: ignore[method-assign, assignment]
    return tiny.make_task()
