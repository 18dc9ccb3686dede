"""The cost of reaching targets: expected, beside SGD's, and as the share reached within a cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ticketsearch.leaderboard.running_time import RunningTime
from ticketsearch.leaderboard.section import EPOCHS, FLOPS, SECONDS, Contender, Section
from ticketsearch.leaderboard.verdict import MUCH
from ticketsearch.report.charts.accuracy import name_of, rivals
from ticketsearch.report.charts.figure import (
    Figure,
    Key,
    Plot,
    Table,
    log_ticks,
    named,
    percents,
    plot,
    rounded,
    short,
)
from ticketsearch.report.charts.style import IMP, REFERENCE, SEARCHES, Style
from ticketsearch.report.verdicts import number

UNITS = {EPOCHS: "epochs of training", FLOPS: "FLOPs on kept weights", SECONDS: SECONDS}
CHEAPEST = "SGD's frontier, its cheapest point"


@dataclass(frozen=True)
class _Series:
    """Values with intervals at fractions of the gap; infinite ones are drawn above all others."""

    name: str
    style: Style
    values: list[tuple[float | None, float | None, float | None]]
    texts: list[str]


def running_times(section: Section, styles: dict[str, Style]) -> Figure:
    """Expected running time to each target, in each currency."""
    plots, rows = {}, []
    keys: dict[str, Key] = {}
    for currency in UNITS:
        series = [_running_time(currency, *one) for one in _timed(section, styles, currency)]
        plots[currency] = _targets_plot(series, section, f"expected {UNITS[currency]}", ())
        keys |= {one.name: Key(one.name, one.style) for one in series}
        rows += [[one.name, UNITS[currency], *one.texts] for one in series]
    return Figure(
        title=name_of(section),
        alt="Expected cost of reaching ten targets between random masks and IMP, on a logarithmic axis; strategies "
        "that no run brought to a target are marked at the top as not reached.",
        plots=plots,
        keys=list(keys.values()),
        table=Table(("strategy", "in", *_heads(section)), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=430,
    )


def _heads(section: Section) -> list[str]:
    return [
        f"{100 * f:.0f} % of the gap ({100 * t:.1f} %)" for f, t in zip(section.fractions, section.targets, strict=True)
    ]


def _timed(
    section: Section, styles: dict[str, Style], currency: str
) -> list[tuple[str, Style, list[RunningTime], float]]:
    frontier = [section.contender(label) for label in section.frontier]
    found = [(one.label, styles[one.label], one.running_times[currency], one.train_size) for one in rivals(section)]
    if frontier:
        best = [
            min((one.running_times[currency][i] for one in frontier), key=lambda time: time.ert)
            for i in range(len(section.targets))
        ]
        found.insert(0, (CHEAPEST, IMP, best, frontier[0].train_size))
    if section.reference is not None:
        one = section.contender(section.reference)
        found.insert(1, (f"{one.label}, the reference", REFERENCE, one.running_times[currency], one.train_size))
    return found


def _running_time(currency: str, name: str, style: Style, times: Sequence[RunningTime], size: float) -> _Series:
    unit = size if currency == EPOCHS else 1.0

    def scaled(value: float | None) -> float | None:
        return None if value is None else value / unit

    values = [(scaled(time.ert), scaled(time.low), scaled(time.high)) for time in times]
    texts = [
        f"{'not reached' if math.isinf(time.ert) else number(ert)} [{number(low)}, {number(high)}], "
        f"{time.successes} of {time.runs} runs"
        for time, (ert, low, high) in zip(times, values, strict=True)
    ]
    return _Series(name, style, values, texts)


def ratios(section: Section, styles: dict[str, Style]) -> Figure | None:
    """The price at which each search breaks even with SGD's frontier, target by target; None without a search."""
    searches = [one for one in section.contenders if one.kind in SEARCHES]
    if not searches or not section.targets:
        return None
    plots, rows = {}, []
    for currency, unit in UNITS.items():
        series = []
        for one in searches:
            own = one.ratios[currency]
            values = [(ratio.value, ratio.low, ratio.high) for ratio in own]
            texts = [
                f"{_ratio(ratio.value)} [{number(ratio.low)}, {number(ratio.high)}], n = {ratio.seeds}" for ratio in own
            ]
            series.append(_Series(one.label, styles[one.label], values, texts))
        lines = ((1.0, "as dear as SGD", "solid"), (1 / MUCH, f"{MUCH:g} times as cheap", "dash"))
        plots[currency] = _targets_plot(series, section, f"{unit}, over SGD's", lines)
        rows += [[one.name, unit, *one.texts] for one in series]
    return Figure(
        title=name_of(section),
        alt="Expected cost of each search over that of the cheapest point of SGD's frontier for ten targets, on a "
        "logarithmic axis; below 1 the search is cheaper.",
        plots=plots,
        keys=[Key(one.label, styles[one.label]) for one in searches],
        table=Table(("search", "in", *_heads(section)), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=400,
    )


def _ratio(value: float | None) -> str:
    return "neither reached" if value is None else "not reached" if math.isinf(value) else number(value)


def _targets_plot(
    series: Sequence[_Series], section: Section, title: str, lines: Sequence[tuple[float, str, str]]
) -> Plot:
    """Series over fractions of the gap, on a logarithmic axis with a place at the top for what is infinite."""
    finite = [v for one in series for values in one.values for v in values if v and math.isfinite(v)]
    finite += [place for place, _, _ in lines]
    low, high = (min(finite) / 1.3, max(finite) * 1.3) if finite else (0.5, 2.0)
    top = high * max(1.6, (high / low) ** 0.12)
    ticks = log_ticks(low, high)
    spread = min(2.0, 8 / max(1, len(series) - 1))
    data = []
    for place, one in enumerate(series):
        shift = (place - (len(series) - 1) / 2) * spread
        data += _targets_traces(one, section, shift, low, top)
    shapes = [_level(high * (top / high) ** 0.35, "dot", "--muted")]
    shapes += [_level(place, dash, "--ink") for place, _, dash in lines]
    notes = [
        {
            "xref": "paper",
            "yref": "y",
            "x": 1,
            "y": math.log10(place),
            "text": text,
            "showarrow": False,
            "xanchor": "right",
            "yanchor": "bottom",
            "font": {"size": 11, "color": "--ink"},
        }
        for place, text, _ in lines
    ]
    y = {
        "type": "log",
        "title": title,
        "tickvals": [*ticks, top],
        "ticktext": [*map(short, ticks), "not reached"],
        "range": [math.log10(low), math.log10(top * (top / high) ** 0.4)],
    }
    x = {"title": "target, % of the gap random to IMP", "range": [5, 105], "dtick": 10, "tick0": 10}
    return plot(data, x, y, shapes=shapes, annotations=notes)


def _targets_traces(one: _Series, section: Section, shift: float, low: float, top: float) -> list[dict[str, Any]]:
    """A line through what was reached; marks at the top, aside each other, for what was not."""
    texts = [
        f"{100 * f:.0f} % of the gap, {100 * t:.1f} %:<br>{text}"
        for f, t, text in zip(section.fractions, section.targets, one.texts, strict=True)
    ]
    reached = [value if value is not None and math.isfinite(value) else None for value, _, _ in one.values]
    never = [i for i, (value, _, _) in enumerate(one.values) if value is not None and math.isinf(value)]
    up, down = [], []
    for value, (_, bottom, end) in zip(reached, one.values, strict=True):
        up.append(None if value is None or end is None else (top if math.isinf(end) else end) - value)
        down.append(None if value is None or bottom is None else value - max(bottom, low))
    common = {"type": "scatter", "meta": one.name, "marker": one.style.marker(), "hovertemplate": named(one.name)}
    line = common | {
        "mode": "lines+markers",
        "x": rounded([100 * f + shift * 0.3 for f in section.fractions]),
        "y": rounded(reached),
        "text": texts,
        "line": one.style.line(),
        "connectgaps": False,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "thickness": 1,
            "width": 2,
            "color": f"{one.style.colour}@60",
            "array": rounded(up),
            "arrayminus": rounded(down),
        },
    }
    marks = common | {
        "mode": "markers",
        "x": rounded([100 * section.fractions[i] + shift for i in never]),
        "y": rounded([top] * len(never)),
        "text": [texts[i] for i in never],
    }
    return [line, marks] if never else [line]


