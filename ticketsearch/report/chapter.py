"""A chapter of the HTML report about something else than runs: a title, sentences, a table, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ticketsearch.report.charts.figure import Figure, Table


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    Attributes:
        title: of it, and of its line in the contents.
        lines: sentences, a paragraph each.
        table: below them.
        figures: below that.
    """

    title: str
    lines: Sequence[str]
    table: Table
    figures: Sequence[Figure] = field(default=())
