"""The commands that measure one thing by many trainings: what makes a ticket, what a score or an encoding can know."""

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
    TaskName,
    TaskSettings,
    parse_names,
    parse_settings,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue


def ablate(
    task: TaskName = "mnist1d-mlp",
    task_settings: TaskSettings = None,
    sparsity: Sparsity = 0.9,
    output_rate: Annotated[float, typer.Option(help="Sparsity of the last layer, relative to the others'.")] = 1.0,
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

    from ticketsearch.report import ablation as report
    from ticketsearch.report.progress import StepBar
    from ticketsearch.seeds import parse_seeds
    from ticketsearch.studies.ablation import Plan, cells_of
    from ticketsearch.studies.ablation import ablate as run_ablation

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    chosen = {"criteria": criteria, "mask_1": mask_1, "mask_0": mask_0}
    cells = cells_of(**{key: parse_names(text) for key, text in chosen.items() if text is not None}, product=product)
    wanted, task_options = parse_seeds(seeds), parse_settings(task_settings or [], "--task-set")
    from ticketsearch.tasks import DataSource, load_task

    with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
        outcomes = run_ablation(
            load_task(task, DataSource(data_root, download), task_options),
            Plan(cells, sparsity, output_rate, wanted),
            out=out,
            device=device,
            engine=engine,
            tick=bar.update,
        )
    if svg:
        report.write_picture(svg, outcomes)
    if as_json:
        print_json([outcome.model_dump(mode="json") for outcome in outcomes])
    elif as_markdown:
        print(report.markdown(outcomes))
    else:
        print_rich(report.table(outcomes))


def fidelity(
    task: TaskName = "mnist1d-mlp",
    task_settings: TaskSettings = None,
    sparsity: Sparsity = 0.9,
    granularity: Granularity = "weight",
    masks: Annotated[int, typer.Option(help="Random masks; of a run, at most so many.", min=3)] = 64,
    of: Annotated[Path | None, typer.Option(metavar="RUN", help="Masks of this run's search.")] = None,
    steps: Annotated[str, typer.Option(help="Lengths of short trainings: 100step,1ep. Default about the task's.")] = "",
    orders: Annotated[int, typer.Option(help="Data orders of each short score.", min=2)] = 2,
    confirmations: Annotated[int, typer.Option(help="Full trainings of each mask.", min=2)] = 3,
    budget: Annotated[str, typer.Option(help="Of the search to be made, for the recommendation.")] = "2000ep",
    seed: Annotated[int, typer.Option(help="Of initial weights, masks and data orders.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of what was measured; it is not measured twice.")] = Path(
        "rankings"
    ),
    html: Annotated[Path | None, typer.Option(help="Also write a picture, as a page.")] = None,
    device: Device = "cpu",
    engine: Engine = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Measure how well short scores rank masks, and what any score could know, before a search is paid for."""
    from rich.console import Console

    from ticketsearch.cost import parse_epochs, parse_steps
    from ticketsearch.engine import make_engine
    from ticketsearch.leaderboard.ranking import Ranking
    from ticketsearch.records.results import read_result
    from ticketsearch.records.spec import read_spec
    from ticketsearch.report import ranking as report
    from ticketsearch.report.progress import StepBar
    from ticketsearch.runner.again import searched_masks
    from ticketsearch.runner.curve import FIDELITIES
    from ticketsearch.runner.setup import Setup, task_of
    from ticketsearch.seeds import stream
    from ticketsearch.studies.ranking import measure_ranking
    from ticketsearch.tasks import DataSource, load_task

    epochs, source = parse_epochs(budget), DataSource(data_root, download)
    if of is None:
        loaded = load_task(task, source, parse_settings(task_settings or [], "--task-set"))
        setup = Setup.of(loaded, make_engine(loaded, device, engine), seed, granularity)
        space, rng = setup.units.space, stream(seed, "ranking", "masks")
        population = space.random(space.n_kept(sparsity), rng, masks)
    else:
        spec, found = read_spec(of), read_result(of)
        loaded = task_of(spec, found.task_source, source)
        setup = Setup.of(loaded, make_engine(loaded, spec.device, spec.engine), spec.seed, spec.granularity)
        population = searched_masks(of, setup, masks)
    lengths = [round(loaded.fidelity * factor) for factor in FIDELITIES]
    if steps:
        lengths = [parse_steps(one, loaded.steps_per_epoch, "steps") for one in parse_names(steps)]
    lengths = sorted({min(max(1, length), loaded.recipe.steps) for length in lengths})
    with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
        record = measure_ranking(
            setup, population, lengths, orders=orders, confirmations=confirmations, out=out, tick=bar.update
        )
    ranking = Ranking.of(record, epochs)
    title = f"{loaded.name}, sparsity {record.sparsity:g}, seed {setup.seed}"
    if html:
        report.write_picture(html, ranking, title)
    if as_json:
        print_json(ranking.as_dict())
    else:
        print_rich(report.table(ranking, title))


def encode(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    encoding: Annotated[
        list[str] | None,
        typer.Option("--encoding", metavar="NAME", help="neurons, 'degrees(alpha=0.5)', ...; repeatable."),
    ] = None,
    orders: Annotated[int, typer.Option(help="Full trainings of each mask.", min=1)] = 3,
    task: Annotated[str | None, typer.Option(help="Where the run's task is, if its name does not say.")] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Measure how much of a ticket survives being written in an encoding: its degrees, its best fit."""
    from dataclasses import asdict

    from rich.console import Console

    from ticketsearch.engine import make_engine
    from ticketsearch.records.results import read_result
    from ticketsearch.records.spec import read_spec
    from ticketsearch.records.ticket_file import load_ticket
    from ticketsearch.report.progress import StepBar
    from ticketsearch.report.ranking import written_table
    from ticketsearch.runner.apart import claimed_ticket
    from ticketsearch.runner.setup import Setup, task_of
    from ticketsearch.strategies.encoding import encoding_settings
    from ticketsearch.studies.encode import write_ticket
    from ticketsearch.tasks import DataSource

    names = encoding or ["neurons", "degrees", "layer-density"]
    for name in names:
        encoding_settings(name)
    spec, result, saved = read_spec(run), read_result(run), load_ticket(run)
    loaded = task_of(spec, task or result.task_source, DataSource(data_root))
    setup = Setup.of(loaded, make_engine(loaded, spec.device, spec.engine), spec.seed, spec.granularity)
    ticket = claimed_ticket(saved, setup.units)
    with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
        found = write_ticket(setup, ticket, names, spec.sparsity, orders, bar.update)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        print_rich(
            written_table(found, f"{spec.strategy} on {spec.task}, sparsity {spec.sparsity:g}, seed {spec.seed}")
        )
