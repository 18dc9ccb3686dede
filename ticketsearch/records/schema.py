"""The version of what is written to the folders of runs and studies.

``spec.json``, ``result.json`` and a study's records carry it. It goes up when what is written gets another meaning or
another shape; whoever changes it teaches :func:`upgraded` what older files lack, and leaves a folder of the version
before in ``tests/data`` for the test that reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ticketsearch.errors import CorruptRun

SCHEMA = 2
KEY = "schema_version"


def numbered(content: dict[str, Any]) -> dict[str, Any]:
    """Content as it is written."""
    return {KEY: SCHEMA, **content}


def upgraded(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Content as it was read, without its number and in the shape of today.

    Version 1 had no number, and is otherwise the same.

    Raises:
        CorruptRun: it was written by a later version, or its number is none.
    """
    version = content.pop(KEY, 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise CorruptRun(f"{path} is damaged: {KEY} {version!r} is not a version; move the folder away to start anew")
    if version > SCHEMA:
        raise CorruptRun(
            f"{path} was written by a later ticketsearch ({KEY} {version}; this one reads up to {SCHEMA}): update it"
        )
    return content
