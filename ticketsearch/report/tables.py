"""The tables of the HTML report: texts from the helpers of the other reports, beside the values they sort by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticketsearch.leaderboard.section import Aggregate, Contender, Section
from ticketsearch.leaderboard.statistics import ALPHA
from ticketsearch.leaderboard.studies import LoadedStudy
from ticketsearch.leaderboard.verdict import CURRENCIES, Comparison, Verdict
from ticketsearch.records.results import Machine, Result
from ticketsearch.records.study_records import Baseline, Failure
from ticketsearch.report.charts.style import SEARCHES
from ticketsearch.report.commands import commands_of
from ticketsearch.report.glance import variants
from ticketsearch.report.text import percent
from ticketsearch.report.verdicts import points, summary, verdict_cells

OUTCOMES = ("supported", "refuted", "undecided", "none")
SIGNS = {"supported": "✓", "refuted": "✗", "undecided": "?", "none": "-"}
BOARD = (
    ("strategy", "strategy and the settings that tell it from its neighbours"),
    ("task", ""),
    ("sparsity", "fraction of the weights pruned"),
    ("seeds", "number of seeds"),
    ("accuracy %", "confirmed test accuracy, mean over seeds ± half of the 95 % t interval"),
    ("to IMP", "paired difference to the reference in points, 95 % interval, Holm-adjusted Wilcoxon p, pairs"),
    ("to random", "paired difference to random masks of the same per-layer counts, likewise"),
    ("mean rank", "over the seeds all of them ran on, 95 % interval; 1 is best"),
    ("cost, ep", "search cost in epochs of the dense network, spent and allowed"),
    ("GFLOP", "search cost in floating-point operations that the kept weights need"),
    ("CPU s", "CPU seconds of the search"),
    ("controls %", "confirmed test accuracy of the ticket with one of its claims taken away"),
)
"""Columns of the leaderboard and what they mean."""


@dataclass(frozen=True)
class Cell:
    """A text and, for columns that sort by number, its number."""

    text: str
    value: float | str
    lines: Sequence[str] = ()


def tally(sections: Iterable[Section]) -> list[list[str]]:
    """How many verdicts of each outcome, by currency."""
    found: Counter[tuple[str, str]] = Counter(
        (one.currency, one.outcome) for section in sections for one in section.verdicts
    )
    return [[currency, *(str(found[currency, outcome]) for outcome in OUTCOMES)] for currency in CURRENCIES]


def verdicts(section: Section) -> dict[str, Any]:
    """A section's verdicts by search, with the reasons for none as numbered notes below."""
    notes = list(dict.fromkeys(reason for one in section.verdicts for reason in one.reasons))
    searches: dict[str, list[dict[str, Any]]] = {}
    for one in section.verdicts:
        searches.setdefault(one.strategy, []).append(_verdict(one, notes))
    return {
        "section": section,
        "notes": notes,
        "searches": searches,
        "failed": [control for control in section.controls if not control.passed],
    }


def _verdict(one: Verdict, notes: Sequence[str]) -> dict[str, Any]:
    _, currency, ratio, interval, n, said = verdict_cells(one)
    target = "none" if one.target is None else f"{100 * one.target:.1f}"
    numbers = [notes.index(reason) + 1 for reason in one.reasons]
    return {
        "currency": currency,
        "ratio": ratio,
        "interval": interval,
        "n": n,
        "outcome": one.outcome,
        "said": said,
        "sign": SIGNS[one.outcome],
        "target": target,
        "notes": numbers,
    }


