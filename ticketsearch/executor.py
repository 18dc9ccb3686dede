"""Carrying out a study: item by item in this process, or several at a time in processes of their own.

One failure is a record beside the others, with its reason, and is tried again the next time: a run that raises, and a
process that dies under one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from ticketsearch.cost import parse_epochs, parse_steps
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, TicketsearchError
from ticketsearch.files import write_atomically
from ticketsearch.results import FAILURES, MARKER, Baseline, Failure, Result, read_failures
from ticketsearch.spec import checked_out
from ticketsearch.study import Item, Planned, PlannedBaseline, Study, planned

if TYPE_CHECKING:
    from ticketsearch.confirm import Shared
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


def compute(
    study: Study,
    *,
    data_root: Path | None = None,
    download: bool = False,
    jobs: int = 1,
    tell: Callable[[Finished], None] | None = None,
) -> list[Finished]:
    """Make the runs that are missing and read back the others.

    Args:
        study: what to run.
        data_root: folder of data sets.
        download: whether missing ones may be fetched.
        jobs: runs at a time, each in a process of its own; results do not depend on it.
        tell: called as each run ends.

    Returns:
        One record for each item, in order; failures are kept in the study's folder as well.

    Raises:
        NotARun: ``out`` cannot hold runs.
    """
    if jobs < 1:
        raise InvalidValue(f"jobs {jobs} is less than 1")
    out, items = checked_out(Path(study.out)), planned(study)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()
    except OSError as error:
        raise NotARun(f"no folder can be made at --out {out}: {error.strerror}") from error
    common = _Common(study.out, study.device, study.engine, data_root, download, jobs)
    found: dict[int, Finished] = {}
    for index, finished in _all(items, common):
        found[index] = finished
        _keep_failures(out, list(found.values()))
        if tell:
            tell(finished)
    return [found[index] for index in range(len(items))]


@dataclass(frozen=True)
class _Common:
    out: str
    device: str
    engine: str
    data_root: Path | None
    download: bool
    jobs: int

    @property
    def workers(self) -> int:
        """Threads of each run's engine."""
        return max(1, len(os.sched_getaffinity(0)) // self.jobs)


def _all(items: Sequence[Item], common: _Common) -> Iterator[tuple[int, Finished]]:
    """Results as they come; no more items are handed out than there are processes, so that a stop is soon one."""
    if common.jobs == 1:
        for index, item in enumerate(items):
            yield index, _one(item, common)
        return
    waiting, pool = list(enumerate(items))[::-1], None
    running: dict[Future[Finished], int] = {}
    try:
        while waiting or running:
            pool = pool or ProcessPoolExecutor(common.jobs, get_context("spawn"))
            while waiting and len(running) < common.jobs:
                index, item = waiting.pop()
                running[pool.submit(_one, item, common)] = index
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                index = running.pop(future)
                try:
                    yield index, future.result()
                except BrokenProcessPool:  # every item in flight ends so; which one is to blame cannot be told
                    yield index, Finished(items[index], None, "a process died under it: killed, or out of memory?")
                    pool = None
    finally:
        if pool is not None:
            pool.shutdown(wait=not running, cancel_futures=True)


def _one(item: Item, common: _Common) -> Finished:
    """One item; a failure of any kind is a record."""
    try:
        result = _run(item, common) if isinstance(item, Planned) else _baseline(item, common)
    except TicketsearchError as error:
        return Finished(item, None, " ".join(str(error).split()))
    except Exception as error:  # a fault of ours, or of a library: the other runs are worth having all the same
        return Finished(item, None, f"{type(error).__name__}: {error}")
    return Finished(item, result)


def _run(run: Planned, common: _Common) -> Result:
    from ticketsearch.runner import run as search_and_confirm

    return search_and_confirm(
        run.strategy, _loaded(run, common), sparsity=run.sparsity, budget=run.budget,
        seed=run.seed, settings=run.settings, out=common.out, device=common.device, engine=common.engine,
        orders=run.orders, controls=run.controls, checkpoints=run.checkpoints, fidelity=run.fidelity,
        granularity=run.granularity, workers=common.workers, shared=_shared(common.device),
    )  # fmt: skip


def _baseline(item: PlannedBaseline, common: _Common) -> Baseline:
    from ticketsearch.baseline import measure_baseline
    from ticketsearch.engine import make_engine

    task = _loaded(item, common)
    steps = task.fidelity if item.fidelity is None else parse_steps(item.fidelity, task.steps_per_epoch, "fidelity")
    engine = make_engine(task, common.device, common.engine, common.workers)
    budget = parse_epochs(item.budget)
    return measure_baseline(
        engine, task, item.sparsity, item.seed, budget, steps, Path(common.out), granularity=item.granularity
    )


@lru_cache(maxsize=1)
def _shared(_device: str) -> Shared:
    """One in each process."""
    from ticketsearch.confirm import Shared

    return Shared()


def _loaded(item: Item, common: _Common) -> Task:
    options = json.dumps(item.task_options, sort_keys=True, default=str)
    return _task(item.task, options, common.data_root, common.download)


@lru_cache(maxsize=4)
def _task(name: str, options: str, data_root: Path | None, download: bool) -> Task:
    """Loaded once in each process; ``options`` are JSON."""
    from ticketsearch.tasks import DataSource, load_task

    return load_task(name, DataSource(data_root, download), json.loads(options))


def _keep_failures(out: Path, finished: Sequence[Finished]) -> None:
    """``failures.json``, for the report: what failed when last tried, also in other studies of this folder."""
    now = [_failure(one) for one in finished]
    tried = {_identity(failure) for failure in now}
    try:
        before = read_failures(out)
    except CorruptRun:  # only a note of what to try again
        before = []
    failed = [failure for failure in before if _identity(failure) not in tried]
    failed += [failure for failure, one in zip(now, finished, strict=True) if one.result is None]
    path = out / FAILURES
    if failed:
        text = json.dumps([failure.model_dump() for failure in failed], indent=1)
        write_atomically(path, (text + "\n").encode())
    elif path.is_file():
        path.unlink()


def _failure(one: Finished) -> Failure:
    run = one.item if isinstance(one.item, Planned) else None
    return Failure(
        strategy=run.strategy if run else "baseline", settings=run.settings if run else {}, task=one.item.task,
        sparsity=one.item.sparsity, granularity=one.item.granularity, seed=one.item.seed, budget=one.item.budget,
        reason=one.reason, task_options=one.item.task_options,
    )  # fmt: skip


def _identity(failure: Failure) -> str:
    return failure.model_dump_json(exclude={"reason"})
