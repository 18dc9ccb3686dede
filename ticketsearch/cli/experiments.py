"""The commands that run many trainings for one table."""

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
    Sparsity,
    TaskName,
    parse_names,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue


def ablate(
    task: TaskName = "mnist1d-mlp",
    sparsity: Sparsity = 0.9,
    seeds: Annotated[str, typer.Option(help="Seeds: 0-4, or 0,1,7.")] = "0-4",
    criteria: Annotated[str | None, typer.Option(help="Criteria, a,b,c; the first is the base. Default all.")] = None,
    mask_1: Annotated[str | None, typer.Option("--mask-1", help="What kept weights start from. Default all.")] = None,
    mask_0: Annotated[
        str | None, typer.Option("--mask-0", help="What pruned weights are held at. Default all.")
    ] = None,
    product: Annotated[
        bool, typer.Option("--product", help="Every combination, not one thing varied at a time from the base.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of ablations.")] = Path("ablations"),
    svg: Annotated[Path | None, typer.Option(help="Also write the table as a picture.")] = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """What makes a ticket one? Criterion x mask-1 x mask-0 (Zhou et al.), trained in full and untrained."""
    from rich.console import Console

    from ticketsearch.ablation import ablate as run_ablation
    from ticketsearch.ablation import cells_of
    from ticketsearch.report import ablation as report
    from ticketsearch.report.progress import StepBar
    from ticketsearch.seeds import parse_seeds

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    chosen = {"criteria": criteria, "mask_1": mask_1, "mask_0": mask_0}
    cells = cells_of(**{key: parse_names(text) for key, text in chosen.items() if text is not None}, product=product)
    wanted = parse_seeds(seeds)
    from ticketsearch.tasks import DataSource

    with StepBar(Console(stderr=True)) as bar:
        outcomes = run_ablation(
            task, cells, sparsity=sparsity, seeds=wanted, out=out, device=device, engine=engine,
            source=DataSource(data_root, download), tick=bar.update,
        )  # fmt: skip
    if svg:
        report.write_picture(svg, outcomes)
    if as_json:
        print_json([outcome.model_dump(mode="json") for outcome in outcomes])
    elif as_markdown:
        print(report.markdown(outcomes))
    else:
        print_rich(report.table(outcomes))
