"""How contenders are told apart: by dash and by marker, each pair of them once, and by colour on top.

Colours are names of the page's custom properties (``--c3``, ``--ink``; ``--c3@20`` at 20 % opacity), which the page
resolves when it draws, so that figures follow the reader's light or dark scheme.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ticketsearch.leaderboard.section import Kind, Section

DASHES = ("solid", "6px,3px", "2px,3px", "9px,3px,2px,3px", "13px,4px", "13px,3px,2px,3px,2px,3px")
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "x",
    "star",
    "circle-open",
    "square-open",
    "diamond-open",
)
"""As many dashes as markers share no divisor: 66 contenders are told apart without colour."""
COLOURS = 8
KINDS: tuple[Kind, ...] = ("search", "hybrid", "other", "imp")
SEARCHES = KINDS[:2]
"""What scores masks by the evaluator."""


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


def styles_of(sections: Sequence[Section]) -> dict[str, Style]:
    """One style for each contender, the same in all sections, by label; searches have the first."""
    names = names_of(sections)
    kinds: dict[str, Kind] = {}
    for section in sections:
        kinds |= {names[section.task, section.sparsity, one.label]: one.kind for one in section.contenders}
    order = sorted(kinds, key=lambda name: (KINDS.index(kinds[name]), name))
    styles = {
        name: Style(
            f"--c{place % COLOURS}",
            DASHES[place % len(DASHES)],
            SYMBOLS[place % len(SYMBOLS)],
            2.5 if kinds[name] in SEARCHES else 1.5,
        )
        for place, name in enumerate(order)
    }
    return {label: styles[name] for (_, _, label), name in names.items()}


def names_of(sections: Sequence[Section]) -> dict[tuple[str, float, str], str]:
    """What a contender is called over all sections, by task, sparsity and its label there.

    Its shortest label: labels tell it from its neighbours, and those may differ. Where one section has it twice, under
    two budgets say, every label is a name of its own.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    twice: set[str] = set()
    for section in sections:
        seen = Counter(one.key for one in section.contenders)
        twice |= {key for key, count in seen.items() if count > 1}
        for one in section.contenders:
            labels[one.key].add(one.label)
    shortest = {key: min(found, key=lambda label: (len(label), label)) for key, found in labels.items()}
    shared = Counter(label for found in labels.values() for label in found)  # "ga" here may be another "ga" there
    return {
        (section.task, section.sparsity, one.label): (
            one.label if one.key in twice or any(shared[label] > 1 for label in labels[one.key]) else shortest[one.key]
        )
        for section in sections
        for one in section.contenders
    }
