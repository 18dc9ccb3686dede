"""Files appear whole or not at all: written under a temporary name, synced, renamed."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ticketsearch.errors import StorageError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a full disk, a quota and a limit on the size of files say."""
_MARK = "tmp-"
"""In the name of every temporary file."""


def read_whole(path: Path, most: int = 2**28) -> bytes:
    """The content of a regular file: a pipe would be waited for, and a file without end fill the memory.

    Raises:
        OSError: it is none, cannot be read or is longer than ``most`` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb", closefd=True) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "Not a file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"{found.st_size} bytes are more than the {most} it may have", str(path))
        return file.read(most)


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
        if path.exists() and not path.is_file() and not path.is_dir():  # a rename would put a file in place of a device
            raise OSError(errno.EINVAL, "it exists and is not a regular file")
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


def check_there(path: Path, opened: int | tuple[int, int]) -> None:
    """Refuse to go on when an open file is no longer the one of its name: what is written would be lost.

    Args:
        path: the name.
        opened: a descriptor, or device and inode.

    Raises:
        StorageError: the file was removed or replaced.
    """
    known = opened if isinstance(opened, tuple) else identity_of(os.fstat(opened))
    try:
        same = identity_of(os.lstat(path)) == known
    except OSError:
        same = False
    if not same:
        raise StorageError(
            f"{path} was removed or replaced while the run was at work, so nothing more was written; run the same "
            "command again"
        )


def identity_of(found: os.stat_result) -> tuple[int, int]:
    """What makes a file that file: its device and inode."""
    return found.st_dev, found.st_ino


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; for the only writer of a folder."""
    for path in folder.glob(f".*.{_MARK}*"):
        if path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
