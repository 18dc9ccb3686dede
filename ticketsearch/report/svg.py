"""The leaderboard as a picture: confirmed accuracy with its interval beside three references, cost at the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from ticketsearch.files import write_atomically
from ticketsearch.leaderboard import Group, Row
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.text import label, percent, title

WIDTH, LEFT, RIGHT, ROW = 860, 190, 610, 26
_MARKS = {"random": ("M-5,-5 L5,5 M-5,5 L5,-5", "#b45309"), "magnitude": ("M0,-6 L6,5 L-6,5 Z", "#15803d")}
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2937}.dim{fill:#6b7280;font-size:11px}.head{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.dim{fill:#9ca3af}.paper{fill:#0d1117}}</style>"
)


def write_svg(path: Path, groups: Sequence[Group]) -> None:
    """Draw one panel for each task and sparsity."""
    parts, y = [], 10.0
    for group in groups:
        panel, height = _panel(group, y)
        parts.append(panel)
        y += height
    body = f'<rect class="paper" width="{WIDTH}" height="{y:.0f}" fill="#ffffff"/>' + "".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" role="img">'
    write_atomically(path, f"{head}<title>ticketsearch leaderboard</title>{_STYLE}{body}</svg>\n".encode())


def _panel(group: Group, top: float) -> tuple[str, float]:
    low, high = _range(group)

    def x(accuracy: float) -> float:
        return LEFT + (accuracy - low) / (high - low) * (RIGHT - LEFT)

    lines = [_text(10, top + 18, title(group), "head"), _text(RIGHT + 15, top + 18, "test accuracy %", "head")]
    lines.append(_text(RIGHT + 150, top + 18, "search cost", "head"))
    floor = top + 30 + ROW * len(group.rows)
    for tick in _ticks(low, high):
        lines.append(f'<path d="M{x(tick):.1f},{top + 26:.0f} V{floor:.0f}" stroke="#9ca3af" stroke-opacity=".35"/>')
        lines.append(_text(x(tick), floor + 14, f"{100 * tick:g} %", "dim", "middle"))
    for index, row in enumerate(group.rows):
        lines += _row(row, top + 30 + ROW * (index + 0.5), x)
    legend = (
        "● confirmed ticket, 95 % interval    ✕ random mask, same counts    ▲ one-shot magnitude    │ dense network"
    )
    lines.append(_text(10, floor + 34, legend, "dim"))
    return "".join(lines), floor + 50 - top


def _row(row: Row, y: float, x: Callable[[float], float]) -> list[str]:
    accuracy = row.test_accuracy
    half = accuracy.half_width or 0.0
    lines = [_text(10, y + 4, label(row)[:28])]
    dense = x(row.dense.mean)
    lines.append(f'<path d="M{dense:.1f},{y - 8:.1f} v16" stroke="#6b7280" stroke-width="2"/>')
    for name, (path, colour) in _MARKS.items():
        reference: Estimate = getattr(row, name)
        shape = f'fill="none" stroke="{colour}" stroke-width="1.6"'
        lines.append(f'<path d="{path}" transform="translate({x(reference.mean):.1f},{y:.1f})" {shape}/>')
    lines.append(
        f'<path d="M{x(max(0.0, accuracy.mean - half)):.1f},{y:.1f} H{x(min(1.0, accuracy.mean + half)):.1f}" '
        f'stroke="#2563eb" stroke-width="3"/>'
        f'<circle cx="{x(accuracy.mean):.1f}" cy="{y:.1f}" r="5" fill="#2563eb"/>'
    )
    lines.append(_text(RIGHT + 15, y + 4, f"{percent(accuracy)}  (n={len(row.seeds)})"))
    lines.append(_text(RIGHT + 150, y + 4, f"{row.epochs.mean:.4g} ep"))
    return lines


def _range(group: Group) -> tuple[float, float]:
    """Accuracies to draw, with a margin; an interval of two seeds may reach far outside [0, 1], a picture does not."""
    estimates = [e for row in group.rows for e in (row.test_accuracy, row.dense, row.random, row.magnitude)]
    values = [min(max(v, 0.0), 1.0) for e in estimates
              for v in (e.mean - (e.half_width or 0), e.mean + (e.half_width or 0))]  # fmt: skip
    margin = max(0.01, 0.05 * (max(values) - min(values)))
    return min(values) - margin, max(values) + margin


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 8)
    first = int(low / step) + 1
    return [round(step * k, 6) for k in range(first, first + 9) if step * k <= high]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'
