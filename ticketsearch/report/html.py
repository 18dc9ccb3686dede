"""A study as one HTML file that needs nothing else: tables, figures, and the numbers they were made from.

What it says is computed elsewhere (:mod:`ticketsearch.leaderboard`) and written with the same helpers as the reports in
text. The tables are in the page as they are; figures are drawn by Plotly, which is in the page too, when they come
into view. The whole analysis and all runs are in it once more as compressed JSON, to be computed again.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from ticketsearch.leaderboard.analysis import aggregate
from ticketsearch.leaderboard.fidelity import RULE as EXPLOITATION_RULE
from ticketsearch.leaderboard.section import Aggregate, Section
from ticketsearch.leaderboard.studies import LoadedStudy
from ticketsearch.leaderboard.verdict import RULE
from ticketsearch.records.files import write_atomically
from ticketsearch.records.results import Result
from ticketsearch.report import charts, raw, tables
from ticketsearch.report.chapter import Chapter
from ticketsearch.report.charts import Figure, Key
from ticketsearch.report.charts.style import DASHES, SEARCHES
from ticketsearch.report.glance import headline, sentence
from ticketsearch.report.masks import Overlaps, overlaps_of
from ticketsearch.report.text import percent
from ticketsearch.visible import visible

TEMPLATES = "ticketsearch.report", "templates"
ISLAND_FORMAT = "ticketsearch-analysis-1"
RUNS_INSIDE = 1500
"""More runs are not put into the page as well: it is to stay below seven megabytes."""


def write_html(
    path: Path,
    study: LoadedStudy,
    sections: Sequence[Section],
    written: datetime.datetime,
    beside: Sequence[Chapter] = (),
) -> None:
    """Write a study's report.

    Args:
        path: of the file.
        study: runs, baselines and failures.
        sections: its analysis.
        written: the time the page says it was written at; all else is a function of the study.
        beside: chapters about what other commands measured, at the end.
    """
    write_atomically(path, html_of(study, sections, written, beside).encode())


def html_of(
    study: LoadedStudy, sections: Sequence[Section], written: datetime.datetime, beside: Sequence[Chapter] = ()
) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    runs = {result.run: result for result in study.results}
    overlaps = {(one.task, one.sparsity): overlaps_of(one, runs) for one in sections}
    chapters = _chapters(sections, runs, overlaps)
    own = {f"beside-{place}": chapter for place, chapter in enumerate(beside, start=1)}
    chapters += [{"name": name, "figures": [vars(f).copy() for f in one.figures]} for name, one in own.items()]
    summed = aggregate(sections)
    for number, figure in enumerate(figure for chapter in chapters for figure in chapter["figures"]):
        figure["number"] = number
    environment = Environment(
        loader=PackageLoader(*TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return environment.get_template("report.html.j2").render(
        written=f"{written:%Y-%m-%d %H:%M %Z}".strip(),
        version=importlib.metadata.version("ticketsearch"),
        study=study,
        tasks=list(dict.fromkeys(one.task for one in sections)),
        sparsities=sorted({one.sparsity for one in sections}),
        sections=sections,
        sentences=list(map(sentence, sections)),
        first=headline(sections) if sections else 0,
        tally=tables.tally(sections),
        verdicts=[tables.verdicts(one) for one in sections],
        rule=RULE,
        exploitation_rule=EXPLOITATION_RULE,
        board=tables.leaderboard(sections),
        aggregates=tables.aggregates(summed),
        columns=tables.BOARD,
        percent=percent,
        exploitation=tables.exploitation(sections),
        dense=tables.dense(sections, study.baselines, runs),
        controls=tables.controls(sections),
        failures=tables.failures(study.failures),
        provenance=tables.provenance(study),
        reproduce=tables.reproduce(sections, runs),
        chapters=chapters,
        beside=own,
        mask_problems=[line for one in overlaps.values() for line in one.problems],
        data=_packed([figure["plots"] for chapter in chapters for figure in chapter["figures"]]),
        island=_island(sections, summed, study, overlaps),
        island_format=ISLAND_FORMAT,
        runs_inside=len(study.results) <= RUNS_INSIDE,
        plotly=_plotly(),
        swatch=_swatch,
    )


def _chapters(
    sections: Sequence[Section], runs: dict[str, Result], overlaps: dict[tuple[str, float], Overlaps]
) -> list[dict[str, Any]]:
    """Figures by what they show, in the order of the page."""
    styles = charts.styles_of(sections)
    by_task = [[one for one in sections if one.task == task] for task in dict.fromkeys(one.task for one in sections)]
    steps = [_evaluator(one, runs) for one in sections]
    masks = [overlaps[one.task, one.sparsity] for one in sections]
    drawn: dict[str, list[Figure | None]] = {
        "anytime": [charts.anytime(one, styles) for one in sections],
        "sparsity": [charts.against_sparsity(own, styles) for own in by_task],
        "multiples": [charts.multiples(own, styles) for own in by_task],
        "targets": [charts.running_times(one, styles) if one.targets else None for one in sections],
        "solved": [charts.solved(one, styles) if one.targets else None for one in sections],
        "ratios": [charts.ratios(one, styles) for one in sections],
        "breakdown": list(map(charts.breakdown, sections)),
        "densities": list(map(charts.densities, sections)),
        "seeds": list(map(charts.seeds, sections)),
        "tau": list(map(charts.tau_over_steps, sections, steps)),
        "scatter": list(map(charts.scatter, sections, steps)),
        "overlap": [
            charts.overlap(one, own.labels, own.found) if own.found else None
            for one, own in zip(sections, masks, strict=True)
        ],
    }
    return [
        {"name": name, "figures": [vars(figure).copy() for figure in figures if figure is not None]}
        for name, figures in drawn.items()
    ]


def _evaluator(section: Section, runs: dict[str, Result]) -> int | None:
    """Steps of the evaluator, if all searches of a section have the same."""
    steps = {runs[run].fidelity for one in section.contenders for run in one.row.runs if one.kind in SEARCHES}
    return steps.pop() if len(steps) == 1 else None


def _packed(value: Any) -> str:
    """JSON, gzipped, in base64: a fifth of its size, and nothing that could end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _island(
    sections: Sequence[Section],
    summed: Sequence[Aggregate],
    study: LoadedStudy,
    overlaps: dict[tuple[str, float], Overlaps],
) -> str:
    """Everything the page is made of."""
    document = {
        "format": ISLAND_FORMAT,
        "sections": list(map(_without_pairs, sections)),
        "aggregates": list(map(asdict, summed)),
        "overlaps": [
            {"task": task, "sparsity": sparsity, "a": a, "b": b} | asdict(value)
            for (task, sparsity), own in overlaps.items()
            for (a, b), value in own.found.items()
        ],
        "runs": list(map(raw.record, study.results)) if len(study.results) <= RUNS_INSIDE else None,
        "baselines": [one.model_dump(mode="json") for one in study.baselines],
        "failures": [one.model_dump(mode="json") for one in study.failures],
    }
    return _packed(document)


