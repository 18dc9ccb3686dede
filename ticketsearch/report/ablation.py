"""An ablation as a table and a picture: one row per cell, averaged over seeds, compared with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.dots import Line, Panel, write_dots
from ticketsearch.report.text import escaped, percent
from ticketsearch.studies.ablation import Cell, SeedOutcome

COLUMNS = ("criterion", "mask-1", "mask-0", "trained %", "difference", "untrained %")
NOTE = (
    "Test accuracy: mean over seeds ± half of the 95 % t interval. difference: to the first row, paired by seed, in "
    "points. untrained: the masked network before its first step."
)


@dataclass(frozen=True)
class Row:
    """One cell over all seeds; ``difference`` is paired, to the first cell."""

    cell: Cell
    trained: Estimate
    difference: Estimate
    untrained: Estimate


def rows_of(outcomes: Sequence[SeedOutcome]) -> list[Row]:
    """Average over seeds, in the order of the cells."""
    rows = []
    for index, first in enumerate(outcomes[0].outcomes):
        own = [seed.outcomes[index] for seed in outcomes]
        base = [seed.outcomes[0] for seed in outcomes]
        rows.append(
            Row(
                first.cell,
                Estimate.of([outcome.test_accuracy for outcome in own]),
                Estimate.of([a.test_accuracy - b.test_accuracy for a, b in zip(own, base, strict=True)]),
                Estimate.of([outcome.untrained_test_accuracy for outcome in own]),
            )
        )
    return rows


def title(outcomes: Sequence[SeedOutcome]) -> str:
    """What the table is about."""
    first, dense = outcomes[0], Estimate.of([seed.dense_test_accuracy for seed in outcomes])
    seeds = f"{len(outcomes)} seeds" if len(outcomes) > 1 else "1 seed"
    return f"{first.task} at sparsity {first.sparsity:g}, {seeds}; dense network {percent(dense)} %"


def _cells(row: Row, index: int) -> list[str]:
    spread = row.difference.half_width
    signed = f"{100 * row.difference.mean:+.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
    names = [row.cell.criterion, row.cell.mask_1, row.cell.mask_0]
    return [*names, percent(row.trained), signed if index else "", percent(row.untrained)]


def table(outcomes: Sequence[SeedOutcome]) -> Renderables:
    """For a terminal."""
    drawn = Table(title=title(outcomes), title_justify="left", title_style="bold")
    for index, column in enumerate(COLUMNS):
        drawn.add_column(column, justify="left" if index < 3 else "right", no_wrap=True)
    for index, row in enumerate(rows_of(outcomes)):
        drawn.add_row(*_cells(row, index))
    return Renderables(drawn, Text(NOTE, style="dim"))


def markdown(outcomes: Sequence[SeedOutcome]) -> str:
    """A GitHub-flavoured table."""
    lines = [f"### {escaped(title(outcomes))}", "", "| " + " | ".join(COLUMNS) + " |", "|---|---|---|---:|---:|---:|"]
    rows = ([escaped(cell) for cell in _cells(row, index)] for index, row in enumerate(rows_of(outcomes)))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", NOTE])


def write_picture(path: Path, outcomes: Sequence[SeedOutcome]) -> None:
    """Two panels, trained and untrained: their accuracies lie too far apart for one axis."""
    dense = {"dense": Estimate.of([seed.dense_test_accuracy for seed in outcomes])}
    rows = rows_of(outcomes)
    base = rows[0].cell
    trained = [
        Line(_label(row.cell, base), row.trained, (percent(row.trained), _cells(row, index)[4]), dense)
        for index, row in enumerate(rows)
    ]
    untrained = [Line(_label(row.cell, base), row.untrained, (percent(row.untrained), "")) for row in rows]
    kept = "● mean over seeds, 95 % interval"
    write_dots(
        path,
        [
            Panel(title(outcomes), ("trained %", "difference"), trained, f"{kept}    │ dense network"),
            Panel("the same, untrained", ("untrained %", ""), untrained, kept),
        ],
        "ticketsearch ablation",
    )


def _label(cell: Cell, base: Cell) -> str:
    """What differs from the base."""
    own, other = (cell.criterion, cell.mask_1, cell.mask_0), (base.criterion, base.mask_1, base.mask_0)
    differing = [name for name, reference in zip(own, other, strict=True) if name != reference]
    return ", ".join(differing) or f"{base.criterion} (base)"
