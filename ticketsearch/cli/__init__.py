"""The command line: reads arguments, calls the library, prints. No logic, and no heavy import before it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ticketsearch.cli import plugins
from ticketsearch.cli.options import Json, Settings, parse_settings, print_json
from ticketsearch.errors import InvalidValue, TicketsearchError

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    help="Search for lottery tickets: sparse masks under which a network trains as well as the whole.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

plugins.add_to(app)

Out = Annotated[Path, typer.Option(help="Folder of run folders.")]


@app.command()
def run(
    strategy: Annotated[str, typer.Option(help="Name of a strategy; see 'ticketsearch strategies'.")],
    task: Annotated[str, typer.Option(help="Name of a task, or package.module:function.")] = "mnist1d-mlp",
    sparsity: Annotated[float, typer.Option(help="Fraction of the weights to prune, in [0, 1).")] = 0.9,
    budget: Annotated[str, typer.Option(help="What the search may spend, in epochs of the dense network.")] = "2000ep",
    seed: Annotated[int, typer.Option(help="Fixes every random choice.")] = 0,
    settings: Settings = None,
    fidelity: Annotated[
        str | None, typer.Option(help="Length of the evaluator's short training: '100step', '2ep'.")
    ] = None,
    orders: Annotated[int, typer.Option(help="Full trainings of the ticket, each with its own data order.")] = 3,
    controls: Annotated[
        list[str] | None,
        typer.Option("--control", metavar="NAME", help="Also confirm: reinitialise, shuffle-mask, shuffle-weights."),
    ] = None,
    out: Out = Path("runs"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    engine: Annotated[str, typer.Option(help="sparse, dense or auto: sparse for perceptrons on a CPU.")] = "auto",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of data sets; default TICKETSEARCH_DATA or the cache.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing data sets.")] = False,
    as_json: Json = False,
) -> None:
    """Search for a ticket, confirm it, and keep both in a folder. A finished run is shown, not repeated."""
    from rich.console import Console

    from ticketsearch.cost import parse_epochs
    from ticketsearch.report.progress import ProgressBar

    limit = parse_epochs(budget)
    parsed = parse_settings(settings or [])
    from ticketsearch import run as search_and_confirm  # torch, from here on
    from ticketsearch.tasks import DataSource

    with ProgressBar(Console(stderr=True), strategy, limit) as bar:
        result = search_and_confirm(
            strategy,
            task,
            sparsity=sparsity,
            budget=budget,
            seed=seed,
            settings=parsed,
            out=out,
            device=device,
            engine=engine,
            orders=orders,
            controls=controls or [],
            fidelity=fidelity,
            source=DataSource(data_root, download),
            progress=bar,
        )
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        from ticketsearch.report.text import summary

        _print(summary(result))


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="Folder of run folders, or one run folder.")] = Path("runs"),
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Also write the leaderboard as a picture.")] = None,
    as_json: Json = False,
) -> None:
    """Show the leaderboard of finished runs, grouped by task and sparsity."""
    from ticketsearch import leaderboard
    from ticketsearch.report import text

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    results, problems = leaderboard.load_results(runs)
    groups = leaderboard.build(results)
    if svg:
        from ticketsearch.report.svg import write_svg

        write_svg(svg, groups)
    if as_json:
        print_json({"groups": [group.as_dict() for group in groups], "unreadable": problems})
    elif as_markdown:
        print(text.markdown(groups))
    else:
        _print(text.leaderboard(groups))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _print(renderable: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    Console(width=None if console.is_terminal else 160).print(renderable)


def main() -> NoReturn:
    """Entry point of the console script: our errors are one line on stderr, never a traceback."""
    try:
        app()
    except TicketsearchError as error:
        message = " ".join(str(error).split())
        print(f"ticketsearch: error: {message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:  # typer makes an exit with 130 of the former
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        print("ticketsearch: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
