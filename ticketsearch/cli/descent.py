"""The command ``descent``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import (
    DataRoot,
    Device,
    Download,
    Engine,
    Json,
    Keep,
    Markdown,
    TaskName,
    TaskSettings,
    parse_names,
    parse_numbers,
    parse_settings,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue
from ticketsearch.visible import visible


def descent(
    task: TaskName = "mnist1d-mlp",
    task_settings: TaskSettings = None,
    keep: Keep = None,
    steps: Annotated[
        str | None, typer.Option(help="Of each training, '6000step' or '160ep'. Default the task's recipe.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option(help="Dense networks, as factors of the task's hidden widths. Default 0.02 to 1.")
    ] = None,
    sparsities: Annotated[
        str | None, typer.Option(help="Of tickets and random masks, rising. Default 0.2 to 0.988, a fifth a level.")
    ] = None,
    ticket_widths: Annotated[
        str, typer.Option("--ticket-widths", help="Networks that IMP prunes, as factors of widths.")
    ] = "1",
    strategies: Annotated[str | None, typer.Option(help="Whose tickets are trained as well: synflow,snip.")] = None,
    budget: Annotated[str, typer.Option(help="Of one search of a strategy.")] = "2000ep",
    seeds: Annotated[str, typer.Option(help="Of weights, data orders and masks: 0-2, or 0,1,7.")] = "0-2",
    tolerance: Annotated[float, typer.Option(help="Training error that counts as zero.")] = 0.01,
    margin: Annotated[
        float, typer.Option(help="Test accuracy by which a ticket may be below its dense network, and matches it.")
    ] = 0.01,
    out: Annotated[Path, typer.Option(help="Folder of outcomes; a seed is not computed twice.")] = Path("descent"),
    archive: Annotated[Path | None, typer.Option(help="Also write all outcomes as one compact file.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also write the curves as a picture.")] = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Train dense networks of growing width, and tickets and random masks of growing sparsity: double descent."""
    from rich.console import Console

    from ticketsearch.cost import parse_epochs, parse_steps
    from ticketsearch.leaderboard.descent import analysed, check_limits
    from ticketsearch.records.folder import check_outputs
    from ticketsearch.records.outcomes import write_outcomes
    from ticketsearch.report import descent as report
    from ticketsearch.report.progress import StepBar
    from ticketsearch.seeds import parse_seeds
    from ticketsearch.studies.capacity import SPARSITIES, WIDTHS, Plan
    from ticketsearch.studies.descent import descend
    from ticketsearch.tasks import DataSource, keeping, load_task

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    check_outputs(path for path in (archive, svg) if path)
    plan = Plan(
        sparsities=SPARSITIES if sparsities is None else parse_numbers(sparsities, "--sparsities"),
        widths=WIDTHS if widths is None else parse_numbers(widths, "--widths"),
        ticket_widths=parse_numbers(ticket_widths, "--ticket-widths"),
        strategies=parse_names(strategies) if strategies else (),
        budget=parse_epochs(budget),
        seeds=parse_seeds(seeds),
    )
    check_limits(tolerance, margin)
    source, options = DataSource(data_root, download), parse_settings(task_settings or [], "--task-set")
    loaded = keeping(load_task(task, source, options), keep or ())
    if steps is not None:
        recipe = loaded.recipe.lasting(parse_steps(steps, loaded.steps_per_epoch, "steps"))
        loaded = replace(loaded, recipe=recipe, fidelity=min(loaded.fidelity, recipe.steps))
    print(f"ticketsearch: {plan.in_words(loaded.recipe.steps)}; outcomes go to {visible(str(out))}", file=sys.stderr)
    with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
        outcomes = descend(loaded, plan, out=out, device=device, engine=engine, tick=bar.update)
    found = analysed(outcomes, tolerance, margin)
    if archive:
        write_outcomes(archive, outcomes)
    if svg:
        report.write_picture(svg, found)
    for path in (archive, svg):
        if path:
            print(f"ticketsearch: wrote {visible(str(path))}", file=sys.stderr)
    if as_json:
        said = report.sentences(found)
        print_json({"outcomes": [outcome.model_dump(mode="json") for outcome in outcomes], "said": said})
    elif as_markdown:
        print(report.markdown(found))
    else:
        print_rich(report.table(found))
