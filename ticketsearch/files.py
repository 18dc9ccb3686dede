"""Files appear whole or not at all: written under a temporary name, synced, renamed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ticketsearch.errors import StorageError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a full disk, a quota and a limit on the size of files say."""
_MARK = "tmp-"
"""In the name of every temporary file."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Around the writing of a file: errors of the file system become ours."""
    try:
        yield
    except OSError as error:
        remedy = "make room and run the same command again" if error.errno in FULL else "choose another place"
        raise StorageError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from error


def write_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write ``data`` to ``path``; whoever reads it finds the old content or the new, never a part.

    Without ``sync`` that holds for killed processes, and not for machines that lose their power.

    Raises:
        StorageError: it cannot be written.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{_MARK}")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; for the only writer of a folder."""
    for path in folder.glob(f".*.{_MARK}*"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
