"""How contenders are told apart: by dash and by marker, each pair of them once, and by colour on top.

Colours are names of the page's custom properties (``--c3``, ``--ink``; ``--c3@20`` at 20 % opacity), which the page
resolves when it draws, so that figures follow the reader's light or dark scheme.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ticketsearch.leaderboard.analysis import Section

DASHES = ("solid", "6px,3px", "2px,3px", "9px,3px,2px,3px", "13px,4px", "13px,3px,2px,3px,2px,3px")
SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "circle-open", "square-open",
    "diamond-open",
)  # fmt: skip
"""As many dashes as markers share no divisor: 66 contenders are told apart without colour."""
COLOURS = 8


@dataclass(frozen=True)
class Style:
    """Of one contender in every figure."""

    colour: str
    dash: str = "solid"
    symbol: str = "circle"
    width: float = 2.0

    def line(self) -> dict[str, Any]:
        """For Plotly."""
        return {"color": self.colour, "dash": self.dash, "width": self.width}

    def marker(self, size: int = 8) -> dict[str, Any]:
        """For Plotly."""
        return {"color": self.colour, "symbol": self.symbol, "size": size, "line": {"color": self.colour, "width": 1.5}}


IMP = Style("--ink", "solid", "square", 3.0)
"""SGD's frontier."""
REFERENCE = Style("--ink", "13px,4px", "diamond-open", 2.0)
DENSE = Style("--muted", "2px,3px", "star", 1.5)
DENSE_BUDGET = Style("--muted", "9px,3px,2px,3px", "cross", 1.5)
RANDOM = Style("--muted", "6px,3px", "x", 1.5)


def styles_of(sections: Iterable[Section]) -> dict[str, Style]:
    """One style for each contender, the same in all sections; searches have the first."""
    kinds = {one.label: one.kind for section in sections for one in section.contenders}
    order = sorted(kinds, key=lambda label: (("search", "hybrid", "other", "imp").index(kinds[label]), label))
    return {
        label: Style(
            f"--c{place % COLOURS}",
            DASHES[place % len(DASHES)],
            SYMBOLS[place % len(SYMBOLS)],
            2.5 if kinds[label] in ("search", "hybrid") else 1.5,
        )
        for place, label in enumerate(order)
    }
