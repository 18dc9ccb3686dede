"""The leaderboard as a picture: confirmed accuracy with its interval beside three references, cost at the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ticketsearch.leaderboard import Group
from ticketsearch.leaderboard.table import label_of
from ticketsearch.report.dots import Line, Panel, write_dots
from ticketsearch.report.text import percent, title

LEGEND = (
    "● confirmed ticket, 95 % interval    ✕ random mask, same counts    ▲ one-shot magnitude    "
    "■ dense, as many weights    │ dense"
)


def write_svg(path: Path, groups: Sequence[Group]) -> None:
    """Draw one panel for each task and sparsity."""
    panels = [
        Panel(
            title(group),
            ("test accuracy %", "search cost"),
            [
                Line(
                    label_of(row),
                    row.test_accuracy,
                    (f"{percent(row.test_accuracy)}  (n={len(row.seeds)})", f"{row.epochs.mean:.4g} ep"),
                    {
                        "dense": row.dense,
                        "random": row.random,
                        "magnitude": row.magnitude,
                        **{name: row.controls[name] for name in ("small-dense",) if name in row.controls},
                    },
                )
                for row in group.rows
            ],
            LEGEND,
        )
        for group in groups
    ]
    write_dots(path, panels, "ticketsearch leaderboard")