def _without_pairs(section: Section) -> dict[str, Any]:
    """Its pairs of short and confirmed scores are in runs and baselines, and would be a third of the whole."""
    return replace(section, fidelity=[replace(one, pairs=[]) for one in section.fidelity]).as_dict()


def _shown(value: Any) -> Any:
    """What the template fills in, but for markup of our own."""
    from markupsafe import Markup

    return visible(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _plotly() -> str:
    """Plotly's script, as its distribution has it, gzipped, in base64: a third of its size."""
    from importlib.resources import files

    script = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()


def _swatch(key: Key) -> dict[str, Any]:
    """A legend's line and marker for SVG: a stroke pattern, and a path around (20, 8)."""
    return {
        "colour": key.style.colour,
        "dash": "" if key.style.dash == DASHES[0] else key.style.dash.replace("px", ""),
        "width": key.style.width,
        "line": key.line,
        "path": _PATHS[key.style.symbol] if key.mark else "",
        "open": key.style.symbol.endswith("-open"),
        "hatch": _HATCHES.get(key.style.symbol, ""),
    }


_SQUARE, _DIAMOND = "M-4.5,-4.5h9v9h-9z", "M0,-6L6,0L0,6L-6,0z"
_CIRCLE = "M-5,0a5,5 0 1 0 10,0a5,5 0 1 0 -10,0z"
_PATHS = {
    "circle": _CIRCLE,
    "circle-open": _CIRCLE,
    "square": _SQUARE,
    "square-open": _SQUARE,
    "diamond": _DIAMOND,
    "diamond-open": _DIAMOND,
    "triangle-up": "M0,-6L5.5,4H-5.5z",
    "triangle-down": "M0,6L5.5,-4H-5.5z",
    "cross": "M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "x": "M-5,-3l2,-2l3,3l3,-3l2,2l-3,3l3,3l-2,2l-3,-3l-3,3l-2,-2l3,-3z",
    "star": "M0,-7L1.8,-2.2L6.7,-2.2L2.8,0.9L4.1,5.7L0,3L-4.1,5.7L-2.8,0.9L-6.7,-2.2L-1.8,-2.2z",
    "bar-/": "M-8,-6h16v12h-16z",
    "bar-x": "M-8,-6h16v12h-16z",
}
_HATCHES = {"bar-/": "M-8,4L2,-6M-4,6L8,-6", "bar-x": "M-8,4L2,-6M-4,6L8,-6M-8,-4L2,6M-4,-6L8,6"}
"""Patterns of bars."""
