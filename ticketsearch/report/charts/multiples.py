"""Break-even over sparsity: at what multiple of the cost of IMP's frontier a search reaches what it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ticketsearch.leaderboard.multiples import Multiple
from ticketsearch.leaderboard.section import Section
from ticketsearch.report.charts.accuracy import UNITS
from ticketsearch.report.charts.figure import Figure, Key, Table, named, plot, rounded
from ticketsearch.report.charts.style import Style, names_of
from ticketsearch.report.verdicts import number

Series = list[tuple[float, Multiple]]


def multiples(sections: Sequence[Section], styles: dict[str, Style]) -> Figure | None:
    """One task: a line for each search over sparsities, a button for each currency; none without searches and IMP.

    A search below IMP's cheapest setting has its lower bound drawn as a triangle, one above all of IMP has no multiple.
    """
    names = names_of(sections)
    found: dict[str, tuple[Style, dict[str, Series]]] = {}
    for section in sections:
        for one in section.contenders:
            for currency, value in one.multiples.items():
                if value.standing != "above" and value.value > 0:
                    name = names[section.task, section.sparsity, one.label]
                    _, series = found.setdefault(name, (styles[one.label], {}))
                    series.setdefault(currency, []).append((section.sparsity, value))
    if not found:
        return None
    sparsities = sorted({section.sparsity for section in sections})
    x = {
        "type": "log",
        "autorange": "reversed",
        "title": "sparsity (fraction pruned)",
        "tickvals": [round(1 - one, 9) for one in sparsities],
        "ticktext": [f"{one:g}" for one in sparsities],
    }
    plots = {
        button: plot(
            [_trace(name, style, series[currency]) for name, (style, series) in found.items() if currency in series],
            x,
            {"type": "log", "title": "times IMP's cost"},
            shapes=[_even()],
        )
        for currency, (button, *_) in UNITS.items()
    }
    rows = [
        [name, f"{sparsity:g}", UNITS[currency][0], _words(value)]
        for name, (_, series) in found.items()
        for currency, points in series.items()
        for sparsity, value in points
    ]
    task = sections[0].task
    return Figure(
        title=f"{task}: the cost of search over that of IMP's frontier",
        alt=f"Multiples of the cost of IMP's frontier on {task}, over sparsity; a dotted line at one.",
        plots=plots,
        keys=[Key(name, style) for name, (style, _) in found.items()],
        table=Table(("search", "sparsity", "currency", "multiple, 95 % interval"), rows),
        task=task,
        sparsity=None,
        height=400,
        lines=["A triangle is a lower bound: the search is less accurate than IMP's cheapest setting."],
    )


def _words(value: Multiple) -> str:
    interval = "" if value.low is None or value.high is None else f" [{number(value.low)}, {number(value.high)}]"
    return f"{'more than ' if value.standing == 'below' else ''}{number(value.value)}{interval}"


def _trace(name: str, style: Style, points: Series) -> dict[str, Any]:
    values = [value for _, value in points]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": name,
        "x": rounded([1 - sparsity for sparsity, _ in points]),
        "y": rounded([value.value for value in values]),
        "text": [f"sparsity {sparsity:g}: {_words(value)} times" for sparsity, value in points],
        "hovertemplate": named(name),
        "line": style.line(),
        "marker": style.marker()
        | {"symbol": ["triangle-up" if value.standing == "below" else style.symbol for value in values]},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "color": style.colour,
            "thickness": 1.2,
            "width": 3,
            "array": rounded([None if one.high is None else max(0.0, one.high - one.value) for one in values]),
            "arrayminus": rounded([None if one.low is None else max(0.0, one.value - one.low) for one in values]),
        },
    }


def _even() -> dict[str, Any]:
    line = {"color": "--muted", "dash": "2px,3px", "width": 1.2}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "line": line}
