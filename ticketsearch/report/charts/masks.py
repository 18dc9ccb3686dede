"""Masks: how dense strategies leave each layer, and how much of their masks they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ticketsearch.leaderboard.section import Section
from ticketsearch.leaderboard.statistics import Summary
from ticketsearch.report.charts.accuracy import name_of
from ticketsearch.report.charts.figure import Figure, Table, plain, plot, rounded, rows_axis, rows_height
from ticketsearch.report.verdicts import summary

MARGIN = {"l": 48, "r": 10, "t": 10, "b": 8}
SCALE = [[0, "--paper"], [1, "--heat"]]
"""From end to end the page's ink can be read on it."""


def densities(section: Section) -> Figure:
    """Mean density of each layer."""
    labels = [one.label for one in section.contenders]
    layers = list(dict.fromkeys(name for one in section.contenders for name in one.densities))
    table = [[one.densities.get(layer) for layer in layers] for one in section.contenders]
    shown = [["" if v is None else f"{v:.3f}" for v in row] for row in table]
    data = [
        {
            "type": "heatmap",
            "x": list(range(len(layers))),
            "y": list(range(len(labels))),
            "z": [rounded([None if not v else math.log10(v) for v in row]) for row in table],
            "colorscale": SCALE,
            "showscale": False,
            "text": shown,
            "texttemplate": "%{text}" if len(layers) <= 8 else "",
            "xgap": 1,
            "ygap": 1,
            "textfont": {"color": "--ink"},
            "customdata": [
                [f"{plain(label)}<br>{plain(layer)}: {text}" for layer, text in zip(layers, row, strict=True)]
                for label, row in zip(labels, shown, strict=True)
            ],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    ]
    x = {
        "tickvals": list(range(len(layers))),
        "ticks": "",
        "side": "top",
        "tickangle": 0,
        "showgrid": False,
        "ticktext": [plain(layer).replace(".", ".<br>") for layer in layers],
    }
    return Figure(
        title=name_of(section),
        alt=f"Mean density of {len(layers)} layers for {len(labels)} strategies; denser is darker.",
        plots={"": plot(data, x, rows_axis(labels) | {"showgrid": False}, margin=MARGIN)},
        keys=[],
        table=Table(
            ("strategy", *layers, "n"),
            [
                [label, *row, str(len(one.row.seeds))]
                for label, row, one in zip(labels, shown, section.contenders, strict=True)
            ],
        ),
        task=section.task,
        sparsity=section.sparsity,
        height=rows_height(labels),
    )


def overlap(section: Section, labels: Sequence[str], found: Mapping[tuple[str, str], Summary]) -> Figure:
    """Normalised overlap of each two strategies; see :mod:`ticketsearch.leaderboard.overlap`."""
    both = {**found, **{(b, a): value for (a, b), value in found.items()}}
    z = [[both[a, b].value if (a, b) in both else None for b in labels] for a in labels]
    texts = [["" if value is None else f"{round(100 * value)}" for value in row] for row in z]  # no room for more
    details = [
        [f"{plain(a)}<br>{plain(b)}<br>" + _said(both.get((a, b))) if a != b else plain(a) for b in labels]
        for a in labels
    ]
    data = [
        {
            "type": "heatmap",
            "x": list(range(len(labels))),
            "y": list(range(len(labels))),
            "z": [rounded(r) for r in z],
            "colorscale": SCALE,
            "zmin": 0,
            "zmax": 1,
            "showscale": False,
            "text": texts,
            "customdata": details,
            "texttemplate": "%{text}" if len(labels) <= 24 else "",
            "xgap": 1,
            "ygap": 1,
            "textfont": {"size": 10, "color": "--ink"},
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    ]
    numbered = [f"{place}. {label}" for place, label in enumerate(labels, start=1)]
    x = {
        "tickvals": list(range(len(labels))),
        "ticks": "",
        "side": "top",
        "tickangle": 0,
        "showgrid": False,
        "ticktext": [str(i + 1) for i in range(len(labels))],
    }
    return Figure(
        title=name_of(section),
        alt=f"Mean normalised overlap of masks between {len(labels)} strategies: 0 as random masks of the same counts, "
        "1 as far as the counts allow.",
        plots={"": plot(data, x, rows_axis(numbered) | {"showgrid": False}, margin=MARGIN)},
        keys=[],
        table=Table(
            ("strategy", "and", "overlap, 95 % interval", "n seeds"),
            [[a, b, summary(value, 1, 3), str(value.n)] for (a, b), value in found.items()],
        ),
        task=section.task,
        sparsity=section.sparsity,
        height=rows_height(numbered),
    )


def _said(value: Summary | None) -> str:
    return "no common seed" if value is None else f"overlap {summary(value, 1, 3)}, n = {value.n}"
