"""Curves over capacity as tables, sentences, pictures, and as a chapter of the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.descent import Descent, Descents, Place, Size, Threshold, analysed
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report import charts
from ticketsearch.report.chapter import Chapter
from ticketsearch.report.charts.descent import MEASURES, curves_of
from ticketsearch.report.lines import Curve, Panel, write_curves
from ticketsearch.report.text import escaped, percent
from ticketsearch.studies.capacity import DENSE, IMP, DescentOutcome

COLUMNS = (
    "network",
    "weights",
    "sparsity",
    "test %",
    "test loss",
    "train %",
    "train loss",
    "distance",
    "dense %",
    "to dense",
    "to random",
)
NOTE = (
    "Means over seeds ± half of the 95 % t interval. The training split has the wrong labels, the test split has none. "
    "distance: how far the kept weights moved in training (Euclidean). dense %: test accuracy of a dense network of as "
    "many weights, interpolated between the widths that were trained; empty outside their range. to dense, to random: "
    "differences in points, paired by seed, to that network and to a random mask with as many weights in each layer."
)


def title(found: Descents) -> str:
    """What the table is about."""
    first = found.outcomes[0]
    seeds = f"{len(found.outcomes)} seeds" if len(found.outcomes) > 1 else "1 seed"
    noise = first.task_options.get("label_noise")
    noisy = f", label noise {noise:g} ({first.task_options['label_noise_kind']})" if isinstance(noise, float) else ""
    kept = f", {', '.join(first.keep)} left dense" if first.keep else ""
    examples = f"{first.train_examples:,} training examples"
    return f"{first.task}{noisy}, {examples}, {first.steps:,} steps{kept}, {seeds}"


def rows_of(found: Descents) -> list[list[str]]:
    """Cells, curve by curve, from the largest network."""
    return [_cells(place) for places in found.curves.values() for place in places]


def name_of(curve: str, width: float) -> str:
    """A curve's name, with its width where that is not the task's own."""
    return curve if curve == DENSE or width == 1 else f"{curve}, width {width:g}"


def _cells(place: Place) -> list[str]:
    first = place.first
    return [
        f"{DENSE}, width {first.width:g}" if first.curve == DENSE else name_of(first.curve, first.width),
        f"{first.n_weights:,}",
        f"{first.sparsity:.4g}",
        percent(place.test),
        f"{place.over(lambda one: one.test_loss).mean:.3f}",
        percent(place.over(lambda one: one.train_accuracy)),
        f"{place.over(lambda one: one.train_loss).mean:.3f}",
        f"{place.over(lambda one: one.distance).mean:.1f}",
        "" if place.as_dense is None else percent(place.as_dense),
        "" if place.to_dense is None else points(place.to_dense),
        "" if place.to_random is None else points(place.to_random),
    ]


def points(one: Estimate) -> str:
    """A difference with its sign, in percentage points."""
    spread = "" if one.half_width is None else f" ± {100 * one.half_width:.1f}"
    return f"{100 * one.mean:+.1f}{spread}"


def sentences(found: Descents) -> list[str]:
    """What the curves say."""
    lines = [_threshold(one, found.tolerance) for one in found.thresholds]
    falling = {one.curve: _descent(one) for one in found.descents}
    lines += [
        falling.get(one.curve, f"{one.curve}: test accuracy does not fall and rise again.") for one in found.thresholds
    ]
    lines += [line for place in _tickets(found) if (line := _beside(place))]
    lines += [_size(one, found.margin) for one in found.sizes]
    return lines


def _threshold(one: Threshold, tolerance: float) -> str:
    what = f"{one.curve}: the training error first reaches zero (at most {100 * tolerance:g} %)"
    if one.reached is None:
        return (
            f"{one.curve}: the training error does not reach zero (at most {100 * tolerance:g} %); it is least, "
            f"{100 * one.best.train_error:.1f} %, at {one.best.first.n_weights:,} weights."
        )
    if one.below is None:
        return f"{what} at {one.reached.first.n_weights:,} weights, the smallest network, or below."
    return f"{what} between {one.below.first.n_weights:,} and {one.reached.first.n_weights:,} weights."


def _descent(one: Descent) -> str:
    rise = f"rises by {percent(one.rise)} points to {percent(one.peak.test)} % at {_where(one.peak)}"
    fall = f"falls by {percent(one.fall)} points to {percent(one.trough.test)} % at {_where(one.trough)}"
    if one.rise.half_width is not None and not one.told_apart:
        return (
            f"{one.curve}: no second rise of the test accuracy is told apart from chance; the largest is by "
            f"{percent(one.rise)} points at {_where(one.peak)}."
        )
    doubt = "" if one.told_apart else "; one seed tells nothing of chance"
    return f"{one.curve}: as networks get smaller, test accuracy {fall}, then {rise}{doubt}."


def _where(place: Place) -> str:
    return f"{place.first.n_weights:,} weights" + (
        "" if place.first.curve == DENSE else f" (sparsity {place.first.sparsity:.4g})"
    )


def _tickets(found: Descents) -> list[Place]:
    """Of each curve of masks of the task's own width, the network of highest accuracy."""
    return [
        max(places, key=lambda place: place.test.mean)
        for (name, width), places in found.curves.items()
        if name != DENSE and width == 1
    ]


