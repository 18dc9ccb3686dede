"""Ending what does not end by itself: a limit on a block, where the platform has an alarm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ticketsearch.plugins.patience import STEP_S, Allowance


class TimeLimit(BaseException):
    """The block took too long. Not an Exception, so that ``except Exception`` in the block does not catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in the block once it has used up its seconds of a processor.

    See :mod:`ticketsearch.plugins.patience`. There is no limit outside the main thread or without SIGALRM.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    allowance = Allowance.of_this_thread(seconds)

    def expire(_signal: int, _frame: FrameType | None) -> None:
        if allowance.over:
            raise TimeLimit(f"did not end within {seconds:g} s of a processor")

    handler = signal.signal(signal.SIGALRM, expire)
    delay, interval = signal.setitimer(
        signal.ITIMER_REAL, min(seconds, STEP_S), STEP_S
    )  # again, should it be swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, delay, interval)
        signal.signal(signal.SIGALRM, handler)
