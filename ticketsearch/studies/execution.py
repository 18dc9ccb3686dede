"""Carrying out a study: item by item, on one executor or another.

One failure is a record beside the others, with its reason, and is tried again the next time: a run that raises, and a
process or a worker that dies under one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ticketsearch.callbacks.audience import Audience
from ticketsearch.callbacks.base import Callback
from ticketsearch.cluster import check_executor
from ticketsearch.cluster.connection import import_ray
from ticketsearch.errors import InvalidValue, NotARun
from ticketsearch.records.folder import FAILURES, checked_out, mark
from ticketsearch.records.record import write_record
from ticketsearch.records.study_records import Failure, Failures, read_failures
from ticketsearch.studies.forecast import Ahead
from ticketsearch.studies.item import Common, Finished
from ticketsearch.studies.processes import on_this_machine
from ticketsearch.studies.study import Planned, Study, planned


def compute(
    study: Study,
    *,
    data_root: Path | None = None,
    download: bool = False,
    jobs: int | None = None,
    ahead: Ahead | None = None,
    tell: Callable[[Finished], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> list[Finished]:
    """Make the runs that are missing and read back the others.

    Args:
        study: what to run, and on which executor.
        data_root: folder of data sets.
        download: whether missing ones may be fetched.
        jobs: runs at a time, each in a process of its own; results do not depend on it. Default one, with the executor
            ``ray`` one for each CPU, or GPU, of the cluster.
        ahead: the study's items and what is known of them from elsewhere: see
            :func:`ticketsearch.studies.forecast.look_ahead` and :func:`ticketsearch.studies.forecast.untimed`.
        tell: called as each run ends.
        callbacks: told of what runs do, in this process; on the executor ``local`` only.

    Returns:
        One record for each item, in order; failures are kept in the study's folder as well.

    Raises:
        NotARun: ``out`` cannot hold runs.
        CorruptRun: its record of failures is damaged.
        ClusterError: there is no Ray cluster, or it does not share ``out``.
        CallbackError: a callback raised an exception; the study is finished all the same.
    """
    audience = Audience(callbacks)
    if audience and study.executor != "local":
        raise InvalidValue(
            f"callbacks are told of runs on this machine; executor {study.executor!r} makes them elsewhere"
        )
    prepare(study, jobs)
    common = Common(study.out, study.device, study.engine, data_root, download)
    out, items = Path(study.out), planned(study) if ahead is None else ahead.items
    found = {index: Finished(items[index], answer) for index, answer in ahead.answers.items()} if ahead else {}
    for finished in found.values():
        if tell:
            tell(finished)
    numbers = [index for index in range(len(items)) if index not in found]
    missing = [items[index] for index in numbers]
    if study.executor == "local":
        coming = on_this_machine(missing, replace(common, jobs=jobs or 1), audience)
    else:
        from ticketsearch.studies.on_ray import on_cluster

        coming = on_cluster(missing, common, study.ray_address, jobs)
    with closing(audience), closing(coming):  # whatever comes, workers and processes end here
        for number, finished in coming:
            found[numbers[number]] = finished
            _keep_failures(out, list(found.values()))
            if tell:
                tell(finished)
    audience.check(f"the study has finished; the same call, or load_results({study.out!r}), returns its results")
    return [found[index] for index in range(len(items))]


def prepare(study: Study, jobs: int | None = None) -> None:
    """Make a study's folder, and refuse what cannot be carried out; before hours of work, not after.

    Raises:
        InvalidValue: there is no such executor, its library is missing, or no job is to be done at a time.
        NotARun: ``out`` cannot hold runs.
        CorruptRun: its record of failures is damaged.
    """
    if jobs is not None and jobs < 1:
        raise InvalidValue(f"jobs {jobs} is less than 1")
    check_executor(study.executor, study.ray_address, study.device)
    if study.executor == "ray":
        import_ray()
    out = checked_out(Path(study.out))
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark(out)
    except OSError as error:
        raise NotARun(f"no folder can be made at --out {out}: {error.strerror}") from error
    read_failures(out)  # a damaged record is named


def _keep_failures(out: Path, finished: Sequence[Finished]) -> None:
    """``failures.json``, for the report: what failed when last tried, also in other studies of this folder."""
    now = [failure_of(one) for one in finished]
    tried = {_identity(failure) for failure in now}
    failed = [failure for failure in read_failures(out) if _identity(failure) not in tried]
    failed += [failure for failure, one in zip(now, finished, strict=True) if one.result is None]
    path = out / FAILURES
    if failed:
        write_record(path, Failures(failures=failed))
    else:
        path.unlink(missing_ok=True)


def failure_of(one: Finished) -> Failure:
    """The record of an item that gave no result."""
    run = one.item if isinstance(one.item, Planned) else None
    return Failure(
        strategy=run.strategy if run else "baseline",
        settings=run.settings if run else {},
        task=one.item.task,
        sparsity=one.item.sparsity,
        granularity=one.item.granularity,
        seed=one.item.seed,
        budget=one.item.budget,
        reason=one.reason,
        task_options=one.item.task_options,
        keep=list(one.item.keep),
    )


def _identity(failure: Failure) -> str:
    return failure.model_dump_json(exclude={"reason"})
