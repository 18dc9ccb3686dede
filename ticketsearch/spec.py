"""What a run is: its spec, the name and place of its folder, and the versions it was made with."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ticketsearch.errors import NotARun
from ticketsearch.results import MARKER, SPEC


@dataclass(frozen=True)
class Spec:
    """Everything that decides a run's outcome but the code's version, which its result has; its digest names it."""

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

    @property
    def folder_name(self) -> str:
        """Readable, unique, safe on any file system."""
        identity = hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=6).hexdigest()
        words = f"{self.task}-{self.strategy}-{self.sparsity:g}-seed{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', words)[:120]}-{identity}"


def checked_out(out: Path) -> Path:
    """``out``, if run folders may be made in it: it is new, empty, or holds runs already."""
    if not out.exists():
        return out
    if not out.is_dir():
        raise NotARun(f"--out {out} is a file; name a folder")
    if (out / SPEC).is_file():
        raise NotARun(f"--out {out} is a run itself; name the folder above it")
    with os.scandir(out) as entries:
        names = [entry.name for entry in entries]
    if names and MARKER not in names and not any((out / name / SPEC).is_file() for name in names):
        raise NotARun(f"--out {out} exists, is not empty and holds no runs; name a new or an empty folder")
    return out


def versions_of(distribution: str) -> dict[str, str]:
    """Versions of what decides a result: Python, this package, PyTorch, NumPy and the strategy's distribution."""
    versions = {"python": platform.python_version()}
    for name in ("ticketsearch", "torch", "numpy", distribution):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a strategy given as an instance has no distribution
            continue
    return versions
