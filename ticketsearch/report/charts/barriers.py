"""Barriers between trained networks: over the step at which two data orders part, and over rounds of IMP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ticketsearch.report.barriers import SPLITS, Row, Section
from ticketsearch.report.charts.figure import ALL, Figure, Key, Table, named, plot, rounded
from ticketsearch.report.charts.style import COLOURS, DASHES, SYMBOLS, Style
from ticketsearch.studies.barrier import STABLE

AXES = {"orders": "step from which two data orders differ", "rounds": "sparsity of the later round"}
"""What can be drawn, and over what."""


def barriers(sections: Sequence[Section], title: str) -> Figure | None:
    """One figure, with a button for each comparison that has something to draw; none if there is nothing."""
    found = {name: curves for name in AXES if (curves := _curves(sections, name))}
    if not found:
        return None
    names = list(dict.fromkeys(name for curves in found.values() for name in curves))
    styles = {
        name: Style(f"--c{place % COLOURS}", DASHES[place % len(DASHES)], SYMBOLS[place % len(SYMBOLS)])
        for place, name in enumerate(names)
    }
    plots = {
        axis.partition(" ")[0] if comparison == "rounds" else "data orders": plot(
            [_trace(name, styles[name], comparison, rows, split) for name, (split, rows) in found[comparison].items()],
            {"title": axis},
            {"title": "barrier of the error, points"},
            shapes=[_threshold()],
        )
        for comparison, axis in AXES.items()
        if comparison in found
    }
    rows = [
        [name, f"{_place(comparison, row):g}", f"{100 * _estimate(row, split).mean:.3g}"]
        for comparison, curves in found.items()
        for name, (split, own) in curves.items()
        for row in own
    ]
    return Figure(
        title=title,
        alt=f"Barriers of {', '.join(names)}; a dotted line at {100 * STABLE:g} points, below which networks count as "
        "connected.",
        plots=plots,
        keys=[Key(name, styles[name]) for name in names],
        table=Table(("networks", "step, or sparsity", "barrier, points"), rows),
        task=ALL,
        sparsity=None,
        choice="comparison",
    )


def _curves(sections: Sequence[Section], comparison: str) -> dict[str, tuple[str, list[Row]]]:
    """Split and rows by the name of the curve."""
    curves: dict[str, tuple[str, list[Row]]] = {}
    for section in sections:
        about = section.title.split(" on ")[0]
        for row in (one for one in section.rows if one.comparison == comparison):
            kind = row.networks.split(",")[0] if comparison == "orders" else "rounds"
            for split in SPLITS:
                curves.setdefault(f"{about}: {kind}, {split}", (split, []))[1].append(row)
    return curves


def _place(comparison: str, row: Row) -> float:
    return float(row.place or 0) if comparison == "orders" else row.sparsities[1]


def _estimate(row: Row, split: str) -> Any:
    return row.test if split == "test" else row.train


def _trace(name: str, style: Style, comparison: str, rows: Sequence[Row], split: str) -> dict[str, Any]:
    values = [_estimate(row, split) for row in rows]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": name,
        "x": [_place(comparison, row) for row in rows],
        "y": rounded([100 * one.mean for one in values]),
        "text": [f"{row.networks}: {100 * one.mean:.3g} points" for row, one in zip(rows, values, strict=True)],
        "hovertemplate": named(name),
        "line": style.line(),
        "marker": style.marker(),
        "error_y": {
            "type": "data",
            "color": style.colour,
            "thickness": 1.2,
            "width": 3,
            "array": rounded([None if one.half_width is None else 100 * one.half_width for one in values]),
        },
    }


def _threshold() -> dict[str, Any]:
    line = {"color": "--muted", "dash": "2px,3px", "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 100 * STABLE, "y1": 100 * STABLE, "line": line}
