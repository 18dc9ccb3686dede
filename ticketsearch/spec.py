"""What a run is: its spec, the name and place of its folder; and what it was made with: versions, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, UnknownName
from ticketsearch.files import read_whole, write_atomically
from ticketsearch.lock import only_writer
from ticketsearch.plugins import TASKS, available
from ticketsearch.results import MARKER, SPEC, Machine

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


def checked_out(out: Path) -> Path:
    """``out``, if run folders may be made in it: it is new, empty, or holds runs already."""
    try:
        if b"\0" in str(out).encode():
            raise NotARun(f"--out {str(out)[:100]!r} cannot be a folder: it has a NUL")
        if not out.exists():
            return out
        if not out.is_dir():
            raise NotARun(f"--out {out} is a file; name a folder")
        if (out / SPEC).is_file():
            raise NotARun(f"--out {out} is a run itself; name the folder above it")
        names = os.listdir(out)
    except UnicodeEncodeError:
        raise NotARun(f"--out {str(out)[:100]!r} is no text that a result could hold; name another folder") from None
    except OSError as error:
        raise NotARun(f"--out {str(out)[:100]} cannot be read: {error.strerror}") from error
    if names and MARKER not in names and not any((out / name / SPEC).is_file() for name in names):
        raise NotARun(f"--out {out} exists, is not empty and holds no runs; name a new or an empty folder")
    return out


def set_aside(folder: Path) -> None:
    """Move a run's folder to ``.replaced`` beside it, where no report looks, if it is there.

    Raises:
        NotARun: it cannot be moved, or is no folder of a run.
    """
    if not folder.exists():
        return
    if folder.is_symlink() or not (folder / SPEC).is_file():
        raise NotARun(f"{folder} is not a run; move it away or choose another --out")
    with only_writer(folder):
        replaced = folder.parent / ".replaced"
        number = next(n for n in count(1) if not (replaced / f"{folder.name}.{n}").exists())
        try:
            replaced.mkdir(exist_ok=True)
            folder.rename(replaced / f"{folder.name}.{number}")
        except OSError as error:
            raise NotARun(f"{folder} cannot be moved to {replaced}: {error.strerror}") from error


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
