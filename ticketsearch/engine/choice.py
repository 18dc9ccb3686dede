"""Which engine trains what: by network, device and wish. Engines are imported when chosen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ticketsearch.engine.base import Engine
from ticketsearch.errors import InvalidValue, UnknownName

if TYPE_CHECKING:
    from ticketsearch.tasks import Task

ENGINES = ("auto", "sparse", "mixed", "dense")


def make_engine(task: Task, device: str = "cpu", engine: str = "auto", workers: int | None = None) -> Engine:
    """The engine for a task on a device.

    Args:
        task: network and training split.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        engine: ``"sparse"``, ``"dense"`` (which trains tickets of channels cut), ``"mixed"`` (of a convolutional
            network, few kept weights by the sparse engine, many and channels by the dense one), or ``"auto"``: on a
            CPU, sparse for perceptrons and mixed for those convolutional networks that the sparse engine can train;
            dense for all else.
        workers: threads on a CPU; default one per core this process may use.

    Raises:
        UnknownName: no such engine or device.
        InvalidValue: the device is not on this machine, the network cannot be trained, or not by this engine.
    """
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    _check_device(device)
    if engine in ("sparse", "mixed") and device != "cpu":
        raise InvalidValue(f"the {engine} engine runs on a CPU, not on {device!r}; use --engine dense")
    if engine in ("sparse", "mixed") and task.augment is not None:
        raise InvalidValue(f"the {engine} engine does not augment, as task {task.name!r} wants; use --engine dense")
    task.layout  # noqa: B018 - what is wrong with the network is said before anything is compiled
    if device == "cpu" and engine != "dense" and task.augment is None:
        from ticketsearch.engine.plain import looks_plain

        found, reason = _sparse(task, engine, workers)
        if found is not None:
            return found
        if engine != "auto":
            raise InvalidValue(f"the {engine} engine cannot train task {task.name!r}: {reason}; use --engine dense")
        if looks_plain(task.build(seed=0)):
            print(f"ticketsearch: the dense engine trains task {task.name!r}: {reason}", file=sys.stderr)
    import torch

    from ticketsearch.engine.dense.compacted import CompactedEngine

    return CompactedEngine(task, torch.device(device), workers)


def _sparse(task: Task, engine: str, workers: int | None) -> tuple[Engine | None, str]:
    """The sparse or the mixed engine, proven on the task's module; or ``None`` and why not."""
    from ticketsearch.engine.plain import why_not_plain
    from ticketsearch.engine.proof import disagreement
    from ticketsearch.engine.sparse.convnet import MixedEngine, SparseConvEngine
    from ticketsearch.engine.sparse.perceptron import KINDS, SparseEngine, perceptron_of
    from ticketsearch.engine.sparse.planes import convnet_of

    network = task.build(seed=0)
    if (reason := why_not_plain(network)) is not None:
        return None, reason
    found: SparseEngine | SparseConvEngine | MixedEngine
    if convnet_of(network, tuple(task.train.inputs.shape[1:])) is not None:
        found = SparseConvEngine(task, workers) if engine == "sparse" else MixedEngine(task, workers)
    elif engine != "mixed" and perceptron_of(network) is not None:
        found = SparseEngine(task, workers)
    else:
        return None, f"its network is none of {KINDS}"
    proven = found.sparse if isinstance(found, MixedEngine) else found
    difference = disagreement(proven, task)
    return (found, "") if difference is None else (None, difference)


def _check_device(device: str) -> None:
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        hint = "(GPUs are called cuda, Apple's mps)" if kind.lower() in ("gpu", "rocm", "metal") else ""
        raise UnknownName("device", device, ["cpu", "cuda", "cuda:0", "mps"], hint)
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(index or 0) >= present:
        raise InvalidValue(f"device {device!r} is not on this machine, which has {present} of {kind}; use --device cpu")
