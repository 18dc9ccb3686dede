"""One item of a study: a run or a baseline, computed where it is called, on whatever executor that is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ticketsearch.callbacks.audience import Relay, Tell
from ticketsearch.cost import parse_epochs, parse_fidelity
from ticketsearch.errors import TicketsearchError
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Baseline
from ticketsearch.studies.study import Item, Planned, PlannedBaseline
from ticketsearch.system import cores

if TYPE_CHECKING:
    from ticketsearch.runner.references import Shared
    from ticketsearch.tasks import Task


@dataclass(frozen=True)
class Finished:
    """What became of an item: a result, or the reason why there is none."""

    item: Item
    result: Result | Baseline | None
    reason: str = ""

    @property
    def accuracy(self) -> float | None:
        """Confirmed, if it is a run's."""
        return self.result.test_accuracy if isinstance(self.result, Result) else None

    @property
    def finished(self) -> str:
        """When, in UTC, if it is a run; else empty."""
        return self.result.finished if isinstance(self.result, Result) else ""


@dataclass(frozen=True)
class Common:
    """What all items of a study share.

    Attributes:
        out: its folder.
        device: as in :func:`ticketsearch.run`.
        engine: likewise.
        data_root: folder of data sets.
        download: whether missing ones may be fetched.
        jobs: items at a time on this machine, which share its cores.
    """

    out: str
    device: str
    engine: str
    data_root: Path | None
    download: bool
    jobs: int = 1

    @property
    def workers(self) -> int:
        """Threads of each item's engine."""
        return max(1, cores() // self.jobs)


def computed(item: Item, common: Common, tell: Tell | None = None) -> Finished:
    """One item; a failure of any kind is a record. ``tell`` takes what callbacks are told."""
    try:
        result = _run(item, common, tell) if isinstance(item, Planned) else _baseline(item, common)
    except TicketsearchError as error:
        return Finished(item, None, " ".join(str(error).split()))
    except Exception as error:  # a fault of ours, or of a library: the other runs are worth having all the same
        return Finished(item, None, f"{type(error).__name__}: {error}")
    return Finished(item, result)


def _run(run: Planned, common: Common, tell: Tell | None) -> Result:
    from ticketsearch.runner.progress import Silent
    from ticketsearch.runner.run import run as search_and_confirm

    return search_and_confirm(
        run.strategy,
        loaded_task(run, common),
        sparsity=run.sparsity,
        budget=run.budget,
        seed=run.seed,
        settings=run.settings,
        out=common.out,
        device=common.device,
        engine=common.engine,
        orders=run.orders,
        controls=run.controls,
        checkpoints=run.checkpoints,
        fidelity=run.fidelity,
        granularity=run.granularity,
        keep=run.keep,
        workers=common.workers,
        shared=_shared(common.device),
        progress=Silent(),
        callbacks=[Relay(tell)] if tell else [],
    )


def _baseline(item: PlannedBaseline, common: Common) -> Baseline:
    from ticketsearch.engine import make_engine
    from ticketsearch.runner.setup import Setup
    from ticketsearch.studies.baseline import measure_baseline
    from ticketsearch.tasks import keeping

    task = keeping(loaded_task(item, common), item.keep)
    steps, _ = parse_fidelity(task.fidelity if item.fidelity is None else item.fidelity, task.steps_per_epoch)
    engine = make_engine(task, common.device, common.engine, common.workers)
    budget = parse_epochs(item.budget)
    setup = Setup.of(task, engine, item.seed, item.granularity)
    return measure_baseline(setup, item.sparsity, budget, steps, Path(common.out))


@lru_cache(maxsize=1)
def _shared(_device: str) -> Shared:
    """One in each process."""
    from ticketsearch.runner.references import Shared

    return Shared()


def loaded_task(item: Item, common: Common) -> Task:
    """An item's task, loaded once in each process."""
    options = json.dumps(item.task_options, sort_keys=True, default=str)
    return _task(item.task, options, common.data_root, common.download)


@lru_cache(maxsize=4)
def _task(name: str, options: str, data_root: Path | None, download: bool) -> Task:
    """``options`` are JSON."""
    from ticketsearch.tasks import DataSource, load_task

    return load_task(name, DataSource(data_root, download), json.loads(options))
