"""Accuracy: over the cost of the search, against sparsity, and seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ticketsearch.leaderboard.section import Contender, Point, Section
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.charts.figure import (
    ALL,
    Figure,
    Key,
    Plot,
    Table,
    named,
    percents,
    plain,
    plot,
    rounded,
    rows_axis,
    rows_height,
)
from ticketsearch.report.charts.style import DENSE, DENSE_BUDGET, IMP, KINDS, RANDOM, REFERENCE, Style, names_of
from ticketsearch.report.text import percent

FRONTIER = "SGD's frontier (IMP, magnitude)"
ACCURACY = {"title": "confirmed test accuracy, %"}


def name_of(section: Section) -> str:
    """What a section is about."""
    return f"{section.task} at sparsity {section.sparsity:g}"


def rivals(section: Section) -> list[Contender]:
    """Everything that is not SGD's: searches first."""
    found = [one for one in section.contenders if one.kind != "imp" and one.row.strategy != "magnitude"]
    return sorted(found, key=lambda one: KINDS.index(one.kind))


UNITS = {
    "kept-weight FLOPs": ("kept-weight FLOPs", "search cost, GFLOP of the kept weights", 1e9, "GFLOP"),
    "train examples": ("epochs", "search cost, epochs of the dense network", 1.0, "ep"),
    "CPU seconds": ("CPU seconds", "search cost, CPU seconds", 1.0, "s"),
}
"""By currency: its button, its axis, what a unit is, and how it is written."""


