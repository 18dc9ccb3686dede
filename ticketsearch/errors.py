"""The exception tree: what went wrong decides the exit status and who has to act.

::

    TicketsearchError
    ├── UsageError            the input is wrong; exit 2
    │   ├── UnknownName       no strategy, task, option or device of that name
    │   ├── InvalidValue      a value outside its range, or one that does not parse
    │   ├── MissingData       a data set is not where it was looked for
    │   └── NotARun           a folder is there, but no run is in it
    ├── PluginError           a strategy or task could not be loaded; exit 1
    ├── StrategyError         a strategy broke its contract, or found nothing; exit 1
    ├── CorruptRun            a run folder contradicts itself or the code that resumes it; exit 1
    ├── StorageError          the disk is full, or a file cannot be written; exit 1
    ├── RunInUse              another process is at work on this run; exit 1
    ├── CallbackError         a callback raised an exception; the run it watched is kept; exit 1
    ├── ClusterError          a cluster cannot be reached, or its workers are lost too often; exit 1
    └── BudgetExhausted       the search is over; raised into strategies, caught by the host
        ├── SearchStalled     the strategy only asks for what it already knows
        └── TimeLimitReached  its wall time is up
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import FrameType

OURS = __name__.partition(".")[0]


class TicketsearchError(Exception):
    """Base class of every error this package raises on purpose."""

    exit_code = 1


class UsageError(TicketsearchError):
    """The input is wrong and the message says how to mend it."""

    exit_code = 2


class UnknownName(UsageError):
    """A name nobody registered; the message lists the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.name = name
        names = sorted(known)
        lower = {one.lower(): one for one in names}
        near = [lower[one] for one in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
        remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {remedy}{' ' + hint if hint else ''}")


class InvalidValue(UsageError):
    """A value that does not parse or lies outside its range."""


class MissingData(UsageError):
    """A data set is not where it was looked for."""


class NotARun(UsageError):
    """A folder exists but holds no run."""


class PluginError(TicketsearchError):
    """A strategy or a task could not be loaded; names the distribution."""


class StrategyError(TicketsearchError):
    """A strategy broke its contract or ended without a ticket."""


class CorruptRun(TicketsearchError):
    """A run folder contradicts itself or the code that resumes it."""


class StorageError(TicketsearchError):
    """The disk is full, or a file cannot be written; what was finished before is there."""


class RunInUse(TicketsearchError):
    """Another process, or another thread, is at work on this run; says who and since when."""


class CallbackError(TicketsearchError):
    """A callback raised an exception; what it watched was computed and written all the same."""


class ClusterError(TicketsearchError):
    """A cluster of workers cannot be reached or keeps losing them; what was recorded is there."""


class BudgetExhausted(TicketsearchError):
    """The next piece of work does not fit into the budget. Strategies need not catch it."""


class SearchStalled(BudgetExhausted):
    """Many calls in a row asked only for scores already known: the search can go nowhere."""


class TimeLimitReached(BudgetExhausted):
    """The search has had its wall time; raised by the next verb, or in the strategy's own code."""


def at(error: BaseException, owner: str = "") -> str:
    """`` at file:line``, for a message: :func:`place_of`, or nothing."""
    place = place_of(error, owner)
    return f" at {place}" if place else ""


def place_of(error: BaseException, owner: str = "") -> str:
    """``file:line`` of the owner's own code that an exception came out of; empty if none of it was running.

    Of all frames, the innermost one in the owner's package: not the line of a library, or of ours, that it called.

    Args:
        error: as caught.
        owner: what to blame, ``mine.search`` or ``mine.search:Mine``: the package; default whatever is not ours.
    """
    package, found = owner.partition(":")[0].partition(".")[0], ""
    trace = error.__traceback__
    while trace is not None:
        if _is_of(trace.tb_frame, package):
            found = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    if not found and isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    return found


def _is_of(frame: FrameType, package: str) -> bool:
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return module == package if package else module != OURS
