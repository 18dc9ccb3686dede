"""What a resumed run needs and its ledger does not hold: weights, gradients, finished references.

The ledger knows what a call cost and scored; a resumed run needs what it *gave* as well. So each result that is dear
to compute is left in a file of its own, under a name that counts calls (a search asks the same questions in the same
order) and with an identity, the digest of what was asked. A resumed run takes it from there. A file that is missing or
damaged costs its computation again and changes no result; all are removed once the run has its result.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch.errors import CorruptRun, StorageError
from ticketsearch.records.sealed import Tensors, read_sealed, write_sealed

LIMIT_BYTES = 2**30
"""A run keeps no more than this; what comes after is computed again by a resumed run."""


@dataclass(frozen=True, eq=False)
class Saved:
    """A result: arrays by name, and facts that JSON can hold."""

    arrays: dict[str, np.ndarray[Any, Any]]
    facts: Any


class ResumeStore:
    """What one run keeps to be resumed; without a folder nothing is kept.

    Args:
        folder: theirs alone, made when first needed.
        limit_bytes: what they may take up, together.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._left = folder, limit_bytes
        if folder is not None and folder.is_dir():
            self._left -= sum(path.stat().st_size for path in folder.iterdir())

    def __bool__(self) -> bool:
        return self._folder is not None

    def load(self, name: str, identity: str) -> Saved | None:
        """What was kept under a name; ``None`` if that is nothing, or damaged.

        Raises:
            CorruptRun: it is sound and answers another question.
        """
        if self._folder is None:
            return None
        path = self._folder / f"{name}.safetensors"
        try:
            header, arrays = read_sealed(path)
        except (OSError, ValueError):
            return None
        if header["identity"] != identity:
            raise CorruptRun(
                f"{path} was made for other work than {name} is now: the strategy or a library changed, or it draws "
                "random numbers outside problem.rng; move the run's folder away to start anew"
            )
        return Saved(arrays, json.loads(header["facts"]))

    def save(self, name: str, identity: str, arrays: Tensors, facts: object = None) -> None:
        """Keep a result, where there is room for it.

        Raises:
            StorageError: the run's folder is gone.
        """
        size = sum(array.nbytes for array in arrays.values())
        if self._folder is None or size > self._left:
            return
        self._left -= size
        # Not synced: a kill cannot lose it, and what a power failure damages is computed again.
        if not self._folder.parent.is_dir():
            raise StorageError(
                f"{self._folder.parent} was removed while the run was at work; run the same command again"
            )
        header = {"identity": identity, "facts": json.dumps(facts)}
        write_sealed(self._folder / f"{name}.safetensors", header, arrays, sync=False)

    def clear(self) -> None:
        """Remove them."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def keyed(values: Tensors, prefix: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in values.items() if name.startswith(prefix)}
