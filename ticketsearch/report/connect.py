"""Barriers between trained networks as tables, sentences and a picture; averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.records.files import write_atomically
from ticketsearch.report import charts
from ticketsearch.report.barriers import SPLITS, Row, Section, networks_of, sections_of
from ticketsearch.report.chapter import Chapter
from ticketsearch.report.text import escaped, percent
from ticketsearch.studies.barrier import STABLE, ConnectOutcome

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLUMNS = (
    "comparison",
    "networks",
    "sparsity",
    "barrier, test",
    "above the ends",
    "barrier, train",
    "test loss",
    "ends, test %",
    "connected",
)
OVERLAPS = ("masks of", "pairs", "overlap", "neurons matched", "degrees alone")
NOTE = (
    "Barrier: the largest error on the line between two networks minus the mean of its ends' errors, in points; above "
    "the ends: the largest height over the straight line between the ends' errors; test loss: the barrier of the loss. "
    "Means over seeds ± half of the 95 % t interval. connected: seeds with a test barrier below 2 points; match: seeds "
    "in which the later network is as accurate as the dense one. orders: one network, two data orders from that step."
)
OVERLAP_NOTE = (
    "Overlap of masks: 0 as chance gives it to masks of the same counts in each layer, 1 as far as the counts allow. "
    "Neurons are matched by the correlation of their activations in the trained tickets; degrees alone: the same with "
    "the second mask drawn anew, each neuron keeping as many inputs and outputs. Successive pairs of seeds share a run."
)


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
        f"{100 * first.mean:.1f}, {100 * second.mean:.1f}",
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
        drawn.add_column(column, justify="left" if index < texts else "right", no_wrap=index < texts)
    for row in rows:
        drawn.add_row(*row)
    return drawn


def markdown(sections: Sequence[Section]) -> str:
    """GitHub-flavoured tables, and what they say."""
    parts: list[str] = []
    for section in sections:
        if section.rows:
            parts += [f"### {escaped(section.title)}", _lines(COLUMNS, [_cells(row) for row in section.rows], texts=3)]
            parts += ["\n".join(f"* {escaped(word)}" for word in section.words)] if section.words else []
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
                name = f"{' and '.join(outcome.strategies)}: {networks_of(line)}"
                found.setdefault(name, []).append(line.test.error)
    for name, profiles in found.items():
        means = [100 * sum(point) / len(point) for point in zip(*profiles, strict=True)]
        share = [number / (len(means) - 1) for number in range(len(means))]
        drawn.add_scatter(x=share, y=means, name=name, **place)
    drawn.update_xaxes(title="share of the second network", **place)
    drawn.update_yaxes(title="test error, %", **place)


def chapter(outcomes: Sequence[ConnectOutcome]) -> Chapter:
    """For the HTML report."""
    sections = sections_of(outcomes)
    tasks = ", ".join(dict.fromkeys(one.task for one in outcomes))
    title = f"Between trained networks, {tasks}"
    drawn = charts.barriers(sections, title)
    rows = [[section.title, *_cells(row)] for section in sections for row in section.rows]
    return Chapter(
        title=title,
        lines=[*(f"{one.title}. {' '.join(one.words)}" for one in sections if one.words), NOTE],
        table=charts.Table(("of", *COLUMNS), rows),
        figures=[] if drawn is None else [drawn],
    )


def write_picture(path: Path, sections: Sequence[Section], outcomes: Sequence[ConnectOutcome]) -> None:
    """The figure as a page of HTML that needs nothing else."""
    drawn: Any = figure(sections, outcomes)
    write_atomically(path, drawn.to_html(include_plotlyjs=True, full_html=True).encode())
