"""The command ``connect``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import DataRoot, Json, Markdown, parse_names, print_json, print_rich
from ticketsearch.errors import InvalidValue
from ticketsearch.visible import visible


def connect(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs on one task.")],
    compare: Annotated[
        str | None, typer.Option(help="orders,dense,rounds,tickets,masks. Default all that the runs allow.")
    ] = None,
    from_steps: Annotated[
        str, typer.Option(help="Steps from which two data orders differ: 0,100,2ep,10%.")
    ] = "0,1%,2%,5%,10%,20%,50%,80%",
    points: Annotated[int, typer.Option(help="Points of each line, its ends included.", min=2)] = 30,
    margin: Annotated[
        float, typer.Option(help="Accuracy that a network may lack and still match the dense one.", min=0, max=1)
    ] = 0.01,
    out: Annotated[Path, typer.Option(help="Folder of outcomes; a run is not measured twice.")] = Path("connect"),
    archive: Annotated[
        Path | None, typer.Option(help="Also write all outcomes as one compact file, for report --beside.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a picture, as a page.")] = None,
    task: Annotated[str | None, typer.Option(help="Where the runs' task is, if its name does not say.")] = None,
    data_root: DataRoot = None,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Measure barriers between trained networks: two data orders, ticket and dense, rounds, two tickets."""
    from rich.console import Console

    from ticketsearch.records.folder import check_outputs
    from ticketsearch.records.outcomes import write_outcomes
    from ticketsearch.report import connect as report
    from ticketsearch.report.barriers import sections_of
    from ticketsearch.report.progress import StepBar
    from ticketsearch.studies.connect import Plan, prepared
    from ticketsearch.tasks import DataSource

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    check_outputs(path for path in (archive, html) if path)
    plan = Plan(None if compare is None else parse_names(compare), parse_names(from_steps), points)
    ready = prepared(runs, plan, task=task, source=DataSource(data_root))
    print(f"ticketsearch: {visible(ready.words())}; outcomes go to {visible(str(out))}", file=sys.stderr)
    with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
        outcomes = ready.measured(out, bar.update)
    sections = sections_of(outcomes, margin)
    if archive:
        write_outcomes(archive, outcomes)
    if html:
        report.write_picture(html, sections, outcomes)
    if as_json:
        print_json(
            {
                "sections": [section.as_dict() for section in sections],
                "outcomes": [outcome.model_dump(mode="json") for outcome in outcomes],
            }
        )
    elif as_markdown:
        print(report.markdown(sections))
    else:
        print_rich(report.table(sections))