def leaderboard(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """A line for each strategy of each section; ``variant`` if another setting of it is better on validation."""
    board = []
    for section in sections:
        families = variants(section)
        for one in section.contenders:
            best, *others = families[one.row.strategy]
            board.append(
                {
                    "task": section.task,
                    "sparsity": f"{section.sparsity:g}",
                    "kind": one.kind,
                    "reference": one.label == section.reference,
                    "frontier": one.label in section.frontier,
                    "variant": one is not best,
                    "others": len(others) if one is best else 0,
                    "cells": _board_cells(one, section),
                }
            )
    return board


def _board_cells(one: Contender, section: Section) -> list[Cell]:
    row = one.row
    controls = [f"{name} {percent(value)}" for name, value in row.controls.items()]
    return [
        Cell(one.label, one.label),
        Cell(section.task, section.task),
        Cell(f"{section.sparsity:g}", section.sparsity),
        Cell(str(len(row.seeds)), len(row.seeds)),
        Cell(percent(row.test_accuracy), row.test_accuracy.mean),
        _compared(
            one.to_imp,
            [other.to_imp for other in section.contenders],
            "the reference" if one.label == section.reference else "no IMP",
        ),
        _compared(one.to_random, [other.to_random for other in section.contenders], ""),
        Cell("", math.inf) if one.rank is None else Cell(summary(one.rank, 1, 1), one.rank.value, [f"n {one.rank.n}"]),
        Cell(f"{row.epochs.mean:.5g}", row.epochs.mean, [f"of {row.budget:g}"]),
        Cell(f"{row.sparse_flops.mean / 1e9:.4g}", row.sparse_flops.mean),
        Cell(f"{one.seconds['cpu']:.3g}", one.seconds["cpu"]),
        Cell("", max((v.mean for v in row.controls.values()), default=-math.inf), controls),
    ]


def _compared(comparison: Comparison | None, family: Sequence[Comparison | None], otherwise: str) -> Cell:
    if comparison is None or comparison.paired.difference is None:
        return Cell(otherwise, 0.0 if otherwise == "the reference" else -math.inf)
    p = comparison.p_holm
    tests = sum(one is not None and one.p_holm is not None for one in family)
    said = "told apart" if comparison.separated else "equivalent" if comparison.paired.equivalent else "not told apart"
    if said == "not told apart" and tests * 2.0 ** (1 - comparison.paired.n) >= ALPHA:  # the least p there is, by Holm
        said = "too few seeds"
    test = "" if p is None else f"p {p:.2g}, "
    return Cell(points(comparison), comparison.paired.difference, [f"{test}n {comparison.paired.n}", said])


def aggregates(summed: Iterable[Aggregate]) -> list[list[str]]:
    """Interquartile means over the sparsities of a task."""
    return [
        [
            one.label,
            one.task,
            ", ".join(f"{sparsity:g}" for sparsity in one.sparsities),
            summary(one.middle, 100, 1),
            str(one.middle.n),
        ]
        for one in summed
    ]


def controls(sections: Iterable[Section]) -> list[list[str]]:
    """What must hold before anything is concluded, and whether it does."""
    return [
        [section.task, f"{section.sparsity:g}", control.name, "holds" if control.passed else "FAILED", control.sentence]
        for section in sections
        for control in section.controls
    ]


def exploitation(sections: Iterable[Section]) -> list[list[str]]:
    """A line for each search: whether it exploits its evaluator, from which cost on, and its own tau."""
    rows = []
    for section in sections:
        for one in section.contenders:
            if one.kind not in SEARCHES:
                continue
            tau = "none" if one.tau is None else f"{summary(one.tau, 1, 2)}, n {one.tau.n}"
            found = one.exploitation
            start = [one.label, section.task, f"{section.sparsity:g}"]
            if found is None:
                rows.append([*start, "cannot be judged: too few seeds or checkpoints", "", "", "", tau])
                continue
            said = "exploits its evaluator" if found.exploits else "is not shown to exploit its evaluator"
            said += "; confirmed accuracy falls" if found.falls else ""
            rows.append(
                [
                    *start,
                    f"{said} (n {found.short.n}, {found.looks} looks)",
                    f"{found.cost:.4g}",
                    summary(found.short, 100, 1),
                    summary(found.confirmed, 100, 1),
                    tau,
                ]
            )
    return rows


def dense(sections: Iterable[Section], baselines: Sequence[Baseline], runs: Mapping[str, Result]) -> list[list[str]]:
    """The dense network beside IMP's best: one training, and one as long as a whole search budget."""
    rows = []
    for section in sections:
        best = section.contender(section.reference) if section.reference else section.contenders[0]
        run = runs[best.row.runs[0]]
        about = run.task_fingerprint, run.sparsity, run.kind
        seeds = {one.seed for one in baselines if (one.task_fingerprint, one.sparsity, one.kind) == about}
        whole = ["not measured", "", "0"]
        if section.dense_budget is not None and section.dense_budget_epochs is not None:
            whole = [percent(section.dense_budget), f"{section.dense_budget_epochs:g}", str(len(seeds))]
        rows.append(
            [
                section.task,
                f"{section.sparsity:g}",
                percent(best.row.dense),
                str(len(best.row.seeds)),
                *whole,
                best.label,
                percent(best.row.test_accuracy),
            ]
        )
    return rows


def failures(found: Iterable[Failure]) -> list[list[str]]:
    """Planned runs that gave no result."""
    return [
        [
            one.strategy,
            ", ".join(f"{k}={v}" for k, v in one.settings.items()),
            one.task,
            f"{one.sparsity:g}",
            str(one.seed),
            one.budget,
            one.reason,
        ]
        for one in found
    ]


def provenance(study: LoadedStudy) -> list[tuple[str, str]]:
    """What the runs were made with; how many runs, where they differ."""
    results = study.results
    names = list(dict.fromkeys(name for result in results for name in result.versions))
    facts = {name: Counter(result.versions.get(name, "not recorded") for result in results) for name in names}
    facts |= {
        "engine and device": Counter(f"{result.engine} on {result.device}" for result in results),
        "strategies from": Counter(result.distribution for result in results),
        "task, fingerprint of its data": Counter(f"{result.task} {result.task_fingerprint}" for result in results),
        "evaluator": Counter(_evaluator(result) for result in results),
        "confirmation": Counter(f"{result.orders} data orders" for result in results),
    }
    facts["machine"] = Counter(_machine(result.machine) for result in results)
    return [(name, _counted(counts, len(results))) for name, counts in facts.items()]


def _evaluator(result: Result) -> str:
    return f"{result.fidelity} {'' if result.fidelity_end is None else f'to {result.fidelity_end} '}steps"


def _machine(one: Machine) -> str:
    threads = f"{one.threads} thread{'s' if one.threads > 1 else ''} of {one.cores} core{'s' if one.cores > 1 else ''}"
    return ", ".join(filter(None, [one.processor, threads, one.accelerator, one.system]))


def _counted(counts: Counter[str], total: int) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({count} of {total} runs)" for value, count in sorted(counts.items()))


def reproduce(sections: Iterable[Section], runs: Mapping[str, Result]) -> list[dict[str, Any]]:
    """For each line of the leaderboard, the commands that make its runs again."""
    return [
        {
            "task": section.task,
            "sparsity": f"{section.sparsity:g}",
            "label": one.label,
            "commands": commands_of([runs[run] for run in one.row.runs]),
        }
        for section in sections
        for one in section.contenders
    ]
