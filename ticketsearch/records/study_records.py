"""What a study leaves in its folder beside its runs: baselines, and what failed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ticketsearch.records.folder import FAILURES
from ticketsearch.records.record import StrictRecord, read_record
from ticketsearch.records.results import kind_of


class Baseline(StrictRecord):
    """What belongs to a task, a sparsity and a seed, and to no strategy; see :mod:`ticketsearch.studies.baseline`.

    ``short_scores`` are those of random masks by the evaluator's steps, ``evaluation_epochs`` what one such evaluation
    costs, ``test_accuracies`` the same masks' confirmed accuracies, means over data orders of ``order_accuracies``,
    which has a row for each mask; ``dense_budget_test_accuracy`` is that of the dense network trained for the whole
    search budget, ``dense_identity`` a digest of all that decides it.
    """

    task: str
    task_fingerprint: str
    sparsity: float
    granularity: str = "weight"
    seed: int
    budget: float
    fidelity: int
    short_scores: dict[int, list[float]]
    evaluation_epochs: dict[int, float]
    test_accuracies: list[float]
    dense_identity: str = ""
    dense_budget_test_accuracy: float
    keep: list[str] = Field(default_factory=list)
    order_accuracies: list[list[float]] = Field(default_factory=list)

    @property
    def kind(self) -> str:
        """As of a result."""
        return kind_of(self.granularity, self.keep)


class RankingRecord(StrictRecord):
    """Masks scored briefly and trained in full; see :mod:`ticketsearch.studies.ranking`.

    ``scores`` has by steps and kind a row for each mask and a column for each data order, ``test_accuracies`` a row for
    each mask and a column for each full training; ``evaluation_epochs`` is what one evaluation costs, by its steps.
    """

    task: str
    task_fingerprint: str
    seed: int
    granularity: str
    sparsity: float
    scores: dict[int, dict[str, list[list[float]]]]
    evaluation_epochs: dict[int, float]
    test_accuracies: list[list[float]]


class TruthRecord(StrictRecord):
    """Candidates trained in full: a row of test accuracies for each, a column for each data order; and the dense one.

    ``names`` are those of the candidates, ``dense_accuracies`` the dense network's on as many orders.
    """

    names: list[str]
    test_accuracies: list[list[float]]
    dense_accuracies: list[float]


class PredictedRecord(StrictRecord):
    """What one predictor says of all candidates: its values as they are, and epochs spent on each.

    ``sign`` is 1 if higher values are to mean better masks, else -1.
    """

    predictor: str
    sign: int
    values: list[float]
    epochs: float


class PredictOutcome(StrictRecord):
    """Predictors beside the truth, for one seed; see :mod:`ticketsearch.studies.predict`."""

    kind: Literal["predict"] = "predict"
    task: str
    task_fingerprint: str
    seed: int
    population: str
    counts: str
    sparsity: float
    granularity: str
    truth: TruthRecord
    predicted: list[PredictedRecord]


class Failure(StrictRecord):
    """A planned run that gave no result, and why."""

    strategy: str
    settings: dict[str, Any]
    task: str
    sparsity: float
    granularity: str = "weight"
    seed: int
    budget: str
    reason: str
    task_options: dict[str, Any] = Field(default_factory=dict)
    keep: list[str] = Field(default_factory=list)


class Failures(StrictRecord):
    """Those of a study's folder, ``failures.json``."""

    failures: list[Failure]


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        CorruptRun: it cannot be read, does not parse or does not match its digest.
    """
    return read_record(Baseline, path)


def read_failures(out: Path) -> list[Failure]:
    """Planned runs of a study folder that failed when last tried; none if there is no record of them.

    Raises:
        CorruptRun: the record is damaged.
    """
    path = out / FAILURES
    return read_record(Failures, path).failures if os.path.lexists(path) else []
