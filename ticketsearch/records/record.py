"""Records: JSON with a digest of all the rest as its last key.

A digit that was altered is found, and the file is named and left as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ticketsearch.digests import digest_of_json
from ticketsearch.errors import CorruptRun
from ticketsearch.records.files import read_whole, write_atomically
from ticketsearch.records.folder import check_file
from ticketsearch.records.schema import numbered, upgraded
from ticketsearch.visible import visible_in

DIGEST = "digest"


class StrictRecord(BaseModel):
    """Of known fields alone; NaN and infinities are written as words."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


Record = TypeVar("Record", bound=BaseModel)


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record with its digest, atomically."""
    content = numbered(json.loads(record.model_dump_json()))
    write_atomically(
        path, (json.dumps({**content, DIGEST: digest_of_json(content, size=16)}, indent=1) + "\n").encode()
    )


def read_record(kind: type[Record], path: Path) -> Record:
    """Read a record that :func:`write_record` wrote.

    Raises:
        CorruptRun: it cannot be read, does not parse or does not match its digest.
    """
    check_file(path)
    try:
        return parsed(kind, path, read_whole(path))
    except OSError as error:
        raise CorruptRun(f"{path} cannot be read: {error.strerror}") from error


def parsed(kind: type[Record], path: Path, text: bytes) -> Record:
    """A record that carries its digest."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or DIGEST not in content:
        raise damaged(path, f"it lacks its {DIGEST}")
    if content.pop(DIGEST) != digest_of_json(content, size=16):
        raise damaged(path, f"its content does not match its {DIGEST}")
    return _validated(kind, path, json.dumps(visible_in(upgraded(content, path))))


def _validated(kind: type[Record], path: Path, text: str | bytes) -> Record:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise damaged(path, f"{where}: {first['msg']}") from error


def damaged(path: Path, how: str) -> CorruptRun:
    """The error of a file that cannot be used as it is."""
    return CorruptRun(f"{path} is damaged: {how}; move it away and run the same command again")
