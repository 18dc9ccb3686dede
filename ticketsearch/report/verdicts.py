"""What a study concludes, as text: verdicts first, then what they rest on; for a terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.fidelity import RULE as EXPLOITATION_RULE
from ticketsearch.leaderboard.section import EPOCHS, Contender, Section
from ticketsearch.leaderboard.statistics import Summary
from ticketsearch.leaderboard.verdict import RULE, Comparison, Verdict
from ticketsearch.report.text import escaped, percent, piped

VERDICTS = ("search", "currency", "R", "95 % interval", "seeds", "search is not much better")
STANDINGS = (
    *("strategy", "test accuracy %", "to IMP", "Holm p", "to random, same counts", "Holm p", "mean rank", "cost, ep"),
)
TARGETS = ("strategy", "10 %", "50 %", "90 %", "100 %")
"""First checkpoint there; a search cannot see which one that is, and the verdict's rule allows for it."""


def verdict_cells(verdict: Verdict) -> list[str]:
    """A line of the verdict table; the figures of a verdict of "none" decide nothing and are in brackets."""
    ratio = number(verdict.ratio)
    interval = f"[{number(verdict.low)}, {number(verdict.high)}]"
    if verdict.outcome == "none":
        ratio, interval = f"({ratio})", f"({interval})"
    outcome = "no verdict" if verdict.outcome == "none" else verdict.outcome
    return [verdict.strategy, verdict.currency, ratio, interval, str(verdict.n), outcome]


def standing_cells(one: Contender, reference: str | None) -> list[str]:
    """A line of the comparison with IMP and with random masks."""
    to_imp = "reference" if one.label == reference else points(one.to_imp)
    p = one.to_imp.p_holm if one.to_imp else None
    return [
        one.label,
        percent(one.row.test_accuracy),
        to_imp,
        "" if p is None else f"{p:.2g}",
        points(one.to_random),
        "" if one.to_random is None or one.to_random.p_holm is None else f"{one.to_random.p_holm:.2g}",
        "" if one.rank is None else summary(one.rank, 1.0, 1),
        f"{one.row.epochs.mean:.5g}",
    ]


def target_cells(one: Contender, section: Section) -> list[str]:
    """ERT in epochs to shares of the gap from random masks to the reference; how many seeds got there."""
    found = []
    for fraction in (0.1, 0.5, 0.9, 1.0):
        time = one.running_times[EPOCHS][section.fractions.index(fraction)]
        share = "" if time.successes == time.runs else f" ({time.successes}/{time.runs})"
        found.append("never" if math.isinf(time.ert) else f"{time.ert / one.train_size:.3g}{share}")
    return [one.label, *found]


def fidelity_rows(section: Section) -> list[list[str]]:
    """Kendall's tau of short scores with confirmed accuracies: a line for each length, a column for each population."""
    populations = list(dict.fromkeys(one.population for one in section.fidelity))
    found = {(one.population, one.steps): one for one in section.fidelity}
    ceilings = [one.ceiling for one in section.fidelity if one.ceiling is not None]
    known = f" (ceiling {ceilings[0]:.2f})" if ceilings else ""
    heads = [f"tau, {name}{known if name == 'random masks' else ''}" for name in populations]
    rows = [["short training, steps", "one evaluation, ep", *heads]]
    for steps in sorted({one.steps for one in section.fidelity}):
        own = [found.get((name, steps)) for name in populations]
        epochs = next((one.epochs for one in own if one and one.epochs is not None), None)
        taus = ["" if one is None or one.tau is None else summary(one.tau, 1.0, 2) for one in own]
        rows.append([str(steps), "" if epochs is None else f"{epochs:.3g}", *taus])
    return rows


