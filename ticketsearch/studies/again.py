"""Finished runs made again, to see whether they are what they say."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ticketsearch.errors import TicketsearchError
from ticketsearch.masks.controls import NAMES as CONTROLS
from ticketsearch.records.results import Result

if TYPE_CHECKING:
    from ticketsearch.tasks import DataSource


@dataclass(frozen=True)
class Repeated:
    """A run made again.

    Attributes:
        run: its name.
        test_accuracy: as recorded.
        again: as it came out now; none if it could not be made.
        differences: a line for each, or why it could not be made.
    """

    run: str
    test_accuracy: float
    again: float | None
    differences: list[str]


def repeat(result: Result, source: DataSource | None = None) -> Repeated:
    """A run made anew from nothing but its result, in a folder that is removed, and compared.

    Args:
        result: of a run whose strategy has a name.
        source: where data sets lie.
    """
    try:
        now = made_again(result, source)
    except TicketsearchError as error:
        return Repeated(result.run, result.test_accuracy, None, [f"cannot be made here: {error}"])
    return Repeated(result.run, result.test_accuracy, now.test_accuracy, list(differences(result, now)))


def made_again(result: Result, source: DataSource | None = None) -> Result:
    """A run anew.

    Raises:
        TicketsearchError: it cannot be made: a task or a strategy is not installed, data are missing.
    """
    from ticketsearch.runner.progress import Silent
    from ticketsearch.runner.run import run

    end = result.fidelity_end
    with tempfile.TemporaryDirectory() as folder:
        return run(
            result.strategy,
            result.task_source or result.task,
            sparsity=result.sparsity,
            granularity=result.granularity,
            keep=result.keep,
            budget=result.budget,
            seed=result.seed,
            settings=result.parameters,
            task_options=result.task_options,
            out=folder,
            device=result.device,
            engine=result.engine,
            orders=result.orders,
            controls=[name for name in CONTROLS if name in result.references],
            checkpoints=result.checkpoints,
            fidelity=result.fidelity if end is None else f"{result.fidelity}step..{end}step",
            source=source,
            progress=Silent(),
        )


def differences(result: Result, again: Result) -> Iterator[str]:
    """What came out otherwise: anything but seconds on the sparse engine, accuracies beyond a tolerance on others."""
    from ticketsearch.runner.verify import TOLERANCE

    exact = result.engine == "sparse"
    tolerance = 1e-9 if exact else TOLERANCE
    if result.task_fingerprint != again.task_fingerprint:
        yield f"its task {result.task} is another one here: data, network or recipe differ"
        return
    values = {"test accuracy": (result.test_accuracy, again.test_accuracy)}
    values |= {
        name: (one.test_accuracy, again.references[name].test_accuracy)
        for name, one in result.references.items()
        if name in again.references
    }
    for name, (then, now) in values.items():
        if not math.isclose(then, now, abs_tol=tolerance):
            yield f"{name} was {100 * then:.2f} %, is {100 * now:.2f} %"
    if exact and result.mask_digest != again.mask_digest:
        yield "its ticket has another mask"
    if exact and not math.isclose(result.cost.epochs, again.cost.epochs, rel_tol=1e-9):
        yield f"its search spent {result.cost.epochs:g} epochs, spends {again.cost.epochs:g}"
