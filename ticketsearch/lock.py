"""One writer per run: a lock on a file in the run's folder, which says who holds it.

The lock is the operating system's (``flock``), not the file's presence: it ends with its process, however that ends,
and nothing stale is ever left to be removed by hand. The file stays, empty once it is released: deleting it would
let two processes hold locks on two files of one name.

Where there is no ``flock`` (Windows, some network file systems) nobody is kept out here. The ledger then stops the
second writer at its first trial, whose number is taken; nothing recorded is lost, but what that one computed is.
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

from ticketsearch.errors import RunInUse
from ticketsearch.files import check_there, storing

LOCK = ".lock"
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def only_writer(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the lock of a run for a block, which gets a function that raises StorageError once the folder is gone.

    Raises:
        RunInUse: another process, or another thread of this one, holds it; at once.
        StorageError: no file can be made there.
    """
    with storing(folder / LOCK):
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(folder / LOCK, flags, 0o666)
    try:
        with storing(folder / LOCK):
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is there, and not a file")
            if not _locked(descriptor):
                raise RunInUse(f"{folder} is in use by {_holder(descriptor)}; wait for it to end, or end it")
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        try:
            yield lambda: check_there(folder / LOCK, descriptor)
        finally:
            with contextlib.suppress(OSError):  # only words are left behind: the lock itself goes with the descriptor
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Whether the lock is ours; true as well where locks are not supported."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True


def _holder(descriptor: int) -> str:
    """Who holds the lock, in words; it writes its name only after it has it."""
    for _ in range(50):
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            found = json.loads(os.pread(descriptor, 1000, 0))
            return f"process {found['pid']} on {found['host']} since {found['since']}"
        time.sleep(0.01)
    return "another process"
