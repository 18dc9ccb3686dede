"""Tables: the summary of one run and the leaderboard of many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.console import Console, ConsoleOptions, RenderResult
from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard import Group, Row
from ticketsearch.leaderboard.table import MARKS, Estimate, label_of
from ticketsearch.records.listing import Listed
from ticketsearch.records.results import Confirmation, CostRecord, Result, score_in_words
from ticketsearch.visible import visible

COLUMNS = (
    "strategy",
    "seeds",
    "test accuracy %",
    "random %",
    "magnitude %",
    "dense %",
    "search cost ep",
    "kept-weight GFLOP",
    "wall s",
    "trials",
)
FRAME = 3
"""Of a column: a rule, and a space on either side."""


def percent(accuracy: Estimate) -> str:
    """``61.3 ± 0.8``, in percent."""
    spread = "" if accuracy.half_width is None else f" ± {100 * accuracy.half_width:.1f}"
    return f"{100 * accuracy.mean:.1f}{spread}"


def cells(row: Row) -> list[str]:
    """The texts of a leaderboard row, in the order of ``COLUMNS``."""
    return [
        label_of(row),
        str(len(row.seeds)),
        percent(row.test_accuracy),
        percent(row.random),
        percent(row.magnitude),
        percent(row.dense),
        f"{row.epochs.mean:.5g} of {row.budget:g}",
        f"{row.sparse_flops.mean / 1e9:.4g}",
        f"{row.wall_s.mean:.1f}",
        f"{row.trials.mean:.0f}",
    ]


def controls_of(group: Group) -> list[list[str]]:
    """A table of the controls: a head, then a line for each row that has some; empty if none has."""
    names = list(dict.fromkeys(name for row in group.rows for name in row.controls))
    lines = [
        [
            label_of(row),
            percent(row.test_accuracy),
            percent(row.random),
            *(percent(row.controls[name]) if name in row.controls else "" for name in names),
        ]
        for row in group.rows
        if row.controls
    ]
    return [["controls", "ticket %", "random %", *(f"{name} %" for name in names)], *lines] if lines else []


def title(group: Group) -> str:
    """What a group is about."""
    majority = "" if group.majority is None else f"; the most frequent class alone: {100 * group.majority:.2f} %"
    return f"{group.task} at sparsity {group.sparsity:g}{majority}"


NOTE = (
    "Confirmed test accuracy: mean over seeds ± half of the 95 % t interval (none for one seed). random: masks with "
    "the same per-layer counts; magnitude: one-shot; dense: the whole network. Cost is the search alone."
)


def note_of(groups: Sequence[Group]) -> str:
    """How to read the tables, and what the marks in them mean."""
    marks = {mark for group in groups for row in group.rows for mark in row.marks}
    return " ".join([NOTE, *(f"[{mark}]: {meaning}." for mark, (_, meaning) in MARKS.items() if mark in marks)])


def leaderboard(groups: Sequence[Group]) -> Renderables:
    """For a terminal."""
    parts: list[_Fitting | Text] = []
    for group in groups:
        parts.append(_Fitting(list(COLUMNS), [cells(row) for row in group.rows], title(group)))
        if controls := controls_of(group):
            parts.append(_Fitting(controls[0], controls[1:]))
    return Renderables(*parts, Text(note_of(groups), style="dim"))


@dataclass(frozen=True)
class _Fitting:
    """A table in which the first column's words are never cut; where a terminal is narrow, right-hand columns go first.

    Attributes:
        head: names of columns.
        lines: cells.
        name: above the table.
    """

    head: list[str]
    lines: list[list[str]]
    name: str | None = None

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """As many columns as fit, and how many did not."""
        rows = [self.head, *self.lines]
        words = max(len(word) for row in rows for word in row[0].split())
        widths = [words, *(max(len(row[index]) for row in rows) for index in range(1, len(self.head)))]
        ends = list(accumulate(width + FRAME for width in widths))
        shown = max(1, sum(1 + end <= options.max_width for end in ends))
        table = Table(title=self.name, title_justify="left", title_style="bold", caption_justify="left")
        for index, column in enumerate(self.head[:shown]):
            table.add_column(
                column,
                justify="right" if index else "left",
                no_wrap=index > 0,
                min_width=None if index else words,
                overflow="fold",
            )
        for line in self.lines:
            table.add_row(*line[:shown])
        if left := self.head[shown:]:
            table.caption = f"left out, for want of width: {', '.join(left)}"
        yield table


def markdown(groups: Sequence[Group]) -> str:
    """GitHub-flavoured tables."""
    lines: list[str] = []
    for group in groups:
        lines += [f"### {escaped(title(group))}", "", *piped([list(COLUMNS), *(cells(row) for row in group.rows)]), ""]
        if controls := controls_of(group):
            lines += [*piped(controls), ""]
    return "\n".join([*lines, note_of(groups)])


def escaped(text: str) -> str:
    """A text as Markdown shows it: no markup, no link, no line or cell of its own."""
    return re.sub(r"([\\`*<|]|(?<=\])\()", r"\\\1", visible(text))


def piped(rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(map(escaped, row)) + " |" for row in rows]
    return [lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]]


def runs_table(found: Sequence[Listed]) -> Renderables:
    """Runs in a folder: what became of each, and why."""
    lines = [
        [
            visible(f"{one.task} {one.sparsity:g} {one.strategy} seed {one.seed}" if one.strategy else one.run),
            one.state,
            "" if one.test_accuracy is None else f"{100 * one.test_accuracy:.2f}",
            one.finished[:16].replace("T", " "),
        ]
        for one in found
    ]
    reasons = [
        Text(visible(f"{one.strategy or one.run} seed {one.seed}: {' '.join(one.reason.split())}"))
        for one in found
        if one.reason
    ]
    counts = Counter(one.state for one in found)
    about = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no runs"
    return Renderables(_Fitting(["run", "state", "test accuracy %", "finished, UTC"], lines), *reasons, Text(about))


def summary(result: Result) -> Renderables:
    """One run: accuracy beside its references, what is kept, what it cost."""
    accuracy = Table(title=f"{result.strategy} on {result.task}, seed {result.seed}", title_justify="left")
    for column in ("network", "weights", "test accuracy %", "validation %", "untrained %", "trained, ep"):
        accuracy.add_column(column, justify="left" if column == "network" else "right")
    epochs_of = _trained_epochs
    first = Text("ticket", style="bold")
    accuracy.add_row(
        first,
        f"{result.n_kept:,}",
        _spread(result.confirmation),
        _validation(result.confirmation),
        _untrained(result.confirmation),
        epochs_of(result.confirmation),
    )
    names = {"dense": "dense network", "random": "random mask, same counts", "magnitude": "one-shot magnitude"}
    names["small-dense"] = "dense, as many weights"
    for key, record in result.references.items():
        weights = f"{record.n_weights or (result.n_weights if key == 'dense' else result.n_kept):,}"
        if key == "magnitude" and result.granularity == "channel":
            weights = ""  # as many channels, but of other layers
        accuracy.add_row(
            names.get(key, key),
            weights,
            _spread(record),
            _validation(record),
            _untrained(record),
            epochs_of(record),
        )
    if result.majority_test_accuracy is not None:
        accuracy.add_row("always the same class", "0", f"{100 * result.majority_test_accuracy:.2f}", "", "", "0")
    title = f"kept weights, sparsity {result.sparsity:g}"
    if result.granularity != "weight":
        kind = "channels" if result.granularity == "channel" else f"weights in blocks {result.granularity}"
        title += f": {result.n_units_kept:,} of {result.n_units:,} {kind} kept"
    layers = Table(title=title, title_justify="left")
    for column in ("layer", "shape", "kept", "density"):
        layers.add_column(column, justify="left" if column == "layer" else "right")
    for layer in result.layers:
        layers.add_row(layer.name, "x".join(map(str, layer.shape)), f"{layer.kept:,}", f"{layer.density:.4f}")
    tables = [accuracy, _rounds(result), layers] if result.rounds else [accuracy, layers]
    return Renderables(*tables, _share(result), Text(_cost_lines(result)))


def _rounds(result: Result) -> Table:
    """Accuracy over sparsity: the networks that the search trained on its way, and its ticket."""
    table = Table(title="rounds of the search, and the ticket as confirmed", title_justify="left")
    for column in ("round", "sparsity", "weights", "test accuracy %", "validation %", "steps"):
        table.add_column(column, justify="right")
    for one in result.rounds:
        accuracies = (f"{100 * accuracy:.2f}" for accuracy in (one.test_accuracy, one.validation_accuracy))
        table.add_row(f"{one.round}", f"{one.sparsity:.4f}", f"{one.n_kept:,}", *accuracies, f"{one.step}")
    return table


def _share(result: Result) -> Text:
    """What the accuracies and the sparsity are about: the classes, and which part of the network."""
    lines = []
    if result.unbalanced is not None:
        lines.append(
            "classes are unbalanced: always to answer the most frequent one is right for "
            f"{100 * result.unbalanced:.2f} % of the test split"
        )
    for pair, count in result.overlap.items():
        lines.append(f"{pair} share {count} examples")
    if result.n_parameters:
        share = result.n_weights / result.n_parameters
        lines.append(f"sparsity is about {share:.1%} of the network's {result.n_parameters:,} parameters")
    if result.left_dense:
        named = [f"{name} ({reason})" for name, reason in result.left_dense.items()]
        more = f" and {len(named) - 8} more" if len(named) > 8 else ""
        lines.append(f"left dense: {', '.join(named[:8])}{more}")
    return Text("\n".join(lines))


def _short(fact: object) -> str:
    text = ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _spread(record: Confirmation) -> str:
    text = f"{100 * record.test_accuracy:.2f} ± {100 * record.spread:.2f}"
    return f"{text} ({record.diverged} diverged)" if record.diverged else text


def _validation(record: Confirmation) -> str:
    return f"{100 * record.validation_accuracy:.2f}"


def _untrained(record: Confirmation) -> str:
    return f"{100 * record.untrained_test_accuracy:.1f}"


def _trained_epochs(record: Confirmation) -> str:
    return f"{record.cost.epochs:.4g}"


def _cost_lines(result: Result) -> str:
    cost: CostRecord = result.cost
    score = "none" if result.search_score is None else score_in_words(result.search_score)
    return "\n".join(
        [
            f"search cost   {cost.epochs:.5g} of {result.budget:g} ep: {cost.train_examples:,} training and "
            f"{cost.forward_examples:,} forward examples, {cost.trainings} trainings, {result.trials} trials"
            + (f" ({result.failed_trials} failed)" if result.failed_trials else ""),
            f"              {cost.sparse_flops / 1e9:.4g} GFLOP on kept weights, {cost.dense_flops / 1e9:.4g} if "
            f"dense; {cost.wall_s:.1f} s wall, {cost.cpu_s:.1f} s CPU, {cost.strategy_s:.2f} s in the strategy",
            f"search score  {score} (best short training; not a result)",
            f"± is the standard deviation over {len(result.confirmation.test_accuracies)} data orders of one seed; "
            "several seeds: ticketsearch report",
            *(f"{name:<13} {_short(fact)}" for name, fact in result.notes.items()),
            f"mask {result.mask_digest}   engine {result.engine} on {result.device}   {result.run}",
        ]
    )
