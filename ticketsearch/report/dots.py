"""Dot plots as SVG: one line per estimate with its interval, other values as marks on it, texts at the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from ticketsearch.leaderboard.table import Estimate
from ticketsearch.records.files import write_atomically
from ticketsearch.visible import visible

WIDTH, LEFT, RIGHT, ROW = 860, 190, 610, 26
LETTERS, LETTER = 48, 7.0
"""Most letters of a label, and how wide one is; where labels need more than ``LEFT``, the picture is so much wider."""
MARKS = {
    "random": ("✕", "M-5,-5 L5,5 M-5,5 L5,-5", "#b45309", 1.6),
    "magnitude": ("▲", "M0,-6 L6,5 L-6,5 Z", "#15803d", 1.6),
    "small-dense": ("■", "M-4,-4 h8 v8 h-8 Z", "#7c3aed", 1.6),
    "dense": ("│", "M0,-8 v16", "#6b7280", 2.0),
}
"""Name -> sign for the legend, path, colour, stroke width: told apart by shape, not by colour alone."""
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2937}.dim{fill:#6b7280;font-size:11px}.head{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.dim{fill:#9ca3af}.paper{fill:#0d1117}}</style>"
)


@dataclass(frozen=True)
class Line:
    """One estimate.

    Attributes:
        label: at the left.
        estimate: an accuracy, in [0, 1].
        texts: at the right, under the panel's headings.
        marks: other accuracies, by a name of ``MARKS``.
    """

    label: str
    estimate: Estimate
    texts: tuple[str, str]
    marks: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """Lines on one axis.

    Attributes:
        title: above the labels.
        headings: above the two texts.
        lines: from the top.
        legend: below.
    """

    title: str
    headings: tuple[str, str]
    lines: Sequence[Line]
    legend: str


def write_dots(path: Path, panels: Sequence[Panel], title: str) -> None:
    """Draw the panels below each other."""
    parts, y = [], 10.0
    longest = max((len(line.label) for panel in panels for line in panel.lines), default=0)
    shift = max(0.0, 20 + LETTER * min(LETTERS, longest) - LEFT)
    for panel in panels:
        drawn, height = _panel(panel, y, shift)
        parts.append(drawn)
        y += height
    body = f'<rect class="paper" width="{WIDTH + shift:.0f}" height="{y:.0f}" fill="#ffffff"/>' + "".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + shift:.0f} {y:.0f}" role="img">'
    write_atomically(path, f"{head}<title>{escape(visible(title))}</title>{_STYLE}{body}</svg>\n".encode())


def _panel(panel: Panel, top: float, shift: float) -> tuple[str, float]:
    low, high = _range(panel)

    def x(accuracy: float) -> float:
        return LEFT + shift + (accuracy - low) / (high - low) * (RIGHT - LEFT)

    at_right = RIGHT + 15 + shift, RIGHT + 150 + shift
    lines = [_text(10, top + 18, panel.title, "head")]
    lines += [_text(place, top + 18, text, "head") for place, text in zip(at_right, panel.headings, strict=True)]
    floor = top + 30 + ROW * len(panel.lines)
    for tick in _ticks(low, high):
        lines.append(f'<path d="M{x(tick):.1f},{top + 26:.0f} V{floor:.0f}" stroke="#9ca3af" stroke-opacity=".35"/>')
        lines.append(_text(x(tick), floor + 14, f"{100 * tick:g} %", "dim", "middle"))
    for index, line in enumerate(panel.lines):
        y = top + 30 + ROW * (index + 0.5)
        lines += _line(line, y, x)
        lines += [_text(place, y + 4, text) for place, text in zip(at_right, line.texts, strict=True)]
    lines.append(_text(10, floor + 34, panel.legend, "dim"))
    return "".join(lines), floor + 50 - top


def _line(line: Line, y: float, x: Callable[[float], float]) -> list[str]:
    mean, half = line.estimate.mean, line.estimate.half_width or 0.0
    parts = [_text(10, y + 4, line.label[:LETTERS])]
    for name, value in line.marks.items():
        _, path, colour, width = MARKS[name]
        shape = f'fill="none" stroke="{colour}" stroke-width="{width}"'
        parts.append(f'<path d="{path}" transform="translate({x(value.mean):.1f},{y:.1f})" {shape}/>')
    parts.append(
        f'<path d="M{x(max(0.0, mean - half)):.1f},{y:.1f} H{x(min(1.0, mean + half)):.1f}" '
        f'stroke="#2563eb" stroke-width="3"/><circle cx="{x(mean):.1f}" cy="{y:.1f}" r="5" fill="#2563eb"/>'
    )
    return parts


def _range(panel: Panel) -> tuple[float, float]:
    """Accuracies to draw, with a margin; an interval of two seeds may reach far outside [0, 1], a picture does not."""
    estimates = [e for line in panel.lines for e in (line.estimate, *line.marks.values())]
    values = [
        min(max(v, 0.0), 1.0) for e in estimates for v in (e.mean - (e.half_width or 0), e.mean + (e.half_width or 0))
    ]
    margin = max(0.01, 0.05 * (max(values) - min(values)))
    return min(values) - margin, max(values) + margin


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 8)
    first = int(low / step) + 1
    return [round(step * k, 6) for k in range(first, first + 9) if step * k <= high]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(visible(text))}</text>'
