"""Workers that do what they should not, as a file tells them to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch.cluster.engine import ChunkWorker

PLACE = "TICKETSEARCH_TEST_PLACE"
SLEEP_S = 30.0


class Marked(ChunkWorker):
    """Behaves in some way when it is given a chunk that begins with a certain mask.

    The folder named by ``PLACE`` holds ``marked.npy``, that mask, packed; ``behaviour``; ``given``, a line a chunk.
    """

    def evaluate(self, key: int, parcel: list[Any], packed: Any, packed_rest: Any) -> Any:
        place = Path(os.environ[PLACE])
        with (place / "given").open("a") as file:
            file.write(f"{len(packed)}\n")
        if np.array_equal(packed[0], np.load(place / "marked.npy")):
            self._misbehave(place)
        return super().evaluate(key, parcel, packed, packed_rest)

    def _misbehave(self, place: Path) -> None:
        behaviour = (place / "behaviour").read_text()
        if behaviour == "straggle":
            (place / "behaviour").write_text("")  # the second time it is quick
            time.sleep(SLEEP_S)
        if behaviour == "die":
            os._exit(1)
        if behaviour == "fail":
            raise ZeroDivisionError("no luck\nat all")
