"""Ending what does not end by itself: a limit on a block, where the platform has an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ticketsearch.plugins.patience import STEP_S, Allowance
from ticketsearch.system import alarm


class TimeLimit(BaseException):
    """The block took too long. Not an Exception, so that ``except Exception`` in the block does not catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in the block once it has used up its seconds of a processor.

    See :mod:`ticketsearch.plugins.patience`. There is no limit where there is no :func:`ticketsearch.system.alarm`.
    """
    allowance = Allowance.of_this_thread(seconds)

    def expire() -> None:
        if allowance.over:
            raise TimeLimit(f"did not end within {seconds:g} s of a processor")

    with alarm(min(seconds, STEP_S), STEP_S, expire):
        yield
