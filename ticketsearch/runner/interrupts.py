"""What stops a search from outside: Ctrl-C, and the end of its time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ticketsearch.problem.session import Session
from ticketsearch.system import alarm

GRACE_S = 0.2
"""How often a strategy whose time is up is told so, should it not listen."""


@contextmanager
def first_interrupt_finishes_batch(session: Session) -> Iterator[None]:
    """First Ctrl-C: finish and record the batch, then stop. Second: at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        session.interrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def time_limit(session: Session) -> Iterator[None]:
    """Raise TimeLimitReached in the strategy's own code once its time is up; the verbs look at the clock themselves.

    Where there is no :func:`ticketsearch.system.alarm`, only the verbs do: a strategy that never calls one is not
    stopped there.
    """
    if session.limit_s is None:
        yield
        return
    delay = max(GRACE_S, session.limit_s - session.meter.elapsed_s)
    with alarm(delay, GRACE_S, session.stop_if_hanging):
        yield
