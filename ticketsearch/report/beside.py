"""What other commands measured, as chapters of the HTML report: one reader for each kind of outcome.

To add a kind, give its records a field ``kind`` and put a function into :data:`READERS` that returns the record and
what makes a :class:`~ticketsearch.report.chapter.Chapter` of a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel

from ticketsearch.records.outcomes import KIND, read_outcomes
from ticketsearch.report.chapter import Chapter

Reader: TypeAlias = tuple[type[BaseModel], Callable[[Sequence[Any]], Chapter]]


def _descent() -> Reader:
    from ticketsearch.report.descent import chapter
    from ticketsearch.studies.capacity import DescentOutcome

    return DescentOutcome, chapter


def _connect() -> Reader:
    from ticketsearch.report.connect import chapter
    from ticketsearch.studies.barrier import ConnectOutcome

    return ConnectOutcome, chapter


def _predict() -> Reader:
    from ticketsearch.records.study_records import PredictOutcome
    from ticketsearch.report.predict import chapter

    return PredictOutcome, chapter


READERS: dict[str, Callable[[], Reader]] = {"connect": _connect, "descent": _descent, "predict": _predict}
"""Kind of outcome -> its record, and what makes a chapter of such records; imported when it is asked for."""


def chapter_of(place: Path) -> Chapter:
    """The chapter of an archive, or of a folder of outcomes.

    Raises:
        NotARun: nothing of a known kind is there.
        CorruptRun: it is damaged.
    """
    readers = {kind: reader() for kind, reader in READERS.items()}
    outcomes = read_outcomes(place, {kind: record for kind, (record, _) in readers.items()})
    return readers[getattr(outcomes[0], KIND)][1](outcomes)
