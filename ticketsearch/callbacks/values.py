"""What the ready callbacks log, under which names; the same in each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ticketsearch.callbacks.base import Round, Running
from ticketsearch.cost import Cost
from ticketsearch.errors import InvalidValue
from ticketsearch.records.ledger import Trial
from ticketsearch.records.results import CostRecord, Result

STEPS = 100
"""Where a library counts in whole numbers, its step is a hundredth of an epoch spent."""
_COSTS = ("train_examples", "forward_examples", "sparse_flops", "dense_flops", "trainings", "wall_s", "cpu_s")


def step_of(epochs: float) -> int:
    """Epochs in hundredths."""
    return round(STEPS * epochs)


def name_of(result: Result) -> str:
    """Of a result's run, as in :class:`Running`."""
    return Path(result.run).name


def of_trial(trial: Trial, run: Running) -> dict[str, float]:
    """After a trial: its score, the best so far, what the search has cost."""
    return _measured({"search/score": trial.score, "search/best": run.best}) | _costs(trial.after)


def of_round(trained: Round) -> dict[str, float]:
    """After a round."""
    return _measured(
        {"round/number": trained.number, "round/sparsity": trained.sparsity, "round/train_loss": trained.train_loss}
    )


def of_result(result: Result) -> dict[str, float]:
    """Confirmed accuracies of the ticket and its references, the cost of the search."""
    record = result.confirmation
    values: dict[str, float | None] = {
        "search/best": result.search_score,
        "confirmed/test_accuracy": record.test_accuracy,
        "confirmed/validation_accuracy": record.validation_accuracy,
        "confirmed/spread": record.spread,
        "confirmed/untrained_test_accuracy": record.untrained_test_accuracy,
        "cost/epochs": result.cost.epochs,
        "cost/confirmation_epochs": record.cost.epochs,
    }
    values |= {f"reference/{name}/test_accuracy": one.test_accuracy for name, one in result.references.items()}
    return _measured(values) | _costs(result.cost)


def curve_of(result: Result) -> list[tuple[float, dict[str, float]]]:
    """Confirmed checkpoints of the search: epochs spent, and accuracies."""
    return [
        (
            point.cost.epochs,
            {"curve/test_accuracy": point.test_accuracy, "curve/validation_accuracy": point.validation_accuracy},
        )
        for point in result.curve
    ]


def parameters_of(run: Running | Result) -> dict[str, str | int | float | bool]:
    """What a run is of, flat; hyperparameters as ``settings.NAME``."""
    own = {key: getattr(run, key) for key in ("strategy", "task", "sparsity", "seed", "budget")}
    settings = {f"settings.{key}": value for key, value in run.parameters.items()}
    return {
        key: value if isinstance(value, str | int | float | bool) else str(value)
        for key, value in (own | settings).items()
    }


def library(callback: str, module: str, extra: str) -> Any:
    """A module of the library that a callback writes to.

    Raises:
        InvalidValue: it is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidValue(
            f"{callback} needs a library that is not installed ({error}): pip install 'ticketsearch[{extra}]'"
        ) from error


def _costs(cost: Cost | CostRecord) -> dict[str, float]:
    return {f"cost/{key}": getattr(cost, key) for key in _COSTS}


def _measured(values: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are numbers."""
    return {key: value for key, value in values.items() if value is not None and math.isfinite(value)}
