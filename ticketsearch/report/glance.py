"""What a study says at one look: a sentence for each task and sparsity, with the figures that matter."""

from __future__ import annotations

from collections.abc import Sequence

from ticketsearch.leaderboard.multiples import Multiple
from ticketsearch.leaderboard.section import Contender, Section
from ticketsearch.report.text import percent

CURRENCY = "kept-weight FLOPs"
"""What a sentence counts in: the others are in the picture."""
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def sentence(section: Section) -> str:
    """One sentence; neutral where no search, or no IMP, was run."""
    place = f"On {section.task} at sparsity {section.sparsity:g}"
    search, imp = _best(section, "search"), _best(section, "imp")
    if search is None and imp is None:
        best = section.contenders[0]
        return f"{place}, {_reaches(best)} ({_seeds(best)}). Neither a search nor IMP was run."
    if search is None:
        assert imp is not None  # by the line above
        return f"{place}, {_reaches(imp)} ({_seeds(imp)}). No search was run."
    if imp is None:
        return f"{place}, the best search, {_reaches(search, ',')} ({_seeds(search)}). IMP was not run."
    found = search.multiples.get(CURRENCY)
    if found is None:
        return f"{place}, the best search, {_reaches(search, ',')}, and {_reaches(imp)}, on other seeds."
    return f"{place}, the best search, {_reaches(search, ',')}, {_compared(found)} ({_seeds(search)})."


def headline(sections: Sequence[Section]) -> int:
    """The section to be shown first: where a search is at the lowest multiple of IMP's cost, or else the first."""

    def order(place: int) -> tuple[int, float, int]:
        search = _best(sections[place], "search")
        found = search.multiples.get(CURRENCY) if search else None
        if found is not None and found.standing == "on":
            return 0, found.value, place
        return (1 if search else 2), 0.0, place

    return min(range(len(sections)), key=order)


def variants(section: Section) -> dict[str, list[Contender]]:
    """Contenders by strategy; of each the one of best validation accuracy first."""
    found: dict[str, list[Contender]] = {}
    for one in section.contenders:
        found.setdefault(one.row.strategy, []).append(one)
    return {name: sorted(own, key=lambda one: -one.validation) for name, own in found.items()}


def _best(section: Section, kind: str) -> Contender | None:
    """Of a kind, by validation accuracy: the test split chooses nothing."""
    return max((one for one in section.contenders if one.kind == kind), key=lambda one: one.validation, default=None)


def _reaches(one: Contender, comma: str = "") -> str:
    return f"{one.row.strategy}{comma} reaches {percent(one.row.test_accuracy)} %"


def _compared(found: Multiple) -> str:
    interval = "" if found.low is None or found.high is None else f" [{_two(found.low)}, {_two(found.high)}]"
    if found.standing == "on":
        return f"at {_two(found.value)}{interval} times the {CURRENCY} that IMP needs for as much"
    if found.standing == "above":
        return "more than any setting of IMP"
    cheapest = 100 * found.frontier[0][1]
    return f"less than IMP's cheapest setting ({cheapest:.1f} %), at {_two(found.value)} times its {CURRENCY}"


def _two(value: float) -> str:
    """Two digits that count: ``110``, ``2.7``, ``0.87``."""
    return f"{float(f'{value:.2g}'):,g}"


def _seeds(one: Contender) -> str:
    count = len(one.row.seeds)
    word = WORDS[count] if count < len(WORDS) else str(count)
    return f"{word} seed{'' if count == 1 else 's'}"
