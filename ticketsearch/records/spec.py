"""What a run is: its spec, the name and place of its folder; and what it was made with: versions, machine."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ticketsearch.digests import digest_of_json
from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.records.files import read_whole, write_atomically
from ticketsearch.records.folder import SPEC
from ticketsearch.records.schema import numbered, upgraded


@dataclass(frozen=True)
class Spec:
    """Everything that decides a run's outcome but the code's version, which its result has; its digest names it.

    ``fidelity_end`` is what a rising fidelity rises to, ``keep`` are the layers left dense, ``network`` is a probe of
    the network at the run's seed (see :mod:`ticketsearch.tasks.probe`), ``code`` a digest of the source of a strategy
    from outside.
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
    fidelity_end: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """For JSON; masks of weights, no time limit, no options of the task and the like go without saying."""
        without = "time_limit_s", "task_options", "keep", "code", "fidelity_end"
        unsaid: dict[str, object] = {"granularity": "weight", **dict.fromkeys(without)}
        return {key: value for key, value in asdict(self).items() if key not in unsaid or value != unsaid[key]}

    @property
    def folder_name(self) -> str:
        """Readable, unique, safe on any file system."""
        identity = digest_of_json(self.given, size=6)
        words = f"{self.task}-{self.strategy}-{self.sparsity:g}-seed{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', words)[:120]}-{identity}"


def keep_spec(folder: Path, spec: Spec) -> None:
    """Write ``spec.json``, or find it as it was written.

    Raises:
        CorruptRun: it says something else than the folder's name.
    """
    path, text = folder / SPEC, (json.dumps(numbered(spec.given), indent=1) + "\n").encode()
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
        content = json.loads(read_whole(path))
        return TypeAdapter(Spec).validate_python(upgraded(content, path) if isinstance(content, dict) else content)
    except OSError as error:
        raise NotARun(f"{folder} holds no run ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CorruptRun(f"{path} is damaged: {where}: {first['msg']}; move the folder away to start anew") from error
    except (ValueError, RecursionError) as error:
        raise CorruptRun(f"{path} is damaged: it is not JSON: {error}; move the folder away to start anew") from error
