"""The command line: reads arguments, calls the library, prints. No logic, and no heavy import before it is needed."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

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

Out = Annotated[Path, typer.Option(help="Folder of run folders.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


@app.command()
def run(
    strategy: Annotated[str, typer.Option(help="Name of a strategy; see 'ticketsearch strategies'.")],
    task: Annotated[str, typer.Option(help="Name of a task, or package.module:function.")] = "mnist1d-mlp",
    sparsity: Annotated[float, typer.Option(help="Fraction of the weights to prune, in [0, 1).")] = 0.9,
    budget: Annotated[str, typer.Option(help="What the search may spend, in epochs of the dense network.")] = "2000ep",
    seed: Annotated[int, typer.Option(help="Fixes every random choice.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
    ] = None,
    fidelity: Annotated[
        str | None, typer.Option(help="Length of the evaluator's short training: '100step', '2ep'.")
    ] = None,
    orders: Annotated[int, typer.Option(help="Full trainings of the ticket, each with its own data order.")] = 3,
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
    parsed = _settings(settings or [])
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
            fidelity=fidelity,
            source=DataSource(data_root, download),
            progress=bar,
        )
    if as_json:
        _print_json(result.model_dump(mode="json"))
    else:
        from ticketsearch.report.text import summary

        _print(summary(result))


@app.command()
def strategies(as_json: Json = False) -> None:
    """List the strategies installed here, and which distribution each comes from."""
    from ticketsearch.plugins import STRATEGIES

    _list_plugins(STRATEGIES, as_json)


@app.command()
def tasks(as_json: Json = False) -> None:
    """List the tasks installed here, and which distribution each comes from."""
    from ticketsearch.plugins import TASKS

    _list_plugins(TASKS, as_json)


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
        _print_json({"groups": [group.as_dict() for group in groups], "unreadable": problems})
    elif as_markdown:
        print(text.markdown(groups))
    else:
        _print(text.leaderboard(groups))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _list_plugins(group: str, as_json: bool) -> None:
    from ticketsearch.plugins import available

    rows = [
        {"name": p.name, "distribution": p.distribution, "version": p.version, "value": p.value}
        for p in available(group)
    ]
    if as_json:
        _print_json(rows)
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['name']:{width}}  {row['distribution']} {row['version']}  {row['value']}")


def _settings(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs; values are TOML (``32``, ``true``, ``["a", "b"]``) or else text; ``none`` is none."""
    import tomllib

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key.strip():
            raise InvalidValue(f"--set {pair!r} is not of the form KEY=VALUE")
        if key.strip() in settings:
            raise InvalidValue(f"--set {key.strip()!r} is given twice")
        value: Any = text.strip()
        with contextlib.suppress(tomllib.TOMLDecodeError):
            parsed = tomllib.loads(f"value = {text}")
            value = parsed["value"] if len(parsed) == 1 else value
        settings[key.strip()] = None if value == "none" else value
    return settings


def _print(renderable: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    Console(width=None if console.is_terminal else 160).print(renderable)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


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
