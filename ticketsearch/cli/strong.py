"""The command ``strong``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import (
    DataRoot,
    Device,
    Download,
    Engine,
    Json,
    Markdown,
    TaskSettings,
    parse_settings,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue


def strong(
    task: Annotated[str, typer.Option(help="moons, circles, blobs, digits, or any other.")] = "moons",
    task_settings: TaskSettings = None,
    seeds: Annotated[str, typer.Option(help="Of the networks: 0-9, or 0,1,7.")] = "0-9",
    sparsity: Annotated[float, typer.Option(help="Fraction of the weights that edge-popup prunes.")] = 0.5,
    population: Annotated[int, typer.Option(help="Masks of the genetic algorithm.", min=2)] = 100,
    generations: Annotated[int, typer.Option(help="After which it ends at the latest.", min=2)] = 20_000,
    out: Annotated[Path, typer.Option(help="Folder of outcomes; a seed is not computed twice.")] = Path("strong"),
    device: Device = "cpu",
    engine: Engine = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Search random networks for parts that need no training: a genetic algorithm, edge-popup, and training."""
    from rich.console import Console

    from ticketsearch.report import strong as report
    from ticketsearch.report.progress import StepBar
    from ticketsearch.seeds import parse_seeds
    from ticketsearch.studies.strong import Evolution, Plan, strong_tickets
    from ticketsearch.tasks import DataSource, load_task

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    evolution = Evolution(population=population, least=min(100, generations), most=generations)
    plan = Plan(parse_seeds(seeds), evolution, sparsity)
    loaded = load_task(task, DataSource(data_root, download), parse_settings(task_settings or [], "--task-set"))
    with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
        outcomes = strong_tickets(loaded, plan, out=out, device=device, engine=engine, tick=bar.update)
    if as_json:
        print_json([outcome.model_dump(mode="json") for outcome in outcomes])
    elif as_markdown:
        print(report.markdown(outcomes))
    else:
        print_rich(report.table(outcomes))
