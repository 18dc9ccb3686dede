"""What a study says while it runs: what was there before is not passed off as new."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from ticketsearch.report.progress import StudyTable, duration


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


def test_what_is_left_takes_as_long_as_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One had finished before, two took ten minutes: five are left."""
    clock = [0.0]
    monkeypatch.setattr("ticketsearch.report.progress.time.monotonic", lambda: clock[0])
    table = StudyTable(Console(file=io.StringIO(), width=80), ["a"] * 8)
    assert table._time() == "0 of 8 done, 0 s"
    table.tell("a", 0, 0.5, "", "2026-01-02T03:04:05+00:00")
    clock[0] = 600.0
    table.tell("a", 1, 0.5, "", at(5))
    table.tell("a", 2, None, "no luck")
    assert table._time() == "3 of 8 done, 10 min, about 25 min left"
    for seed in range(3, 8):
        table.tell("a", seed, 0.5, "", at(5))
    assert table._time() == "8 of 8 done, 10 min"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (91, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_live_table_fits_into_eighty_columns_with_the_whole_name() -> None:
    out = io.StringIO()
    row = "mnist1d-wide 0.98 continuous-sparsification (rate=10.0, factor=true)"
    with StudyTable(Console(file=out, force_terminal=True, width=80, height=24), [row] * 3) as table:
        table.tell(row, 0, 0.5, "", at(5))
        Console(file=out, width=80).print(table._table())
    lines = out.getvalue().splitlines()
    assert any("continuous-sparsification" in line for line in lines)
    assert "1 of 3 done" in out.getvalue()
