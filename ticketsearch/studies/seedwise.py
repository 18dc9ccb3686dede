"""Work that is done seed by seed: what a seed gave is a file of its own, and what is on disk is read back."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.records.record import Record, read_record, write_record


def folder_in(out: str | os.PathLike[str], *words: str) -> Path:
    """A folder of a readable name, made if it is not there.

    Args:
        out: where.
        words: of its name; the last one tells it from all others.

    Raises:
        NotARun: it cannot be made.
    """
    name = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", word)[:80] for word in words)
    folder = Path(out) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotARun(f"no folder can be made in --out {out}: {error.strerror}") from error
    return folder


def seed_by_seed(
    folder: Path, kind: type[Record], seeds: Sequence[int], compute: Callable[[int], Record]
) -> list[Record]:
    """A record for each seed, computed or read back.

    Raises:
        CorruptRun: a seed's file is damaged.
    """
    records = []
    for seed in seeds:
        path = folder / f"seed-{seed}.json"
        if path.is_file():
            try:
                records.append(read_record(kind, path))
            except CorruptRun as error:
                raise CorruptRun(f"{error}; delete it to compute it anew") from error
            continue
        record = compute(seed)
        write_record(path, record)
        records.append(record)
    return records
