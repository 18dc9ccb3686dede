"""What a study says while it runs: what was there before is not passed off as new."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from ticketsearch.report.progress import StudyTable


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


@pytest.mark.parametrize("terminal", [False, True])
def test_runs_that_had_finished_before_are_counted_with_their_dates(terminal: bool) -> None:
    out = io.StringIO()
    with StudyTable(Console(file=out, force_terminal=terminal, width=200), ["a", "a", "b", "b"]) as table:
        table.tell("a", 0, 0.5, "", "2026-01-02T03:04:05+00:00")
        table.tell("a", 1, 0.5, "", "2026-05-06T07:08:09+00:00")
        table.tell("b", 0, 0.5, "", at(5))  # just now
        table.tell("b", 1, None, "no luck")
    [line] = [one for one in out.getvalue().splitlines() if "not repeated" in one]
    assert "2 of 4 runs had finished before (2026-01-02 03:04 to 2026-05-06 07:08 UTC)" in line


def test_of_new_runs_nothing_is_said() -> None:
    out = io.StringIO()
    with StudyTable(Console(file=out, width=200), ["a"]) as table:
        table.tell("a", 0, 0.5, "", at(1))
    assert out.getvalue() == "[1/1] a seed 0: 50.00 %\n"
