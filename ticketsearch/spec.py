"""What a run is: its spec, the name and place of its folder; and what it was made with: versions, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, UnknownName
from ticketsearch.files import read_whole, write_atomically
from ticketsearch.folders import SPEC
from ticketsearch.plugins import TASKS, available
from ticketsearch.results import Machine

if TYPE_CHECKING:
    from ticketsearch.tasks import DataSource, Task


@dataclass(frozen=True)
class Spec:
    """Everything that decides a run's outcome but the code's version, which its result has; its digest names it.

    ``keep`` are the layers left dense, ``network`` is a probe of the network at the run's seed (see
    :mod:`ticketsearch.tasks.probe`), ``code`` a digest of the source of a strategy from outside.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    strategy: str
    distribution: str
    parameters: dict[str, Any]
    task: str
    task_fingerprint: str
    sparsity: float
    budget: float
    fidelity: int
    seed: int
    orders: int
    controls: list[str]
    checkpoints: int
    engine: str
    device: str
    granularity: str = "weight"
    time_limit_s: float | None = None
    task_options: dict[str, Any] | None = None
    keep: list[str] | None = None
    network: str = ""
    code: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """For JSON; masks of weights, no time limit, no options of the task and the like go without saying."""
        unsaid = {"granularity": "weight", "time_limit_s": None, "task_options": None, "keep": None, "code": None}
        return {key: value for key, value in asdict(self).items() if key not in unsaid or value != unsaid[key]}

    @property
    def folder_name(self) -> str:
        """Readable, unique, safe on any file system."""
        identity = hashlib.blake2b(json.dumps(self.given, sort_keys=True).encode(), digest_size=6).hexdigest()
        words = f"{self.task}-{self.strategy}-{self.sparsity:g}-seed{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', words)[:120]}-{identity}"


def keep_spec(folder: Path, spec: Spec) -> None:
    """Write ``spec.json``, or find it as it was written.

    Raises:
        CorruptRun: it says something else than the folder's name.
    """
    path, text = folder / SPEC, (json.dumps(spec.given, indent=1) + "\n").encode()
    if not path.is_file():
        write_atomically(path, text)
    elif read_whole(path) != text:
        raise CorruptRun(f"{path} is not as it was written; move the folder away to start anew")


def read_spec(folder: Path) -> Spec:
    """The spec of a run.

    Raises:
        NotARun: there is none.
        CorruptRun: it does not parse.
    """
    path = folder / SPEC
    try:
        return TypeAdapter(Spec).validate_json(read_whole(path))
    except OSError as error:
        raise NotARun(f"{folder} holds no run ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CorruptRun(f"{path} is damaged: {where}: {first['msg']}; move the folder away to start anew") from error


def task_of(spec: Spec, task: str | Task | None = None, source: DataSource | None = None) -> Task:
    """The task of a run, with the data and the recipe that the run had.

    Args:
        spec: the run's.
        task: where the task is, if its own name does not say: a name, ``"package.module:function"`` or a task.
        source: where data sets lie.

    Raises:
        UnknownName: the run's own name of it leads nowhere.
        InvalidValue: it is another one.
    """
    from ticketsearch.tasks import Task, keeping, load_task  # torch

    if isinstance(task, Task):
        found = task
    else:
        try:
            found = load_task(task or spec.task, source, spec.task_options)
        except UnknownName as error:
            if task is not None or error.name != spec.task:
                raise
            hint = "; if it is your own, say where: --task package.module:function, or task=... in Python"
            known = [plugin.name for plugin in available(TASKS)]
            raise UnknownName("task", spec.task, known, hint) from error
    if found.fingerprint != spec.task_fingerprint:
        raise InvalidValue(
            f"task {found.name!r} has other data or another recipe than the run's (fingerprint {found.fingerprint}, "
            f"the run's is {spec.task_fingerprint}); name the run's own task"
        )
    return keeping(found, spec.keep or ())


def versions_of(distribution: str) -> dict[str, str]:
    """Versions of what decides a result: Python, this package, PyTorch, NumPy and the strategy's distribution."""
    versions = {"python": platform.python_version()}
    for name in ("ticketsearch", "torch", "numpy", distribution):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a strategy given as an instance has no distribution
            continue
    return versions


def machine_of(threads: int, device: str) -> Machine:
    """This machine: its processors' names, the cores this process may use, and the engine's threads."""
    facts = Path("/proc/cpuinfo")
    text = facts.read_text(encoding="utf-8", errors="replace") if facts.is_file() else ""
    models = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return Machine(
        processor=models[0] if models else platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        threads=threads,
        accelerator=_accelerator(device),
        system=f"{platform.system()} {platform.machine()}",
    )


def _accelerator(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    import torch

    return torch.cuda.get_device_name(device)