def points(comparison: Comparison | None) -> str:
    """``-3.1 [-4.0, -2.2]``, in points."""
    if comparison is None or comparison.paired.difference is None:
        return ""
    one = comparison.paired
    text = f"{100 * comparison.paired.difference:+.1f}"
    return text if one.low is None or one.high is None else f"{text} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def number(value: float | None) -> str:
    """Three digits; ``inf`` for what is never reached."""
    return "none" if value is None else "inf" if math.isinf(value) else f"{value:.3g}"


def summary(value: Summary, scale: float, digits: int) -> str:
    """``0.31 [0.20, 0.41]``."""
    text = f"{scale * value.value:.{digits}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{scale * value.low:.{digits}f}, {scale * value.high:.{digits}f}]"


def sentences(section: Section) -> list[str]:
    """What else a reader must know: controls, reasons for no verdict, the dense network, exploitation."""
    lines = [control.sentence for control in section.controls]
    controls = {control.sentence for control in section.controls}
    for verdict in section.verdicts:
        lines += [f"{verdict.strategy}: {reason}" for reason in verdict.reasons if reason not in controls]
    if section.reference:
        lines.append(f"Reference: {section.reference}. SGD's frontier, by cost: {', '.join(section.frontier)}.")
    if section.dense_budget and section.dense_budget_epochs:
        lines.append(
            f"The dense network trained for {section.dense_budget_epochs:g} epochs: {percent(section.dense_budget)} %."
        )
    for contender in section.contenders:
        lines += _exploitation(contender)
    return list(dict.fromkeys(lines))


def _exploitation(one: Contender) -> list[str]:
    found = one.exploitation
    if found is None:
        return []
    change = f"short score {summary(found.short, 100, 1)}, confirmed {summary(found.confirmed, 100, 1)} points"
    if found.exploits:
        return [f"{one.label} exploits its evaluator from {found.cost:.4g} ep on: {change}."]
    if found.falls:
        return [f"{one.label}: confirmed accuracy falls from {found.cost:.4g} ep on: {change}."]
    return []


def _tables(section: Section) -> list[tuple[str, list[list[str]]]]:
    name = f"{section.task} at sparsity {section.sparsity:g}"
    tables = []
    if section.verdicts:
        tables.append((f"Verdicts, {name}", [list(VERDICTS), *map(verdict_cells, section.verdicts)]))
    standings = [standing_cells(one, section.reference) for one in section.contenders]
    tables.append((f"Paired comparisons, {name}", [list(STANDINGS), *standings]))
    if section.targets:
        rows = [target_cells(one, section) for one in section.contenders]
        tables.append((f"Epochs to shares of the gap random - IMP, {name}", [list(TARGETS), *rows]))
    if section.fidelity:
        tables.append((f"Do short scores rank what full training gives? {name}", fidelity_rows(section)))
    return tables


def as_renderables(sections: Sequence[Section]) -> Renderables:
    """For a terminal."""
    parts: list[Table | Text] = []
    for section in sections:
        for name, rows in _tables(section):
            table = Table(title=name, title_justify="left", title_style="bold")
            for index, column in enumerate(rows[0]):
                table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
            for row in rows[1:]:
                table.add_row(*row)
            parts.append(table)
        parts += [Text(f"- {line}") for line in sentences(section)]
    return Renderables(*parts, *(Text(line, style="dim") for line in _rules(sections)))


def as_markdown(sections: Sequence[Section]) -> str:
    """GitHub-flavoured."""
    lines: list[str] = []
    for section in sections:
        for name, rows in _tables(section):
            lines += [f"### {escaped(name)}", "", *piped(rows), ""]
        lines += [*(f"- {escaped(line)}" for line in sentences(section)), ""]
    return "\n".join([*lines, *_rules(sections)])


def _rules(sections: Sequence[Section]) -> list[str]:
    """The rules behind what is said, if it is said."""
    rules = [RULE] if any(section.verdicts for section in sections) else []
    if any(one.exploitation for section in sections for one in section.contenders):
        rules.append(EXPLOITATION_RULE)
    return rules
