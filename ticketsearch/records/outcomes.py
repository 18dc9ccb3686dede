"""What a command measured, seed by seed, in one file: small enough to be committed, enough to be reported from again.

An archive is one gzipped JSON file: its format, its kind, outcomes, and a digest of all that. Which record a kind has,
its reader says; a record names its kind in a field ``kind``, so that a folder of outcomes can be read just as well.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic

from pydantic import BaseModel

from ticketsearch.digests import digest_of_json
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun
from ticketsearch.records.files import read_whole, write_atomically
from ticketsearch.records.record import DIGEST, Record, StrictRecord, damaged, parsed, read_record
from ticketsearch.records.schema import numbered

FORMAT, KIND = "format", "kind"
NAME = "ticketsearch-outcomes-1"
MAX_BYTES = 2**30
"""Most an archive may unpack to: a file made by a stranger must not fill the memory."""


class _Archive(StrictRecord, Generic[Record]):
    format: str
    kind: str
    outcomes: list[Record]


def write_outcomes(path: Path, outcomes: Sequence[BaseModel]) -> None:
    """Write outcomes of one kind as one file; the same outcomes give the same bytes.

    Raises:
        InvalidValue: there are none, or they are of several kinds.
    """
    kinds = {getattr(one, KIND) for one in outcomes}
    if len(kinds) != 1:
        raise InvalidValue(f"an archive holds outcomes of one kind, not {sorted(kinds) or 'none'}")
    written = [json.loads(one.model_dump_json()) for one in outcomes]
    content = numbered({FORMAT: NAME, KIND: kinds.pop(), "outcomes": written})
    content[DIGEST] = digest_of_json(content, size=16)
    write_atomically(path, gzip.compress(json.dumps(content).encode(), mtime=0))


def read_outcomes(place: Path, kinds: Mapping[str, type[BaseModel]]) -> list[BaseModel]:
    """Outcomes of one kind, from an archive or from a folder of files that end in ``.json``, a record each.

    Args:
        place: where they lie.
        kinds: name -> record of each kind that can be read.

    Raises:
        NotARun: it is nothing of the kind, or of a kind that cannot be read.
        CorruptRun: it is damaged.
    """
    return _of_folder(place, kinds) if place.is_dir() else _of_archive(place, kinds)


def _of_folder(folder: Path, kinds: Mapping[str, type[BaseModel]]) -> list[BaseModel]:
    outcomes: list[BaseModel] = []
    found: str | None = None
    for path in sorted(folder.glob("*.json"), key=lambda path: (len(path.name), path.name)):
        kind = _kind_of(path)
        if kind is None:
            continue
        if found not in (None, kind):
            raise NotARun(f"{folder} holds outcomes of several kinds, {found} and {kind}; name one folder for each")
        outcomes.append(read_record(_known(kind, kinds, path), path))
        found = kind
    if not outcomes:
        raise NotARun(
            f"{folder} holds no outcomes; name a file that --archive wrote, or a folder with files seed-N.json"
        )
    return outcomes


def _kind_of(path: Path) -> str | None:
    """The kind that a record names, if it is a record that does."""
    try:
        content = json.loads(read_whole(path))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptRun(f"{path} cannot be read: {error}; delete it to compute it anew") from error
    kind = content.get(KIND) if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def _of_archive(path: Path, kinds: Mapping[str, type[BaseModel]]) -> list[BaseModel]:
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = unpacker.decompress(read_whole(path, MAX_BYTES), MAX_BYTES)
    except (zlib.error, OSError) as error:
        raise NotARun(f"{path} is no archive of outcomes: {error}") from error
    if not unpacker.eof:
        raise CorruptRun(f"{path} is cut short, or unpacks to more than {MAX_BYTES // 2**20} MiB")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get(FORMAT) != NAME:
        raise NotARun(f"{path} is no archive of outcomes; 'ticketsearch report FILE' reads archives of studies")
    kind = _known(str(content.get(KIND)), kinds, path)
    return list(parsed(_Archive[kind], path, text).outcomes)  # type: ignore[valid-type] # known when it is read


def _known(kind: str, kinds: Mapping[str, type[BaseModel]], path: Path) -> type[BaseModel]:
    if kind not in kinds:
        raise NotARun(f"{path} holds outcomes of kind {kind!r}; this ticketsearch reads {', '.join(kinds)}")
    return kinds[kind]
