"""TensorBoard: event files in a folder, a subfolder for each run."""

from __future__ import annotations

import os
from pathlib import Path
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


class TensorBoard(Callback):
    """Writes event files that ``tensorboard --logdir FOLDER`` shows. The extra ``tensorboard`` installs what it needs.

    Steps are hundredths of an epoch spent: TensorBoard counts in whole numbers. The HParams tab has the parameters of
    each finished run beside its confirmed accuracies.

    Args:
        folder: of event files; each run has a subfolder of its own name.

    Raises:
        InvalidValue: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._make = library("TensorBoard", "torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._folder = Path(folder)
        self._writers: dict[str, Any] = {}

    def on_trial(self, trial: Trial, run: Running) -> None:
        """Logs the score, the best so far, and the cost."""
        self._log(run.name, of_trial(trial, run), run.spent)

    def on_round(self, trained: Round, run: Running) -> None:
        """Logs its sparsity and loss."""
        self._log(run.name, of_round(trained), run.spent)

    def on_result(self, result: Result) -> None:
        """Logs confirmed accuracies over the cost of the search, and parameters."""
        name = name_of(result)
        for epochs, values in curve_of(result):
            self._log(name, values, epochs)
        writer = self._writer(name)
        last = step_of(result.cost.epochs)
        writer.add_hparams(parameters_of(result), of_result(result), run_name=".", global_step=last)
        self._writers.pop(name).close()

    def close(self) -> None:
        """Closes the files of runs that have not finished."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _log(self, name: str, values: dict[str, float], epochs: float) -> None:
        for key, value in values.items():
            self._writer(name).add_scalar(key, value, step_of(epochs))

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            self._writers[name] = self._make(str(self._folder / name))
        return self._writers[name]
