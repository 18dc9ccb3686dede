"""Tables in a terminal: whatever its width, it can be read which strategy a line is about."""

from __future__ import annotations

import io
from itertools import takewhile

import pytest
from rich.console import Console

from tests.helpers.analyses import run
from ticketsearch.leaderboard import build
from ticketsearch.report.text import COLUMNS, leaderboard

NAMES = ("continuous-sparsification", "ga", "imp")
WIDTHS = (60, 80, 100, 120, 200)


def lines_at(width: int) -> list[str]:
    results = [
        run(name, seed, (9.0, 0.5, 0.2), budget=1000.0).model_copy(
            update={"parameters": {"encoding": encoding, "scope": "layer"}, "run": f"{name}-{encoding}-{seed}"}
        )
        for name in NAMES
        for encoding in ("bits", "criterion-mixture")
        for seed in range(3)
    ]
    out = io.StringIO()
    Console(file=out, width=width, markup=False, force_terminal=False).print(leaderboard(build(results)))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_names_and_accuracies_are_whole(width: int) -> None:
    lines = lines_at(width)
    assert max(map(len, lines)) <= width
    board = takewhile(lambda line: not line.startswith("└"), lines)  # below it are the controls
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in board if line.startswith("│")]
    firsts = [row for row in rows if row[1]]  # of a cell that is folded
    assert sorted(row[0].split()[0] for row in firsts) == sorted(2 * NAMES)
    assert len(firsts) == 6
    assert all(row[2].startswith(("49.", "50.")) for row in firsts)
    assert all("…" not in line for line in lines)
    everything = " ".join(row[0] for row in rows)
    assert everything.count("encoding=criterion-mixture") == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_that_do_not_fit_are_named(width: int) -> None:
    text = " ".join(" ".join(lines_at(width)).split())
    for column in COLUMNS:
        assert column in text
    assert ("left out, for want of width" in text) == (width < 150)


def test_the_wider_the_more() -> None:
    shown = [next(line for line in lines_at(width) if "strategy" in line).count("┃") for width in WIDTHS]
    assert shown == sorted(shown)
    assert shown[0] < shown[1] < shown[-1] == len(COLUMNS) + 1