def _level(place: float, dash: str, colour: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": place,
        "y1": place,
        "layer": "below",
        "line": {"color": colour, "width": 1, "dash": dash},
    }


def solved(section: Section, styles: dict[str, Style]) -> Figure:
    """The share of (run, target) pairs reached within a cost, as steps up to what the strategy spent (ECDF)."""
    shown = [(one, one.label, styles[one.label]) for one in rivals(section)]
    if section.reference is not None:
        reference = section.contender(section.reference)
        shown.insert(0, (reference, f"{reference.label}, the reference", REFERENCE))
    data, rows = [], []
    for one, name, style in shown:
        steps = [*one.solved, (max(one.row.epochs.mean, *(cost for cost, _ in one.solved), 0.0), _last(one))]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "meta": name,
                "line": style.line() | {"shape": "hv"},
                "x": rounded([cost for cost, _ in steps]),
                "y": percents([share for _, share in steps]),
                "marker": style.marker() | {"size": [0] * (len(steps) - 1) + [8], "opacity": 1},
                "hovertemplate": named(name),
                "text": [f"{100 * share:.0f} % of targets within {cost:.4g} ep" for cost, share in steps],
            }
        )
        reached = [
            next((f"{cost:.3g}" for cost, share in one.solved if share >= part - 1e-9), "not reached")
            for part in (0.25, 0.5, 0.75)
        ]
        rows.append([name, *reached, f"{100 * _last(one):.0f} %", str(len(one.row.seeds))])
    x = {"type": "log", "title": "search cost, epochs of the dense network"}
    return Figure(
        title=name_of(section),
        alt="Share of ten targets times all seeds reached within a search cost, one line of steps for each strategy: "
        + "; ".join(f"{name} ends at {100 * _last(one):.0f} %" for one, name, _ in shown[:6])
        + ".",
        plots={"": plot(data, x, {"title": "targets reached, %", "range": [-3, 103]})},
        keys=[Key(name, style) for _, name, style in shown],
        table=Table(("strategy", "ep to 25 % of targets", "to 50 %", "to 75 %", "at its end", "n"), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=380,
    )


def _last(one: Contender) -> float:
    return one.solved[-1][1] if one.solved else 0.0
