"""What differs between operating systems: the cores a process may use, and an alarm that interrupts a block."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def cores() -> int:
    """Processor cores that this process may use; where the system does not say (macOS, Windows), all there are."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def alarm(delay_s: float, every_s: float, ring: Callable[[], None]) -> Iterator[None]:
    """Call ``ring`` within a block, whatever it is doing: after a delay, then again and again until the block ends.

    What ``ring`` raises is raised in the block. It is called again in case the block swallows that. An alarm that was
    set before goes on after the block. Outside the main thread and on Windows there is no alarm, and nothing rings; nor
    does it while a call into C does not return.

    Args:
        delay_s: wall seconds until it rings first.
        every_s: wall seconds between that and the next.
        ring: may raise.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_signal: int, _frame: FrameType | None) -> None:
        ring()

    handler = signal.signal(signal.SIGALRM, expire)
    before = signal.setitimer(signal.ITIMER_REAL, delay_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)