def anytime(section: Section, styles: dict[str, Style]) -> Figure:
    """Mean confirmed accuracy over search cost with bands, SGD's frontier as steps; a button for each currency."""
    frontier = [section.contender(label) for label in section.frontier]
    shown = rivals(section)
    plots: dict[str, Plot] = {}
    for currency, (button, axis, _, _) in UNITS.items():
        ends = [point.cost for one in section.contenders for point in _points(one, currency)]
        data = _frontier(frontier, max(ends), currency) if frontier else []
        for one in shown:
            data += _curve(one, styles[one.label], currency)
        flat = _flat(section, (min(ends), max(ends)))
        plots[button] = plot([*data, *(trace for trace, _ in flat)], {"type": "log", "title": axis}, ACCURACY)
    keys = [Key(FRONTIER, IMP)] if frontier else []
    keys += [Key(one.label, styles[one.label], line=len(one.curve) > 1) for one in shown]
    rows = [
        [one.label, FRONTIER if one in frontier else "curve", f"{p.cost:.5g}", interval(p), str(p.n)]
        for one in [*frontier, *shown]
        for p in _ends(one)
    ]
    return Figure(
        title=name_of(section),
        alt="Confirmed test accuracy over search cost, on a logarithmic axis: "
        + "; ".join(f"{one.label} ends at {percent(one.row.test_accuracy)} %" for one in section.contenders[:6])
        + ".",
        plots=plots,
        keys=[*keys, *(key for _, key in _flat(section, (1.0, 1.0)))],
        table=Table(("strategy", "drawn as", "cost, ep", "accuracy %, 95 % interval", "n"), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=430,
    )


def _points(one: Contender, currency: str) -> list[Point]:
    """A curve in the units of its axis; what cost nothing has no place on a logarithmic one."""
    unit = UNITS[currency][2]
    return [replace(point, cost=point.cost / unit) for point in one.curves[currency] if point.cost > 0]


def _ends(one: Contender) -> list[Point]:
    """A few points of a curve: its first, its last, and about five between."""
    step = max(1, len(one.curve) // 6)
    return [point for i, point in enumerate(one.curve) if i % step == 0 or i == len(one.curve) - 1]


def interval(point: Point) -> str:
    """``61.3 [60.1, 62.5]``, in percent."""
    text = f"{100 * point.mean:.1f}"
    if point.low is None or point.high is None:
        return text
    return f"{text} [{100 * point.low:.1f}, {100 * point.high:.1f}]"


def _hover(point: Point, currency: str) -> str:
    return f"{point.cost:.4g} {UNITS[currency][3]}: {interval(point)} %, n = {point.n}"


def _frontier(frontier: Sequence[Contender], end: float, currency: str) -> list[dict[str, Any]]:
    """Steps: a strategy is at SGD's price when it is on them."""
    ends = sorted(((_points(one, currency)[-1], one) for one in frontier), key=lambda pair: pair[0].cost)
    points, frontier = [point for point, _ in ends], [one for _, one in ends]
    costs, means = [p.cost for p in points], [p.mean for p in points]
    common = {"type": "scatter", "meta": FRONTIER, "hovertemplate": "%{text}<extra></extra>"}
    texts = [f"{plain(one.label)}<br>{_hover(p, currency)}" for one, p in zip(frontier, points, strict=True)]
    return [
        common
        | {
            "mode": "lines",
            "x": rounded([*costs, max(end, costs[-1])]),
            "y": percents([*means, means[-1]]),
            "line": IMP.line() | {"shape": "hv"},
            "hoverinfo": "skip",
        },
        common
        | {
            "mode": "markers",
            "x": rounded(costs),
            "y": percents(means),
            "text": texts,
            "marker": IMP.marker(),
            "error_y": _bars(points, IMP),
        },
    ]


def _bars(points: Sequence[Point], style: Style) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "color": style.colour,
        "thickness": 1.2,
        "width": 3,
        "array": percents([None if p.high is None else p.high - p.mean for p in points]),
        "arrayminus": percents([None if p.low is None else p.mean - p.low for p in points]),
    }


def _curve(one: Contender, style: Style, currency: str) -> list[dict[str, Any]]:
    points, common = _points(one, currency), {"type": "scatter", "meta": one.label}
    x = rounded([p.cost for p in points])
    line = common | {
        "x": x,
        "y": percents([p.mean for p in points]),
        "text": [_hover(p, currency) for p in points],
        "hovertemplate": named(one.label),
        "marker": style.marker(),
    }
    if len(points) < 2:
        return [line | {"mode": "markers", "error_y": _bars(points, style)}]
    sizes = [7 if i % 4 == 0 or i == len(points) - 1 else 0 for i in range(len(points))]
    drawn = line | {
        "mode": "lines+markers",
        "line": style.line(),
        "marker": style.marker() | {"size": sizes, "opacity": 1},
    }
    band = [p for p in points if p.low is not None and p.high is not None]
    if not band:
        return [drawn]
    edge = common | {
        "mode": "lines",
        "x": rounded([p.cost for p in band]),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    return [
        edge | {"y": percents([p.low for p in band])},
        edge | {"y": percents([p.high for p in band]), "fill": "tonexty", "fillcolor": f"{style.colour}@14"},
        drawn,
    ]


def _flat(section: Section, ends: tuple[float, float]) -> list[tuple[dict[str, Any], Key]]:
    """Levels that have no search cost of their own, as lines from side to side."""
    if section.reference is None:
        return []
    row = section.contender(section.reference).row
    levels = [("dense network, one training", row.dense, DENSE), ("random masks, IMP's counts", row.random, RANDOM)]
    if section.dense_budget is not None:
        name = f"dense network, {section.dense_budget_epochs:g} epochs"
        levels.insert(1, (name, section.dense_budget, DENSE_BUDGET))
    return [
        (
            {
                "type": "scatter",
                "mode": "lines",
                "meta": name,
                "x": rounded(ends),
                "y": percents([level.mean] * 2),
                "line": style.line(),
                "text": [f"{plain(name)}: {percent(level)} %"] * 2,
                "hovertemplate": "%{text}<extra></extra>",
            },
            Key(name, style, mark=False),
        )
        for name, level, style in levels
    ]


def against_sparsity(sections: Sequence[Section], styles: dict[str, Style]) -> Figure:
    """One task: a line for each strategy over sparsities. Sparser to the right, by the logarithm of density."""
    series: dict[str, tuple[Style, list[tuple[float, Estimate, int]]]] = {}
    names = names_of(sections)

    def add(name: str, style: Style, section: Section, value: Estimate, n: int) -> None:
        series.setdefault(name, (style, []))[1].append((section.sparsity, value, n))

    for section in sections:
        if section.reference is not None:
            row = section.contender(section.reference).row
            for name, style, value in (
                ("IMP, the reference", REFERENCE, row.test_accuracy),
                ("dense network, one training", DENSE, row.dense),
                ("random masks, IMP's counts", RANDOM, row.random),
            ):
                add(name, style, section, value, len(row.seeds))
        for one in section.contenders:
            if one.kind != "imp":
                name = names[section.task, section.sparsity, one.label]
                add(name, styles[one.label], section, one.row.test_accuracy, len(one.row.seeds))
    order = list(series)  # references first
    sparsities = [section.sparsity for section in sections]
    data = []
    for name in order:
        style, points = series[name]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "meta": name,
                "x": rounded([1 - s for s, _, _ in points]),
                "y": percents([value.mean for _, value, _ in points]),
                "line": style.line(),
                "marker": style.marker(),
                "error_y": {
                    "type": "data",
                    "array": percents([value.half_width for _, value, _ in points]),
                    "color": style.colour,
                    "thickness": 1,
                    "width": 2,
                },
                "text": [f"sparsity {s:g}: {percent(v)} %, n = {n}" for s, v, n in points],
                "hovertemplate": named(name),
            }
        )
    rows = [[name, *_by_sparsity(series[name][1], sparsities)] for name in order]
    axis = {
        "type": "log",
        "autorange": "reversed",
        "title": "sparsity (fraction pruned)",
        "tickvals": [round(1 - s, 9) for s in sparsities],
        "ticktext": [f"{s:g}" for s in sparsities],
    }
    task = sections[0].task
    return Figure(
        title=task,
        alt=f"Confirmed test accuracy on {task} at sparsities {', '.join(f'{s:g}' for s in sparsities)}, one line for "
        "each strategy.",
        plots={"": plot(data, axis, ACCURACY)},
        keys=[Key(name, series[name][0]) for name in order],
        table=Table(("strategy", *(f"at {s:g}" for s in sparsities)), rows),
        task=task,
        sparsity=None,
        height=430,
    )


