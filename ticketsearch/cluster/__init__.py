"""Who carries out the work: this process and its children (``local``), or the workers of a Ray cluster (``ray``).

Both are given the same pieces and bring back the same results, to the last bit: whole runs of a study
(:mod:`ticketsearch.studies.execution`), and inside a run the parts of a batch of evaluations
(:mod:`ticketsearch.cluster.engine`). Random streams are drawn, budgets charged and records written where the search
runs; a worker computes and answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ticketsearch.errors import InvalidValue, UnknownName

if TYPE_CHECKING:
    from ticketsearch.engine import Engine
    from ticketsearch.tasks import Task

EXECUTORS = ("local", "ray")


def check_executor(executor: str, ray_address: str | None, device: str) -> None:
    """Refuse what no executor can do, before anything is computed.

    Raises:
        UnknownName, InvalidValue: no such executor, or an address or a device that does not go with it.
    """
    if executor not in EXECUTORS:
        raise UnknownName("executor", executor, EXECUTORS)
    if executor == "local":
        if ray_address is not None:
            raise InvalidValue(f"ray_address {ray_address!r} needs the executor ray; add --executor ray")
        return
    if ray_address is not None and "://" in ray_address:
        raise InvalidValue(
            f"ray_address {ray_address!r} is a Ray Client's; run on a machine of the cluster and give host:port or auto"
        )
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise InvalidValue(f"the executor ray hands out CPUs and CUDA devices, not {device!r}; use --executor local")


@contextmanager
def distributed(
    engine: Engine, task: Task, executor: str, ray_address: str | None, device: str, workers: int | None
) -> Iterator[Engine]:
    """The engine of a run for a block: itself, or one that shares evaluations out among workers.

    Args:
        engine: this process's own.
        task: what the workers train.
        executor: one of :data:`EXECUTORS`, checked.
        ray_address: of a cluster.
        device: of the workers, as in :func:`ticketsearch.engine.make_engine`.
        workers: most workers; default one for each CPU, or GPU, of the cluster.
    """
    if executor == "local":
        yield engine
        return
    from ticketsearch.cluster.engine import RayEngine

    with RayEngine(engine, task, ray_address, engine.name, device, workers) as shared_out:
        yield shared_out
