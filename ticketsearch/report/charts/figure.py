"""A figure of the report: Plotly's data and layout, and what a reader without eyes or colours is told instead."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ticketsearch.report.charts.style import Style
from ticketsearch.visible import visible

Plot = dict[str, Any]
ROW = 22
"""Pixels of one contender where they stand below each other."""
ALL = ""


@dataclass(frozen=True)
class Key:
    """A line of the legend: a button that shows and hides what has its name."""

    name: str
    style: Style
    line: bool = True
    mark: bool = True


@dataclass(frozen=True)
class Table:
    """The numbers of a figure; the first column names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        title: above it.
        alt: what it shows, in a sentence, for who cannot see it.
        plots: Plotly figures by the name of the button that shows them; one if there is nothing to choose.
        keys: the legend.
        table: the same in numbers.
        task: it is about; empty for all.
        sparsity: likewise; None for all.
        height: in pixels.
        choice: what the buttons choose.
        lines: sentences below the figure.
    """

    title: str
    alt: str
    plots: dict[str, Plot]
    keys: Sequence[Key]
    table: Table
    task: str
    sparsity: float | None
    height: int = 400
    choice: str = "currency"
    lines: Sequence[str] = field(default=())


def plain(text: str) -> str:
    """As Plotly is to show it: it reads texts as HTML."""
    return html.escape(visible(text), quote=False)


def named(name: str) -> str:
    """What Plotly shows over a point: the name of what it belongs to, and the point's own text."""
    return f"{plain(name)}<br>%{{text}}<extra></extra>"


def wrapped(text: str, width: int = 30) -> str:
    """The same over several lines, broken at spaces, for the labels of an axis."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(plain(line if len(line) <= width + 8 else f"{line[: width + 7]}…") for line in lines)


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """Five digits: more cannot be drawn, and they fill the file."""
    return [None if value is None or not math.isfinite(value) else float(f"{value:.5g}") for value in values]


def percents(values: Sequence[float | None]) -> list[float | None]:
    """Fractions as percentages."""
    return rounded([None if value is None else 100 * value for value in values])


def plot(data: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], **layout: Any) -> Plot:
    """A Plotly figure in the house's look."""
    axis = {
        "gridcolor": "--grid",
        "linecolor": "--muted",
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "--grid",
        "automargin": True,
        "title": {"standoff": 8},
    }
    base: dict[str, Any] = {
        "paper_bgcolor": "--none",
        "plot_bgcolor": "--none",
        "font": {"color": "--ink", "size": 12, "family": "system-ui, sans-serif"},
        "margin": {"l": 48, "r": 10, "t": 10, "b": 44},
        "modebar": {"bgcolor": "--none", "color": "--muted", "activecolor": "--ink"},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "--raised",
            "font": {"color": "--ink", "size": 12},
            "bordercolor": "--muted",
            "align": "left",
        },
        "xaxis": _merged(axis, x),
        "yaxis": _merged(axis, y),
    }
    return {"data": data, "layout": base | layout}


def _merged(axis: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    title = own.get("title", "")
    return axis | own | {"title": {"text": title, "standoff": 8}}


def rows_axis(labels: Sequence[str]) -> dict[str, Any]:
    """A category axis with the first label at the top, one place for each, equal labels or not."""
    places = list(range(len(labels)))
    return {
        "tickvals": places,
        "ticktext": [wrapped(label) for label in labels],
        "range": [len(labels) - 0.4, -0.6],
        "tickfont": {"size": 11},
        "ticks": "",
    }


def rows_height(labels: Sequence[str]) -> int:
    """Pixels for such an axis."""
    lines = max((wrapped(label).count("<br>") + 1 for label in labels), default=1)
    return 70 + len(labels) * max(ROW, 6 + 14 * lines)


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, or 1, 2, 5 of them where the range is short."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1,) if last - first > 4 else (1, 3) if last - first > 2 else (1, 2, 5)
    return [s * 10.0**e for e in range(first, last + 1) for s in steps if low <= s * 10.0**e <= high]


def short(value: float) -> str:
    """``1.5k``, ``2M``: for ticks."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"
