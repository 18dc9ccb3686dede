"""The command ``report``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import (
    Json,
    Markdown,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue
from ticketsearch.visible import visible


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: what is read lives to the end, and it would walk through it again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_uncollected()
def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUNS]...",
            help="Folders of run folders, run folders, archives; several are put together. Default: runs.",
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only runs on this task.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Only runs at this sparsity.")] = None,
    as_markdown: Markdown = False,
    svg: Annotated[Path | None, typer.Option(help="Also write the leaderboard as a picture.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write everything as one page, to be opened offline.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write raw values, a line for each run.")] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Also write all results as one compact file, to be reported from.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="With --html: a chapter about what another command measured, its archive or folder; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the leaderboard of finished runs, grouped by task and sparsity, and the verdicts on searches."""
    from ticketsearch import leaderboard
    from ticketsearch.leaderboard.analysis import analyse
    from ticketsearch.leaderboard.merging import merged
    from ticketsearch.leaderboard.studies import load_study, write_archive
    from ticketsearch.records.folder import check_outputs
    from ticketsearch.report import text, verdicts

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    if beside and not html:
        raise InvalidValue("--beside adds chapters to a page; say where with --html")
    check_outputs(path for path in (archive, svg, csv, html) if path)
    study = merged([load_study(place) for place in runs or [Path("runs")]])
    if task is not None or sparsity is not None:
        study = study.only(task, sparsity)
    results, problems = study.results, study.problems
    groups = leaderboard.build(results)
    sections = analyse(results, study.baselines)
    judged = [section for section in sections if section.verdicts]
    if archive:
        write_archive(archive, study)
    if svg:
        from ticketsearch.report.svg import write_svg

        write_svg(svg, groups)
    if csv:
        from ticketsearch.report.raw import write_csv

        write_csv(csv, results)
    if html:
        from datetime import datetime

        from ticketsearch.report.beside import chapter_of
        from ticketsearch.report.html import write_html

        chapters = [chapter_of(place) for place in beside or []]
        write_html(html, study, sections, datetime.now().astimezone(), chapters)
    for path in (archive, svg, csv, html):
        if path:
            print(f"ticketsearch: wrote {visible(str(path))}", file=sys.stderr)
    if as_json:
        found = {"groups": [group.as_dict() for group in groups], "sections": [one.as_dict() for one in sections]}
        print_json(found | {"unreadable": problems})
    elif as_markdown:
        print("\n\n".join([text.markdown(groups), *([verdicts.as_markdown(judged)] if judged else [])]))
    else:
        print_rich(text.leaderboard(groups))
        if judged and not html:  # the page has them
            print_rich(verdicts.as_renderables(judged))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
