"""MLflow: a run there for each run here, on a tracking server or in a file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from ticketsearch.callbacks.base import Callback, Round, Running
from ticketsearch.callbacks.values import (
    curve_of,
    library,
    name_of,
    of_result,
    of_round,
    of_trial,
    parameters_of,
    step_of,
)
from ticketsearch.records.ledger import Trial
from ticketsearch.records.results import Result

TAG = "ticketsearch.run"
"""Of a run there: the name of the one here."""
BATCH, WAIT_S = 800, 5.0
"""Metrics are sent together: so many (MLflow takes a thousand), or those of so many seconds."""


@dataclass(eq=False)
class _Open:
    """A run there, and metrics not sent yet."""

    identity: str
    metrics: list[Any] = field(default_factory=list)
    sent: float = field(default_factory=time.monotonic)


class MLflow(Callback):
    """Logs each run as one of MLflow. The extra ``mlflow`` installs what it needs.

    Steps are hundredths of an epoch spent: MLflow counts in whole numbers. A resumed run goes on in the one that it
    began. Nothing of ``mlflow``'s global state is used: an active run of yours is left alone.

    Args:
        experiment: its name; made if there is none.
        tracking_uri: as in ``mlflow.set_tracking_uri``; default what MLflow is set to.

    Raises:
        InvalidValue: MLflow is not installed.
    """

    def __init__(self, experiment: str = "ticketsearch", tracking_uri: str | os.PathLike[str] | None = None) -> None:
        self._entities = library("MLflow", "mlflow.entities", "mlflow")
        self._client = library("MLflow", "mlflow", "mlflow").MlflowClient(
            None if tracking_uri is None else os.fspath(tracking_uri)
        )
        self._experiment = experiment
        self._runs: dict[str, _Open] = {}

    def on_trial(self, trial: Trial, run: Running) -> None:
        """Logs the score, the best so far, and the cost."""
        self._log(self._run(run.name, run), of_trial(trial, run), run.spent)

    def on_round(self, trained: Round, run: Running) -> None:
        """Logs its sparsity and loss."""
        self._log(self._run(run.name, run), of_round(trained), run.spent)

    def on_result(self, result: Result) -> None:
        """Logs confirmed accuracies over the cost of the search, and what came out."""
        name = name_of(result)
        run = self._run(name, result)
        for epochs, values in curve_of(result):
            self._log(run, values, epochs)
        self._log(run, of_result(result), result.cost.epochs)
        self._end(name, "FINISHED")

    def close(self) -> None:
        """Ends runs that have not finished, as killed."""
        for name in list(self._runs):
            self._end(name, "KILLED")

    def _log(self, run: _Open, values: dict[str, float], epochs: float) -> None:
        now, step = int(1000 * time.time()), step_of(epochs)
        run.metrics += [self._entities.Metric(key, value, now, step) for key, value in values.items()]
        if len(run.metrics) >= BATCH or time.monotonic() > run.sent + WAIT_S:
            self._send(run)

    def _send(self, run: _Open) -> None:
        while run.metrics:
            metrics, run.metrics = run.metrics[:BATCH], run.metrics[BATCH:]
            self._client.log_batch(run.identity, metrics=metrics)
        run.sent = time.monotonic()

    def _end(self, name: str, status: str) -> None:
        run = self._runs.pop(name)
        self._send(run)
        self._client.set_terminated(run.identity, status)

    def _run(self, name: str, facts: Running | Result) -> _Open:
        if name not in self._runs:
            self._runs[name] = _Open(self._begun(name) or self._begin(name, facts))
        return self._runs[name]

    def _begun(self, name: str) -> str | None:
        """The run that a session before has begun and not finished."""
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return None
        found = self._client.search_runs([experiment.experiment_id], f"tags.`{TAG}` = '{name}'")
        unfinished = [one.info.run_id for one in found if one.info.status != "FINISHED"]
        if not unfinished:
            return None
        self._client.update_run(unfinished[0], "RUNNING")
        return str(unfinished[0])

    def _begin(self, name: str, facts: Running | Result) -> str:
        experiment = self._client.get_experiment_by_name(self._experiment)
        place = experiment.experiment_id if experiment else self._client.create_experiment(self._experiment)
        run = self._client.create_run(place, run_name=name, tags={TAG: name})
        parameters = [self._entities.Param(key, str(value)) for key, value in parameters_of(facts).items()]
        self._client.log_batch(run.info.run_id, params=parameters)
        return str(run.info.run_id)
