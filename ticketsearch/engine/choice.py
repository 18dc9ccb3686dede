"""Which engine trains what: by network, device and wish. Engines are imported when chosen."""

from __future__ import annotations

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
        engine: ``"sparse"``, ``"dense"``, ``"mixed"`` (of a convolutional network, few kept weights by the sparse
            engine and many by the dense one), or ``"auto"``: on a CPU, sparse for perceptrons and mixed for those
            convolutional networks that the sparse engine can train; dense for all else.
        workers: threads on a CPU; default one per core this process may use.

    Raises:
        UnknownName, InvalidValue: no such device, or not on this machine.
    """
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    _check_device(device)
    if engine in ("sparse", "mixed") and device != "cpu":
        raise InvalidValue(f"the {engine} engine runs on a CPU, not on {device!r}; use --engine dense")
    if device == "cpu" and engine != "dense":
        from ticketsearch.engine.convnet import MixedEngine, SparseConvEngine
        from ticketsearch.engine.planes import convnet_of
        from ticketsearch.engine.sparse import SparseEngine, perceptron_of

        network = task.build(seed=0)
        if engine == "mixed" or convnet_of(network, tuple(task.train.inputs.shape[1:])) is not None:
            return SparseConvEngine(task, workers) if engine == "sparse" else MixedEngine(task, workers)
        if engine == "sparse" or perceptron_of(network) is not None:
            return SparseEngine(task, workers)
    import torch

    from ticketsearch.engine.dense import DenseEngine

    return DenseEngine(task, torch.device(device), workers)


def _check_device(device: str) -> None:
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise UnknownName("device", device, ["cpu", "cuda", "cuda:0", "mps"])
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(index or 0) >= present:
        raise InvalidValue(f"device {device!r} is not on this machine, which has {present} of {kind}; use --device cpu")
