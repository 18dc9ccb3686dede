"""Items of a study on the workers of a Ray cluster, which write run folders on a file system that all of them share.

That they do share it is not taken on trust: each worker looks for a file that the driver wrote, and the driver for the
folders that workers say they have written. Otherwise a study would end with its results scattered over the machines.
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ticketsearch.cluster.connection import connected, environment, slots
from ticketsearch.cluster.fleet import Fleet, GivenUp
from ticketsearch.errors import ClusterError, InvalidValue
from ticketsearch.records.files import storing
from ticketsearch.records.folder import RESULT, TICKET
from ticketsearch.records.results import Result
from ticketsearch.studies.item import Common, Finished, computed
from ticketsearch.studies.study import Item

VISIBLE_S = 30.0
"""How long a file that another machine wrote may take to be seen: network file systems remember what was not there."""


class ItemWorker:
    """The other side: computes items, one after another, on one CPU or one GPU."""

    def begin(self, settings: dict[str, str], common: Common, sign: str) -> None:
        """Make sure that the study's folder is the driver's.

        Args:
            settings: environment variables of the driver's.
            common: of the study.
            sign: name of a file that the driver made in the folder.
        """
        os.environ.update(settings)
        self._common = common
        if not _seen(Path(common.out) / sign):
            raise ClusterError(
                f"a worker on {platform.node()} does not see the folder --out {common.out}; name one on a file system "
                "that all machines of the cluster share"
            )

    def compute(self, item: Item) -> Finished:
        """One item; a failure of any kind is a record."""
        return computed(item, self._common)


def on_cluster(
    items: Sequence[Item], common: Common, address: str | None, jobs: int | None
) -> Generator[tuple[int, Finished], None, None]:
    """Results as they come.

    Args:
        items: what to compute.
        common: of the study.
        address: of the cluster; see :func:`ticketsearch.cluster.connection.connected`.
        jobs: most workers; default one for each CPU, or GPU, of the cluster.

    Raises:
        ClusterError: there is no cluster, no worker on it, or one that does not share the folder.
    """
    kind_of_device = common.device.partition(":")[0]
    there = replace(common, out=os.path.abspath(common.out), device=kind_of_device, jobs=os.cpu_count() or 1)
    with connected(address) as ray, _sign(Path(common.out)) as sign:
        if slots(ray, kind_of_device) < 1:
            raise InvalidValue(f"the Ray cluster has no {'CPU' if kind_of_device == 'cpu' else 'GPU'} for a worker")
        fleet = Fleet(ray, ItemWorker, (environment(), there, sign), kind_of_device, jobs)
        try:
            for index, answer in fleet.work("compute", [(item,) for item in items]):
                if isinstance(answer, GivenUp):
                    answer = Finished(items[index], None, answer.reason)
                yield index, _as_seen_here(answer, Path(common.out))
        finally:
            fleet.close()


@contextmanager
def _sign(out: Path) -> Iterator[str]:
    """The name of a file in ``out`` that is there for a block."""
    name = f".cluster-{secrets.token_hex(8)}"
    with storing(out / name):
        (out / name).touch()
    try:
        yield name
    finally:
        (out / name).unlink(missing_ok=True)


def _as_seen_here(finished: Finished, out: Path) -> Finished:
    """With this machine's name of the run's folder, if it is there."""
    if not isinstance(finished.result, Result):
        return finished
    folder = out / Path(finished.result.run).name
    if not _seen(folder / RESULT):
        reason = f"a worker finished it in {finished.result.run}, which is not seen here as {folder}: is --out shared?"
        return replace(finished, result=None, reason=reason)
    own = finished.result.model_copy(update={"run": str(folder), "ticket": str(folder / TICKET)})
    return replace(finished, result=own)


def _seen(path: Path) -> bool:
    """Whether a file is there, soon."""
    end = time.monotonic() + VISIBLE_S
    while not path.is_file():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
