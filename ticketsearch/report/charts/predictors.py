"""How well predictors rank candidates, beneath the highest tau that any could have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ticketsearch.leaderboard.prediction import Prediction, Quality
from ticketsearch.report.charts.figure import ALL, Figure, Key, Table, named, plot, rounded, rows_axis, rows_height
from ticketsearch.report.charts.style import COLOURS, SYMBOLS, Style


def predictors(predictions: Sequence[Prediction], names: Sequence[str], title: str) -> Figure:
    """One figure: a line for each predictor, a mark for each population, a dotted line at its ceiling.

    Args:
        predictions: populations.
        names: of them.
        title: of the figure.
    """
    labels = list(dict.fromkeys(one.predictor for each in predictions for one in each.qualities if one.tau))
    styles = [
        Style(f"--c{place % COLOURS}", "solid", SYMBOLS[place % len(SYMBOLS)]) for place in range(len(predictions))
    ]
    data = [_trace(name, style, each, labels) for name, style, each in zip(names, styles, predictions, strict=True)]
    ceilings = [
        _line(each.ceiling, style.colour) for style, each in zip(styles, predictions, strict=True) if each.ceiling
    ]
    drawn = plot(
        data,
        {"title": "Kendall's tau with confirmed accuracy", "range": [-1, 1]},
        rows_axis(labels),
        shapes=[*ceilings, _line(0.0, "--muted")],
    )
    rows = [
        [name, one.predictor, f"{one.tau.value:.2f}"]
        for name, each in zip(names, predictions, strict=True)
        for one in each.qualities
        if one.tau
    ]
    return Figure(
        title=title,
        alt=f"Kendall's tau of {len(labels)} predictors on {'; '.join(names)}. Dotted lines: ceilings.",
        plots={"tau": drawn},
        keys=[Key(name, style, line=False) for name, style in zip(names, styles, strict=True)],
        table=Table(("population", "predictor", "tau"), rows),
        task=ALL,
        sparsity=None,
        height=rows_height(labels),
    )


def _trace(name: str, style: Style, prediction: Prediction, labels: Sequence[str]) -> dict[str, Any]:
    own: list[Quality] = [one for one in prediction.qualities if one.tau]
    taus = [one.tau for one in own if one.tau]
    return {
        "type": "scatter",
        "mode": "markers",
        "meta": name,
        "x": rounded([tau.value for tau in taus]),
        "y": [labels.index(one.predictor) for one in own],
        "text": [f"{one.predictor}: {tau.value:.2f}" for one, tau in zip(own, taus, strict=True)],
        "hovertemplate": named(name),
        "marker": style.marker(),
        "error_x": {
            "type": "data",
            "color": style.colour,
            "thickness": 1.2,
            "width": 3,
            "array": rounded([None if tau.high is None else tau.high - tau.value for tau in taus]),
            "arrayminus": rounded([None if tau.low is None else tau.value - tau.low for tau in taus]),
        },
    }


def _line(x: float, colour: str) -> dict[str, Any]:
    line = {"color": colour, "dash": "2px,3px", "width": 1.2}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "line": line}
