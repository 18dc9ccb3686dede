"""Whose line of code an exception came from."""

from __future__ import annotations

from types import FrameType

OURS = __name__.partition(".")[0]


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
