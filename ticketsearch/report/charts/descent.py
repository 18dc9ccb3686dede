"""Accuracy, loss and learning distance over the number of weights, of dense networks and of tickets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ticketsearch.leaderboard.descent import Descents, Place
from ticketsearch.report.charts.figure import ALL, Figure, Key, Table, named, plot, rounded
from ticketsearch.report.charts.style import COLOURS, DASHES, IMP, RANDOM, SYMBOLS, Style
from ticketsearch.studies import capacity
from ticketsearch.studies.capacity import Point

WHOLE = Style("--c0", "6px,3px", "square-open", 2.5)
"""Dense networks."""
Measure = tuple[str, float, Callable[[Point], float]]
MEASURES: tuple[Measure, ...] = (
    ("test accuracy, %", 100.0, lambda one: one.test_accuracy),
    ("training accuracy, %", 100.0, lambda one: one.train_accuracy),
    ("learning distance", 1.0, lambda one: one.distance),
    ("test loss", 1.0, lambda one: one.test_loss),
    ("training loss", 1.0, lambda one: one.train_loss),
)
"""Name, what it is multiplied with, and the value, of what is drawn."""


def curves_of(found: Descents) -> list[tuple[tuple[str, float], list[Place]]]:
    """Curves of the task's own width, masks with the dense network they begin at."""
    return [(key, found.whole(*key)) for key in found.curves if key[1] in (0.0, 1.0)]


def over_capacity(found: Descents, names: Mapping[tuple[str, float], str], title: str) -> Figure:
    """One figure, with a button for each measure."""
    curves = curves_of(found)
    styles = _styles([key for key, _ in curves])
    plots = {}
    for name, scale, value in MEASURES:
        data = [_trace(names[key], styles[key], places, scale, value) for key, places in curves]
        plots[name] = plot(data, {"type": "log", "title": "weights, kept or of a dense network"}, {"title": name})
    rows = [
        [
            names[key],
            f"{place.first.n_weights}",
            *(f"{scale * place.over(v).mean:.5g}" for _, scale, v in MEASURES),
        ]
        for key, places in curves
        for place in places
    ]
    return Figure(
        title=title,
        alt="Test accuracy, training accuracy, learning distance and losses over the number of weights: "
        + "; ".join(
            f"{names[key]} from {100 * p[0].test.mean:.1f} to {100 * p[-1].test.mean:.1f} %" for key, p in curves
        )
        + " test accuracy, from the largest network to the smallest.",
        plots=plots,
        keys=[Key(names[key], styles[key]) for key, _ in curves],
        table=Table(("curve", "weights", *(name for name, _, _ in MEASURES)), rows),
        task=ALL,
        sparsity=None,
        height=430,
        choice="measure",
    )


def _styles(keys: Sequence[tuple[str, float]]) -> dict[tuple[str, float], Style]:
    known = {capacity.DENSE: WHOLE, capacity.IMP: IMP, capacity.RANDOM: RANDOM}
    others = [key for key in keys if key[0] not in known]
    return {key: known[key[0]] for key in keys if key[0] in known} | {
        key: Style(f"--c{1 + place % (COLOURS - 1)}", DASHES[(place + 1) % len(DASHES)], SYMBOLS[place % len(SYMBOLS)])
        for place, key in enumerate(others, start=1)
    }


def _trace(
    name: str, style: Style, places: Sequence[Place], scale: float, value: Callable[[Point], float]
) -> dict[str, Any]:
    values = [place.over(value) for place in places]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": name,
        "x": [place.first.n_weights for place in places],
        "y": rounded([scale * one.mean for one in values]),
        "text": [
            f"{place.first.n_weights:,} weights, sparsity {place.first.sparsity:.4g}: {scale * one.mean:.5g}"
            for place, one in zip(places, values, strict=True)
        ],
        "hovertemplate": named(name),
        "line": style.line(),
        "marker": style.marker(),
        "error_y": {
            "type": "data",
            "color": style.colour,
            "thickness": 1.2,
            "width": 3,
            "array": rounded([None if one.half_width is None else scale * one.half_width for one in values]),
        },
    }