def _by_sparsity(points: Sequence[tuple[float, Estimate, int]], sparsities: Sequence[float]) -> list[str]:
    found = {s: f"{percent(value)} (n = {n})" for s, value, n in points}
    return [found.get(s, ALL) for s in sparsities]


def seeds(section: Section) -> Figure:
    """Every confirmed accuracy as a point, below each other by strategy, best mean first."""
    labels = [one.label for one in section.contenders]
    point, mean = Style("--c0", symbol="circle-open"), Style("--ink", symbol="diamond")
    pairs = [
        (place, seed, accuracy)
        for place, one in enumerate(section.contenders)
        for seed, accuracy in sorted(one.accuracies.items())
    ]
    rows = section.contenders
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "meta": "one seed",
            "x": percents([a for _, _, a in pairs]),
            "y": [place for place, _, _ in pairs],
            "marker": point.marker(7),
            "hovertemplate": "%{text}<extra></extra>",
            "text": [f"{plain(labels[place])}<br>seed {seed}: {100 * a:.2f} %" for place, seed, a in pairs],
        },
        {
            "type": "scatter",
            "mode": "markers",
            "meta": "mean, 95 % interval",
            "y": list(range(len(rows))),
            "x": percents([one.row.test_accuracy.mean for one in rows]),
            "marker": mean.marker(7),
            "error_x": {
                "type": "data",
                "array": percents([one.row.test_accuracy.half_width for one in rows]),
                "color": mean.colour,
                "thickness": 1.5,
                "width": 4,
            },
            "text": [
                f"{plain(one.label)}: {percent(one.row.test_accuracy)} %, n = {len(one.row.seeds)}" for one in rows
            ],
            "hovertemplate": "%{text}<extra></extra>",
        },
    ]
    listed = [
        [
            one.label,
            percent(one.row.test_accuracy),
            str(len(one.accuracies)),
            ", ".join(f"{seed}: {100 * a:.2f}" for seed, a in sorted(one.accuracies.items())),
        ]
        for one in rows
    ]
    low, high = min(a for _, _, a in pairs), max(a for _, _, a in pairs)
    pad = max(0.01, 0.08 * (high - low))  # an interval of two seeds may reach far outside; the points decide
    x = {**ACCURACY, "range": percents([low - pad, high + pad])}
    return Figure(
        title=name_of(section),
        alt=f"Confirmed test accuracy of every seed, {len(pairs)} points in {len(rows)} rows, with means.",
        plots={"": plot(data, x, rows_axis(labels))},
        keys=[Key("one seed", point, line=False), Key("mean, 95 % interval", mean)],
        table=Table(("strategy", "mean %", "n", "seed: accuracy %"), listed),
        task=section.task,
        sparsity=section.sparsity,
        height=rows_height(labels),
    )
