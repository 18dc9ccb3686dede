"""The command ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import (
    DataRoot,
    Device,
    Download,
    Engine,
    Executor,
    Granularity,
    Json,
    Keep,
    RayAddress,
    Settings,
    TaskName,
    TaskSettings,
    parse_settings,
    print_json,
    print_rich,
)

Out = Annotated[Path, typer.Option(help="Folder of run folders.")]


def run(
    strategy: Annotated[str, typer.Option(help="Name of a strategy; see 'ticketsearch strategies'.")],
    task: TaskName = "mnist1d-mlp",
    sparsity: Annotated[
        float | None,
        typer.Option(help="Fraction to prune, in [0, 1). Default 0.9; blocks N:M have 1 - N/M and no other."),
    ] = None,
    granularity: Granularity = "weight",
    keep: Keep = None,
    budget: Annotated[str, typer.Option(help="What the search may spend, in epochs of the dense network.")] = "2000ep",
    seed: Annotated[int, typer.Option(help="Fixes every random choice.")] = 0,
    settings: Settings = None,
    task_settings: TaskSettings = None,
    fidelity: Annotated[
        str | None,
        typer.Option(help="The evaluator's training: '100step', '2ep', or rising: '100step..800step'."),
    ] = None,
    orders: Annotated[int, typer.Option(help="Full trainings of the ticket, each with its own data order.")] = 3,
    controls: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            metavar="NAME",
            help="Also confirm: reinitialise, shuffle-mask, shuffle-weights, invert, cyclic, aligned.",
        ),
    ] = None,
    checkpoints: Annotated[int, typer.Option(help="Masks confirmed on the search's way, at costs doubling.")] = 8,
    time_limit: Annotated[
        str | None, typer.Option(help="Wall time of the search: '90s', '10min', '2h'. Default none.")
    ] = None,
    out: Out = Path("runs"),
    device: Device = "cpu",
    engine: Engine = "auto",
    executor: Executor = "local",
    ray_address: RayAddress = None,
    data_root: DataRoot = None,
    download: Download = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew; what is there is moved to .replaced.")] = False,
    as_json: Json = False,
) -> None:
    """Search for a ticket, confirm it, and keep both in a folder. A finished run is shown, not repeated."""
    from rich.console import Console

    from ticketsearch.cost import parse_epochs
    from ticketsearch.report.progress import ProgressBar

    limit = parse_epochs(budget)
    parsed, task_options = parse_settings(settings or []), parse_settings(task_settings or [], "--task-set")
    from ticketsearch import run as search_and_confirm  # torch, from here on
    from ticketsearch.tasks import DataSource

    with ProgressBar(Console(stderr=True, markup=False, emoji=False), strategy, limit) as bar:
        result = search_and_confirm(
            strategy,
            task,
            sparsity=sparsity,
            granularity=granularity,
            keep=keep or [],
            budget=budget,
            seed=seed,
            settings=parsed,
            task_options=task_options,
            out=out,
            device=device,
            engine=engine,
            orders=orders,
            controls=controls or [],
            checkpoints=checkpoints,
            fidelity=fidelity,
            source=DataSource(data_root, download),
            time_limit=time_limit,
            executor=executor,
            ray_address=ray_address,
            fresh=fresh,
            progress=bar,
        )
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        from ticketsearch.report.text import summary

        print_rich(summary(result))
