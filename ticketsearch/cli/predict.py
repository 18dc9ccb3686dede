"""The command ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import (
    DataRoot,
    Device,
    Download,
    Engine,
    Granularity,
    Json,
    Markdown,
    Sparsity,
    TaskSettings,
    parse_settings,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue


def predict(
    task: Annotated[
        str | None, typer.Option(help="Name of a task, or package.module:function. [default: mnist1d-mlp]")
    ] = None,
    task_settings: TaskSettings = None,
    population: Annotated[
        str, typer.Option(help="masks: random ones of equal layer counts; initialisations: one mask over many.")
    ] = "masks",
    runs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Predict the tickets of these finished runs instead.")
    ] = None,
    sparsity: Sparsity = 0.9,
    granularity: Granularity = "weight",
    counts: Annotated[str, typer.Option(help="Kept in each layer: uniform, erk, smart-ratio, or as a RUN's.")] = "erk",
    count: Annotated[int, typer.Option(help="Candidates of each seed.", min=3)] = 32,
    confirmations: Annotated[int, typer.Option(help="Full trainings of each candidate.", min=2)] = 3,
    predictor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="See 'ticketsearch predictors'; with settings: 'snip(steps=100)'; repeatable. Default all.",
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="0-9, or 0,1,7. [default: 0-9; of runs, all]")] = None,
    margin: Annotated[float, typer.Option(help="Of accuracy below the dense network that matches it.", min=0)] = 0.003,
    out: Annotated[Path, typer.Option(help="Folder of outcomes; a seed is not computed twice.")] = Path("predictions"),
    archive: Annotated[
        Path | None, typer.Option(help="Also write all outcomes as one compact file, for report --beside.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a picture, as a page.")] = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Measure how well predictors tell tickets before they are trained, beside a ceiling and a null."""
    from rich.console import Console

    from ticketsearch.leaderboard.prediction import predictions_of
    from ticketsearch.records.folder import check_outputs
    from ticketsearch.records.outcomes import write_outcomes
    from ticketsearch.report import predict as report
    from ticketsearch.report.progress import StepBar
    from ticketsearch.seeds import parse_seeds
    from ticketsearch.studies.predict import POPULATIONS, Plan, named_predictors, predict_runs
    from ticketsearch.studies.predict import predict as predicted
    from ticketsearch.tasks import DataSource, load_task

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    check_outputs(path for path in (archive, html) if path)
    names, chosen = tuple(predictor or ()), None if seeds is None else parse_seeds(seeds)
    named_predictors(names)  # before anything is loaded or said
    source, console = DataSource(data_root, download), Console(stderr=True, markup=False, emoji=False)
    with StepBar(console) as bar:
        if runs is not None:
            outcomes = predict_runs(runs, names, task=task, source=source, out=out, seeds=chosen, tick=bar.update)
        else:
            kind = next((one for one in POPULATIONS if one == population), None)
            if kind is None:
                raise InvalidValue(f"--population {population!r} is none of {', '.join(POPULATIONS)}; or give --runs")
            plan = Plan(
                population=kind,
                sparsity=sparsity,
                counts=counts,
                count=count,
                confirmations=confirmations,
                predictors=names,
                seeds=range(10) if chosen is None else chosen,
                granularity=granularity,
            )
            loaded = load_task(task or "mnist1d-mlp", source, parse_settings(task_settings or [], "--task-set"))
            console.print(
                f"{len(plan.seeds)} seeds of {count} candidates, {confirmations} full trainings each; finished seeds "
                f"are in {out} and not repeated",
                highlight=False,
                soft_wrap=True,
            )
            outcomes = predicted(loaded, plan, out=out, device=device, engine=engine, tick=bar.update)
    found = predictions_of(outcomes, margin)
    if archive:
        write_outcomes(archive, outcomes)
    if html:
        report.write_picture(html, found)
    if as_json:
        print_json(
            {
                "predictions": [one.as_dict() for one in found],
                "outcomes": [one.model_dump(mode="json") for one in outcomes],
            }
        )
    elif as_markdown:
        print(report.markdown(found))
    else:
        print_rich(report.table(found))
