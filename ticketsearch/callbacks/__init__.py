"""Callbacks: what a caller hangs into :func:`ticketsearch.run` and :func:`ticketsearch.compare`, to be told as they go.

::

    class Best(Callback):
        def on_trial(self, trial, run):
            print(run.name, run.spent, run.best, file=sys.stderr)

    ticketsearch.run("ga", callbacks=[Best(), TensorBoard("logs")])

Names are loaded when first used: none of the libraries that ready callbacks write to is imported before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ticketsearch.callbacks.base import Callback, Round, Running
from ticketsearch.records.ledger import Trial

if TYPE_CHECKING:
    from ticketsearch.callbacks.mlflow import MLflow
    from ticketsearch.callbacks.tensorboard import TensorBoard
    from ticketsearch.callbacks.wandb import WeightsAndBiases

__all__ = ["Callback", "MLflow", "Round", "Running", "TensorBoard", "Trial", "WeightsAndBiases"]

_HOME = {"MLflow": "mlflow", "TensorBoard": "tensorboard", "WeightsAndBiases": "wandb"}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"ticketsearch.callbacks.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ticketsearch.callbacks' has no attribute {name!r}")
