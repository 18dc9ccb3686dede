"""The connection to a Ray cluster: made when it is needed, quiet, and ended by whoever began it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

from ticketsearch.errors import ClusterError, InvalidValue

CONNECT_S = 10.0


def import_ray() -> ModuleType:
    """The library, with its reports of usage switched off.

    Raises:
        InvalidValue: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The default of releases to come: a worker without a GPU sees what its machine has. Unset, Ray warns of the change.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise InvalidValue(
            f"the executor ray needs the library of that name ({error}): pip install 'ticketsearch[ray]'"
        ) from error
    module: ModuleType = ray
    return module


@contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster for a block; a connection that is there already is used, and kept.

    Ray prints what happens to nodes on stdout, from a thread of its own. Stdout is for results: what is printed in the
    block goes to stderr.

    Args:
        address: ``host:port``, or ``auto`` for a cluster on this machine; ``None`` = that of ``RAY_ADDRESS``, else a
            cluster that runs on this machine, else one of this machine's own for the block.

    Raises:
        ClusterError: there is none at the address.
    """
    ray = import_ray()
    with redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        with _own_sigterm():
            _connect(ray, address)
            try:
                yield ray
            finally:
                ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray handles SIGTERM from its start on; after the block the process does again what it did before."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _connect(ray: ModuleType, address: str | None) -> None:
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        _knock(where)
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError, SystemExit, ray.exceptions.RayError) as error:
        raise ClusterError(f"no Ray cluster can be reached at {where}: {first_line(error)}") from error


def _knock(address: str) -> None:
    """Raise OSError if nothing listens at ``host:port``: Ray would try for most of a minute, and exit."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


def slots(ray: ModuleType, device: str) -> int:
    """Workers the cluster has room for: CPUs, or GPUs."""
    return int(ray.cluster_resources().get("CPU" if device == "cpu" else "GPU", 0))


def environment() -> dict[str, str]:
    """Settings of ours, for workers on other machines: where data and caches lie."""
    return {name: value for name, value in os.environ.items() if name.startswith("TICKETSEARCH_")}


def first_line(error: BaseException) -> str:
    """The first line of a message that may have many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
