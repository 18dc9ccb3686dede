"""Barriers between trained networks as tables, sentences and a picture; averaged over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.table import Estimate
from ticketsearch.records.files import write_atomically
from ticketsearch.report.text import escaped, percent
from ticketsearch.studies.barrier import STABLE, ConnectOutcome, Line, above_ends, barrier

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Split = Literal["test", "train"]
SPLITS: tuple[Split, Split] = ("test", "train")
MARGIN = 0.01
"""Of accuracy: by how much less than the dense network a network still matches it, if nothing else is said."""
COLUMNS = (
    "comparison",
    "networks",
    "sparsity",
    "barrier, test",
    "above the ends",
    "barrier, train",
    "of the test loss",
    "test % of the ends",
    "connected",
)
OVERLAPS = ("masks of", "pairs", "overlap", "neurons matched", "degrees alone")
NOTE = (
    "Barrier: the largest error on the line between two networks minus the mean of its ends' errors, in points; above "
    "the ends: the largest error minus the straight line between those of the ends. Means over seeds ± half of the 95 % "
    "t interval. connected: seeds with a test barrier below 2 points."
)
OVERLAP_NOTE = (
    "Overlap of masks: 0 as chance gives it to masks of the same counts in each layer, 1 as far as the counts allow. "
    "Neurons are matched by the correlation of their activations in the trained tickets; degrees alone: the same with "
    "the second mask drawn anew, every neuron keeping as many inputs and outputs. Successive pairs of seeds share a run."
)


@dataclass(frozen=True)
class Row:
    """One line over all seeds. Barriers and accuracies are fractions, losses nats.

    ``matching`` counts seeds in which the second network is as accurate as the dense one, within the margin; ``None``
    where that is not the question.
    """

    comparison: str
    networks: str
    place: int | None
    sparsities: tuple[float, float]
    seeds: list[int]
    test: Estimate
    above: Estimate
    train: Estimate
    loss: Estimate
    accuracies: tuple[Estimate, Estimate]
    connected: int
    matching: int | None


@dataclass(frozen=True)
class Count:
    """Successive rounds of all seeds, by whether they are connected and whether the later one matches."""

    split: Split
    both: int
    connected_only: int
    matching_only: int
    neither: int

    @property
    def agree(self) -> int:
        """In how many the two coincide."""
        return self.both + self.neither

    @property
    def total(self) -> int:
        """All."""
        return self.agree + self.connected_only + self.matching_only


@dataclass(frozen=True)
class Section:
    """All that one strategy, or a pair of them, gave.

    Attributes:
        title: what it is about.
        rows: one for each line.
        counts: rounds on each split; empty if there are none.
        overlap: number of pairs, and overlap of masks: as they are, matched, by degrees alone.
        words: what the rows say.
    """

    title: str
    rows: list[Row]
    counts: list[Count]
    overlap: tuple[int, Estimate, Estimate, Estimate] | None
    words: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def sections_of(outcomes: Sequence[ConnectOutcome], margin: float = MARGIN) -> list[Section]:
    """Averages over seeds, in the order of the outcomes.

    Args:
        outcomes: as measured.
        margin: of matching.
    """
    found: dict[tuple[object, ...], list[ConnectOutcome]] = {}
    for outcome in outcomes:
        across = len(outcome.strategies) == 1 and len(outcome.seeds) > 1
        found.setdefault((*outcome.strategies, outcome.sparsity, across), []).append(outcome)
    return [_section(own, margin) for own in found.values()]


def _section(outcomes: Sequence[ConnectOutcome], margin: float) -> Section:
    rows = _rows(outcomes, margin)
    counts = [_counted(outcomes, split, margin) for split in SPLITS]
    counts = [count for count in counts if count.total]
    words = [*_stable(rows), *(_in_words(count, margin) for count in counts)]
    return Section(_title(outcomes), rows, counts, _overlap(outcomes), words)


def _title(outcomes: Sequence[ConnectOutcome]) -> str:
    first = outcomes[0]
    seeds = f"{len(outcomes)} seeds" if len(outcomes) > 1 else "1 seed"
    if len(first.strategies) == 1 and len(first.seeds) > 1:
        seeds = f"{len(outcomes)} pair{'s' * (len(outcomes) > 1)} of seeds"
    dense = Estimate.of([one.dense_test_accuracy for one in outcomes])
    names = " and ".join(first.strategies)
    return f"{names} on {first.task} at sparsity {first.sparsity:g}, {seeds}; dense network {percent(dense)} %"


def _rows(outcomes: Sequence[ConnectOutcome], margin: float) -> list[Row]:
    found: dict[tuple[object, ...], list[tuple[ConnectOutcome, Line]]] = {}
    for outcome in outcomes:
        for line in outcome.lines:
            key = line.comparison, line.first, line.second, line.place, line.matched
            found.setdefault(key, []).append((outcome, line))
    return [_row(own, margin) for own in found.values()]


def _row(own: Sequence[tuple[ConnectOutcome, Line]], margin: float) -> Row:
    line = own[0][1]

    def over(value: Callable[[Line], float]) -> Estimate:
        return Estimate.of([value(one) for _, one in own])

    rounds = line.comparison == "rounds"
    return Row(
        comparison=line.comparison,
        networks=_networks(line),
        place=line.place,
        sparsities=line.sparsities,
        seeds=[outcome.seeds[0] for outcome, _ in own],
        test=over(lambda one: barrier(one.test.error)),
        above=over(lambda one: above_ends(one.test.error)),
        train=over(lambda one: barrier(one.train.error)),
        loss=over(lambda one: barrier(one.test.loss)),
        accuracies=(over(lambda one: 1 - one.test.error[0]), over(lambda one: 1 - one.test.error[-1])),
        connected=sum(barrier(one.test.error) < STABLE for _, one in own),
        matching=sum(_matches(outcome, one, "test", margin) for outcome, one in own) if rounds else None,
    )


def _networks(line: Line) -> str:
    if line.comparison == "orders":
        return f"{line.first}, two orders from step {line.place}"
    return f"{line.first} and {line.second}" + (", neurons matched" if line.matched else "")


def _matches(outcome: ConnectOutcome, line: Line, split: Split, margin: float) -> bool:
    """Whether the later of two rounds is as good as the dense network: the confirmed one, in training the first round.

    An error is a count over examples; so is the margin, within rounding.
    """
    if split == "test":
        dense = 1 - outcome.dense_test_accuracy
    else:
        dense = next(one for one in outcome.lines if one.comparison == "rounds").train.error[0]
    profile = line.test if split == "test" else line.train
    return profile.error[-1] <= dense + margin + 1e-9


def _counted(outcomes: Sequence[ConnectOutcome], split: Split, margin: float) -> Count:
    cells = [
        (barrier((one.test if split == "test" else one.train).error) < STABLE, _matches(outcome, one, split, margin))
        for outcome in outcomes
        for one in outcome.lines
        if one.comparison == "rounds"
    ]
    return Count(split, *(cells.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))))


def _in_words(count: Count, margin: float) -> str:
    return (
        f"Successive rounds, {count.split} split: connected and matching coincide in {count.agree} of {count.total} "
        f"({count.both} both, {count.neither} neither); {count.connected_only} are connected though the later one does "
        f"not match, {count.matching_only} match and are not connected. Matching: at most {100 * margin:g} points less "
        f"accurate than the dense network."
    )


def _stable(rows: Sequence[Row]) -> list[str]:
    """From which step on two orders end connected, for each network and split."""
    words = []
    own = [row for row in rows if row.comparison == "orders"]
    for name in dict.fromkeys(row.networks.split(",")[0] for row in own):
        mine = sorted((row for row in own if row.networks.startswith(f"{name},")), key=lambda row: row.place or 0)
        for split in SPLITS:
            unstable = [row.place for row in mine if (row.test if split == "test" else row.train).mean >= STABLE]
            later = [row.place for row in mine if not unstable or (row.place or 0) > (unstable[-1] or 0)]
            how = f"stable from step {later[0]} on" if later else "stable from none of these steps"
            words.append(f"{name[0].upper()}{name[1:]}, {split} split: {how} (mean barrier below 2 points).")
    return words


def _overlap(outcomes: Sequence[ConnectOutcome]) -> tuple[int, Estimate, Estimate, Estimate] | None:
    own = [one.overlap for one in outcomes if one.overlap is not None]
    if not own:
        return None
    plain, matched, degrees = (
        Estimate.of([getattr(one, name) for one in own]) for name in ("plain", "matched", "degrees")
    )
    return len(own), plain, matched, degrees


def _cells(row: Row) -> list[str]:
    first, second = row.accuracies
    spread = "" if row.loss.half_width is None else f" ± {row.loss.half_width:.2f}"
    matching = "" if row.matching is None else f", {row.matching} match"
    return [
        row.comparison,
        row.networks,
        ", ".join(dict.fromkeys(f"{sparsity:.3g}" for sparsity in row.sparsities)),
        percent(row.test),
        percent(row.above),
        percent(row.train),
        f"{row.loss.mean:.2f}{spread}",
        f"{percent(first)}, {percent(second)}",
        f"{row.connected} of {len(row.seeds)}{matching}",
    ]


def _overlap_cells(section: Section) -> list[str]:
    assert section.overlap is not None  # of such sections only
    count, *estimates = section.overlap
    shown = [f"{one.mean:.3f}" + ("" if one.half_width is None else f" ± {one.half_width:.3f}") for one in estimates]
    return [section.title.split(";")[0], str(count), *shown]


def table(sections: Sequence[Section]) -> Renderables:
    """For a terminal."""
    parts: list[Table | Text] = []
    for section in sections:
        if section.rows:
            drawn = _table(section.title, COLUMNS, [_cells(row) for row in section.rows], texts=3)
            parts += [drawn, *(Text(word) for word in section.words), Text("")]
    if any(section.rows for section in sections):
        parts.append(Text(NOTE, style="dim"))
    masks = [section for section in sections if section.overlap is not None]
    if masks:
        parts.append(_table("masks", OVERLAPS, [_overlap_cells(section) for section in masks], texts=1))
        parts.append(Text(OVERLAP_NOTE, style="dim"))
    return Renderables(*parts)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> Table:
    drawn = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        drawn.add_column(column, justify="left" if index < texts else "right")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def markdown(sections: Sequence[Section]) -> str:
    """GitHub-flavoured tables, and what they say."""
    parts: list[str] = []
    for section in sections:
        if section.rows:
            parts += [f"### {escaped(section.title)}", _lines(COLUMNS, [_cells(row) for row in section.rows], texts=3)]
            parts += [f"* {escaped(word)}" for word in section.words]
    if any(section.rows for section in sections):
        parts.append(NOTE)
    masks = [section for section in sections if section.overlap is not None]
    if masks:
        parts += ["### Masks", _lines(OVERLAPS, [_overlap_cells(section) for section in masks], texts=1), OVERLAP_NOTE]
    return "\n\n".join(parts)


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> str:
    rule = "|" + "---|" * texts + "---:|" * (len(columns) - texts)
    return "\n".join(
        ["| " + " | ".join(columns) + " |", rule, *("| " + " | ".join(map(escaped, row)) + " |" for row in rows)]
    )


def figure(sections: Sequence[Section], outcomes: Sequence[ConnectOutcome]) -> Figure:
    """Barriers over the step at which orders part, over rounds, and errors along lines; what there is of it."""
    from plotly.subplots import make_subplots

    panels = {
        "two data orders from step k": [row for one in sections for row in one.rows if row.comparison == "orders"],
        "successive rounds": [row for one in sections for row in one.rows if row.comparison == "rounds"],
        "test error along the line": [
            line for outcome in outcomes for line in outcome.lines if line.comparison in ("dense", "tickets")
        ],
    }
    shown = [title for title, own in panels.items() if own]
    drawn = make_subplots(rows=max(1, len(shown)), cols=1, subplot_titles=shown)
    for number, title in enumerate(shown, start=1):
        place = {"row": number, "col": 1}
        if title.startswith("test error"):
            _along(drawn, place, outcomes)
            continue
        for section in sections:
            _barriers(drawn, place, section, "orders" if title.startswith("two") else "rounds")
        drawn.add_hline(100 * STABLE, line_dash="dot", **place)
        drawn.update_yaxes(title="barrier, points", **place)
        x = {"title": "step k", "type": "linear"} if title.startswith("two") else {"title": "sparsity of the later one"}
        drawn.update_xaxes(**x, **place)
    drawn.update_layout(template="plotly_white", height=100 + 340 * max(1, len(shown)))
    return drawn


def _barriers(drawn: Any, place: dict[str, int], section: Section, comparison: str) -> None:
    """Mean barriers of one section, on both splits, with their intervals."""
    rows = [row for row in section.rows if row.comparison == comparison]
    kinds = dict.fromkeys(row.networks.split(",")[0] if comparison == "orders" else "rounds" for row in rows)
    for kind in kinds:
        own = [row for row in rows if comparison == "rounds" or row.networks.startswith(f"{kind},")]
        for split in SPLITS:
            estimates = [row.test if split == "test" else row.train for row in own]
            drawn.add_scatter(
                x=[row.place if comparison == "orders" else row.sparsities[1] for row in own],
                y=[100 * one.mean for one in estimates],
                error_y={"array": [100 * (one.half_width or 0) for one in estimates]},
                line={"dash": "solid" if split == "test" else "dot"},
                name=f"{section.title.split(' on ')[0]}: {kind}, {split}",
                **place,
            )


def _along(drawn: Any, place: dict[str, int], outcomes: Sequence[ConnectOutcome]) -> None:
    """Mean test error over the share of the second network."""
    found: dict[str, list[list[float]]] = {}
    for outcome in outcomes:
        for line in outcome.lines:
            if line.comparison in ("dense", "tickets"):
                name = f"{' and '.join(outcome.strategies)}: {_networks(line)}"
                found.setdefault(name, []).append(line.test.error)
    for name, profiles in found.items():
        means = [100 * sum(point) / len(point) for point in zip(*profiles, strict=True)]
        share = [number / (len(means) - 1) for number in range(len(means))]
        drawn.add_scatter(x=share, y=means, name=name, **place)
    drawn.update_xaxes(title="share of the second network", **place)
    drawn.update_yaxes(title="test error, %", **place)


def write_picture(path: Path, sections: Sequence[Section], outcomes: Sequence[ConnectOutcome]) -> None:
    """The figure as a page of HTML that needs nothing else."""
    drawn: Any = figure(sections, outcomes)
    write_atomically(path, drawn.to_html(include_plotlyjs=True, full_html=True).encode())
