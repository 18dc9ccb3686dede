"""Weights & Biases: a run there for each run here."""

from __future__ import annotations

from typing import Any

from ticketsearch.callbacks.base import Callback, Round, Running
from ticketsearch.callbacks.values import curve_of, library, name_of, of_result, of_round, of_trial, parameters_of
from ticketsearch.records.ledger import Trial
from ticketsearch.records.results import Result

EPOCHS = "epochs"
"""The axis of all that is logged: epochs that the search has spent."""


class WeightsAndBiases(Callback):
    """Logs each run as one of Weights & Biases. The extra ``wandb`` installs what it needs.

    A resumed run is a new one there, in the same group, which is named by the run's folder.

    Args:
        project: where runs are shown.
        **settings: of ``wandb.init``, like ``mode="offline"``, ``entity``, ``group``, ``tags``.

    Raises:
        InvalidValue: wandb is not installed.
    """

    def __init__(self, project: str = "ticketsearch", **settings: Any) -> None:
        self._wandb = library("WeightsAndBiases", "wandb", "wandb")
        self._settings = {"project": project, **settings}
        self._runs: dict[str, Any] = {}

    def on_trial(self, trial: Trial, run: Running) -> None:
        """Logs the score, the best so far, and the cost."""
        self._run(run.name, run).log({EPOCHS: run.spent, **of_trial(trial, run)})

    def on_round(self, trained: Round, run: Running) -> None:
        """Logs its sparsity and loss."""
        self._run(run.name, run).log({EPOCHS: run.spent, **of_round(trained)})

    def on_result(self, result: Result) -> None:
        """Logs confirmed accuracies over the cost of the search; the summary has what came out."""
        name = name_of(result)
        run = self._run(name, result)
        for epochs, values in curve_of(result):
            run.log({EPOCHS: epochs, **values})
        run.summary.update(of_result(result))
        self._runs.pop(name).finish()

    def close(self) -> None:
        """Ends runs that have not finished, as failed."""
        while self._runs:
            self._runs.popitem()[1].finish(exit_code=1)

    def _run(self, name: str, facts: Running | Result) -> Any:
        if name not in self._runs:
            own = {"name": name, "group": name, "config": parameters_of(facts), "reinit": "create_new"}
            run = self._runs[name] = self._wandb.init(**{**own, **self._settings})
            for pattern in ("search/*", "cost/*", "round/*", "curve/*"):
                run.define_metric(pattern, step_metric=EPOCHS)
        return self._runs[name]
