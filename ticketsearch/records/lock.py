"""One writer per run: a lock on a file in the run's folder, which says who holds it.

The lock is the operating system's, by way of ``filelock``, not the file's presence: it ends with its process, however
that ends, and nothing stale is ever left to be removed by hand. The file stays, empty once it is released: deleting it
would let two processes hold locks on two files of one name. On Windows, where a locked file cannot be read, it does not
say who holds it.

Where the file system has no locks (some network ones) nobody is kept out here. The ledger then stops the second writer
at its first trial, whose number is taken; nothing recorded is lost, but what that one computed is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ticketsearch.errors import RunInUse
from ticketsearch.records.files import check_there, identity_of, storing

LOCK = ".lock"
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def only_writer(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the lock of a run for a block, which gets a function that raises StorageError once the folder is gone.

    Raises:
        RunInUse: another process, or another thread of this one, holds it; at once.
        StorageError: no file can be made there.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    with storing(path):
        if not stat.S_ISREG(_mode(path)):
            raise OSError(errno.EINVAL, "it exists and is not a regular file")
        try:
            _acquire(lock, path)
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            path.touch()
        identity = identity_of(os.lstat(path))
    try:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        _write(path, json.dumps(holder))
        yield lambda: check_there(path, identity)
    finally:
        _write(path, "")  # only words are left behind: the lock itself goes with its process
        lock.release()


def _mode(path: Path) -> int:
    """Of what lies there; of a regular file, if nothing does."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return stat.S_IFREG


def _write(path: Path, text: str) -> None:
    """Put words into the file if it is still there; a lock without words is as good."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError), path.open("r+", encoding="utf-8") as file:
            file.write(text)
            file.truncate()


def _acquire(lock: FileLock, path: Path) -> None:
    """Take the lock, or say who has it. One who has it without a name in the file has just come, or is about to go."""
    holder = None
    for _ in range(50):
        try:
            lock.acquire()
        except Timeout:
            holder = _holder(path)
        else:
            return
        if holder is not None:
            break
        time.sleep(0.01)
    folder = path.parent
    raise RunInUse(f"{folder} is in use by {holder or 'another process'}; wait for it to end, or end it")


def _holder(path: Path) -> str | None:
    """Who holds the lock, in words, if the file says so."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    return None