def _beside(place: Place) -> str:
    best = f"{place.first.curve}: its best network, {percent(place.test)} % at {_where(place)},"
    if place.as_dense is None or place.to_dense is None:
        return f"{best} is outside the range of the dense networks, so there is none of as many weights beside it."
    return (
        f"{best} stands beside {percent(place.as_dense)} % of a dense network of as many weights "
        f"({points(place.to_dense)} points)."
    )


def _size(one: Size, margin: float) -> str:
    dense = f"width {one.dense.first.width:g}, {one.dense.first.n_weights:,} weights, {percent(one.dense.test)} %"
    if one.ticket is None:
        return f"size of tickets: of {dense}, no ticket of {IMP} comes within {100 * margin:.1f} points."
    return (
        f"size of tickets: of {dense}, the sparsest ticket of {IMP} that is at most {100 * margin:.1f} points below "
        f"keeps {one.ticket.first.n_weights:,} weights ({percent(one.ticket.test)} %)"
        f"{', the fewest that were tried' if one.last else ''}."
    )


def table(found: Descents) -> Renderables:
    """For a terminal."""
    drawn = Table(title=title(found), title_justify="left", title_style="bold")
    for index, column in enumerate(COLUMNS):
        drawn.add_column(column, justify="right" if index else "left", no_wrap=not index)
    for row in rows_of(found):
        drawn.add_row(*row)
    return Renderables(drawn, Text("\n".join(sentences(found))), Text(NOTE, style="dim"))


def markdown(found: Descents) -> str:
    """A GitHub-flavoured table and what it says."""
    lines = [f"### {escaped(title(found))}", "", *(f"* {escaped(line)}" for line in sentences(found)), ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows_of(found)]
    return "\n".join([*lines, "", NOTE])


def write_picture(path: Path, found: Descents) -> None:
    """Test accuracy, training accuracy and learning distance over kept weights."""
    marks = [(one.reached.first.n_weights, f"{one.curve} fits all") for one in found.thresholds if one.reached]
    panels = []
    for number, (name, scale, value) in enumerate(MEASURES[:3]):
        curves = [
            Curve(name_of(*key), [(place.first.n_weights, place.over(value)) for place in places])
            for key, places in curves_of(found)
        ]
        panels.append(Panel(name, curves, marks if number < 2 else (), scale))
    write_curves(path, panels, "weights, logarithmic", title(found))


def chapter(outcomes: Sequence[DescentOutcome]) -> Chapter:
    """For the HTML report."""
    found = analysed(outcomes)
    names = {key: name_of(*key) for key, _ in curves_of(found)}
    return Chapter(
        title=f"Double descent, {outcomes[0].task}",
        lines=[f"{title(found)}.", *sentences(found), NOTE],
        table=charts.Table(COLUMNS, rows_of(found)),
        figures=[charts.over_capacity(found, names, title(found))],
    )
