"""Curves as SVG: panels below each other over one logarithmic axis, a marker for each mean, a bar for its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ticketsearch.leaderboard.table import Estimate
from ticketsearch.records.files import write_atomically
from ticketsearch.report.charts.figure import log_ticks, short
from ticketsearch.visible import visible

WIDTH, HEIGHT, LEFT, RIGHT = 860, 260, 60, 620
LOOKS = (
    ("#6b7280", "6 4", "M-4,-4 h8 v8 h-8 Z"),
    ("#2563eb", "", "M-5,0 a5,5 0 1 0 10,0 a5,5 0 1 0 -10,0"),
    ("#b45309", "2 3", "M-5,-5 L5,5 M-5,5 L5,-5"),
    ("#15803d", "9 3 2 3", "M0,-6 L6,5 L-6,5 Z"),
    ("#7c3aed", "13 4", "M0,-6 L6,0 L0,6 L-6,0 Z"),
    ("#be123c", "13 3 2 3", "M0,-6 v12 M-6,0 h12"),
)
"""Colour, dash and marker of curves, in order: told apart by shape, not by colour alone."""
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2937}.dim{fill:#6b7280;font-size:11px}.head{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.dim{fill:#9ca3af}.paper{fill:#0d1117}}</style>"
)


@dataclass(frozen=True)
class Curve:
    """Estimates over x, and what is noted at some of them."""

    name: str
    points: Sequence[tuple[float, Estimate]]


@dataclass(frozen=True)
class Panel:
    """Curves on two axes.

    Attributes:
        title: above it; says the unit of y.
        curves: in the order of :data:`LOOKS`.
        marks: x -> a word, a vertical line each.
        scale: what y is multiplied with: 100 for percent.
    """

    title: str
    curves: Sequence[Curve]
    marks: Sequence[tuple[float, str]] = ()
    scale: float = 1.0


def write_curves(path: Path, panels: Sequence[Panel], x_title: str, title: str) -> None:
    """Draw the panels below each other, under a title."""
    ends = [x for panel in panels for curve in panel.curves for x, _ in curve.points]
    low, high = math.log10(min(ends)) - 0.05, math.log10(max(ends)) + 0.05

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (RIGHT - LEFT)

    ticks = [(x(one), short(one)) for one in log_ticks(10**low, 10**high)]
    parts, top = [_text(10, 24, title, "head")], 34.0
    for panel in panels:
        parts += _panel(panel, top, x, ticks)
        top += HEIGHT + 50
    parts.append(_text((LEFT + RIGHT) / 2, top - 8, x_title, "dim", "middle"))
    body = f'<rect class="paper" width="{WIDTH}" height="{top:.0f}" fill="#ffffff"/>' + "".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" role="img">'
    write_atomically(path, f"{head}<title>{escape(visible(title))}</title>{_STYLE}{body}</svg>\n".encode())


def _panel(panel: Panel, top: float, x: Callable[[float], float], ticks: Sequence[tuple[float, str]]) -> list[str]:
    values = [panel.scale * value for curve in panel.curves for _, one in curve.points for value in _ends(one)]
    margin = max(0.05 * (max(values) - min(values)), 1e-9)
    low, high = min(values) - margin, max(values) + margin
    roof, floor = top + 26, top + HEIGHT

    def y(value: float) -> float:
        return floor - (panel.scale * value - low) / (high - low) * (floor - roof)

    parts = [_text(10, top + 14, panel.title, "head")]
    for place, text in ticks:
        parts.append(f'<path d="M{place:.1f},{roof:.0f} V{floor:.0f}" stroke="#9ca3af" stroke-opacity=".3"/>')
        parts.append(_text(place, floor + 14, text, "dim", "middle"))
    for tick in _ticks(low, high):
        level = y(tick / panel.scale)
        parts.append(f'<path d="M{LEFT},{level:.1f} H{RIGHT}" stroke="#9ca3af" stroke-opacity=".3"/>')
        parts.append(_text(LEFT - 6, level + 4, f"{tick:g}", "dim", "end"))
    for index, (place, word) in enumerate(panel.marks):  # words below each other: places may be near
        parts.append(f'<path d="M{x(place):.1f},{roof:.0f} V{floor:.0f}" stroke="#6b7280" stroke-dasharray="1 3"/>')
        parts.append(_text(x(place) + 4, floor - 6 - 13 * index, word, "dim"))
    for index, curve in enumerate(panel.curves):
        look = LOOKS[index % len(LOOKS)]
        parts += _curve(curve, look, x, y)
        parts += _key(curve.name, look, roof + 12 + 22 * index)
    return parts


def _ends(one: Estimate) -> tuple[float, ...]:
    half = one.half_width or 0.0
    return (one.mean - half, one.mean + half) if half < 0.5 * abs(one.mean) else (one.mean,)


def _curve(
    curve: Curve, look: tuple[str, str, str], x: Callable[[float], float], y: Callable[[float], float]
) -> list[str]:
    colour, dash, mark = look
    points = sorted(curve.points, key=lambda point: point[0])
    line = " L".join(f"{x(place):.1f},{y(one.mean):.1f}" for place, one in points)
    parts = [f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"/>']
    for place, one in points:
        if len(_ends(one)) > 1 and one.half_width:
            low, high = _ends(one)
            parts.append(f'<path d="M{x(place):.1f},{y(low):.1f} V{y(high):.1f}" stroke="{colour}" stroke-width="1"/>')
        shape = f'fill="none" stroke="{colour}" stroke-width="1.6"'
        parts.append(f'<path d="{mark}" transform="translate({x(place):.1f},{y(one.mean):.1f}) scale(.7)" {shape}/>')
    return parts


def _key(name: str, look: tuple[str, str, str], y: float) -> list[str]:
    colour, dash, mark = look
    left, stroke = RIGHT + 20, f'stroke="{colour}" stroke-width="1.6"'
    return [
        f'<path d="M{left},{y:.0f} h32" {stroke} stroke-dasharray="{dash}"/>',
        f'<path d="{mark}" transform="translate({left + 16},{y:.0f})" fill="none" {stroke}/>',
        _text(left + 40, y + 4, name),
    ]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, at most eight."""
    rough = (high - low) / 8
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [round(step * k, 9) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(visible(text))}</text>'
