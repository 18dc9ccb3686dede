"""Ending what does not end by itself: a limit on the wall time of a block, where the platform has one.

A machine that stands still or is busy with others must not fail a search, so time in which the process got hardly any
CPU counts for less: the limit is then granted again, a few times.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRANTS, BUSY = 4, 0.25
"""How often the limit is granted again, while the process is busy for less than this fraction of it."""


class TimeLimit(BaseException):
    """The block took too long. Not an Exception, so that ``except Exception`` in the block does not catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in the block after so many seconds; no limit outside the main thread or without SIGALRM."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    begin, granted = time.process_time(), 0

    def expire(_signal: int, _frame: FrameType | None) -> None:
        nonlocal granted
        if granted < GRANTS and time.process_time() - begin < BUSY * seconds:
            granted += 1
            signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
            return
        raise TimeLimit(f"did not end within {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, expire)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again each second, should it be swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, delay, interval)
        signal.signal(signal.SIGALRM, handler)
