"""Strong tickets as a table: a row for each method, averaged over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.text import escaped, percent
from ticketsearch.studies.strong import Found, StrongOutcome

COLUMNS = ("method", "test %", "train %", "kept %", "epochs", "kept-weight GFLOP", "CPU s", "generations")
NOTE = (
    "Means over seeds ± half of the 95 % t interval. The genetic algorithm and edge-popup leave the network's weights "
    "as they are; edge-popup keeps as many as it is told to, the genetic algorithm as many as it likes. An epoch is "
    "the training split once forward and backward; a forward pass is a third of it."
)


def rows_of(outcomes: Sequence[StrongOutcome]) -> list[list[str]]:
    """Cells, in the order of the methods."""
    rows = []
    for index, first in enumerate(outcomes[0].found):
        own = [outcome.found[index] for outcome in outcomes]

        def over(value: Callable[[Found], float], own: Sequence[Found] = own) -> Estimate:
            return Estimate.of([value(one) for one in own])

        kept = Estimate.of([one.n_kept / all_.n_weights for one, all_ in zip(own, outcomes, strict=True)])
        rows.append(
            [
                first.method,
                percent(over(lambda one: one.test_accuracy)),
                percent(over(lambda one: one.train_accuracy)),
                percent(kept),
                f"{over(lambda one: one.epochs).mean:,.0f}",
                f"{over(lambda one: one.sparse_flops / 1e9).mean:,.2f}",
                f"{over(lambda one: one.cpu_s).mean:,.1f}",
                f"{over(lambda one: one.generations).mean:,.0f}" if first.generations else "",
            ]
        )
    return rows


def title(outcomes: Sequence[StrongOutcome]) -> str:
    """What the table is about."""
    first = outcomes[0]
    seeds = f"{len(outcomes)} seeds" if len(outcomes) > 1 else "1 seed"
    chance = Estimate.of([one.majority_test_accuracy for one in outcomes])
    return f"{first.task}, {first.n_weights} weights, {seeds}; most frequent class {percent(chance)} %"


def table(outcomes: Sequence[StrongOutcome]) -> Renderables:
    """For a terminal."""
    drawn = Table(title=title(outcomes), title_justify="left", title_style="bold")
    for index, column in enumerate(COLUMNS):
        drawn.add_column(column, justify="right" if index else "left", no_wrap=not index)
    for row in rows_of(outcomes):
        drawn.add_row(*row)
    return Renderables(drawn, Text(NOTE, style="dim"))


def markdown(outcomes: Sequence[StrongOutcome]) -> str:
    """A GitHub-flavoured table."""
    lines = [f"### {escaped(title(outcomes))}", "", "| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * 7]
    lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows_of(outcomes)]
    return "\n".join([*lines, "", NOTE])
