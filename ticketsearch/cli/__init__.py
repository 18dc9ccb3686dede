"""The command line: reads arguments, calls the library, prints. No logic, and no heavy import before it is needed."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ticketsearch.cli import experiments, export, plugins, verify
from ticketsearch.cli.options import (
    DataRoot,
    Device,
    Download,
    Engine,
    Executor,
    Granularity,
    Json,
    Keep,
    Markdown,
    RayAddress,
    Settings,
    TaskName,
    TaskSettings,
    parse_settings,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue, TicketsearchError
from ticketsearch.visible import visible

app = typer.Typer(
    help="Search for lottery tickets: sparse masks under which a network trains as well as the whole.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
"""Whatever the parser refuses; its class is not exported, the one below it is."""

DEBUG = "--debug"


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error; also TICKETSEARCH_DEBUG=1.")
    ] = False,
) -> None:
    """Search for lottery tickets: sparse masks under which a network trains as well as the whole."""


plugins.add_to(app)
app.command()(experiments.compare)
app.command()(experiments.ablate)
app.command()(verify.verify)
app.command()(export.export)

Out = Annotated[Path, typer.Option(help="Folder of run folders.")]


@app.command()
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
        str | None, typer.Option(help="Length of the evaluator's short training: '100step', '2ep'.")
    ] = None,
    orders: Annotated[int, typer.Option(help="Full trainings of the ticket, each with its own data order.")] = 3,
    controls: Annotated[
        list[str] | None,
        typer.Option(
            "--control", metavar="NAME", help="Also confirm: reinitialise, shuffle-mask, shuffle-weights, invert."
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


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="Folder of run folders, one run folder, or an archive.")] = Path("runs"),
    task: Annotated[str | None, typer.Option(help="Only runs on this task.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Only runs at this sparsity.")] = None,
    as_markdown: Markdown = False,
    svg: Annotated[Path | None, typer.Option(help="Also write the leaderboard as a picture.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write everything as one page, to be opened offline.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write raw values, a line for each run.")] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Also write all results as one compact file, to be reported from.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the leaderboard of finished runs, grouped by task and sparsity, and the verdicts on searches."""
    from ticketsearch import leaderboard
    from ticketsearch.folders import check_outputs
    from ticketsearch.leaderboard.analysis import analyse
    from ticketsearch.leaderboard.studies import load_study, write_archive
    from ticketsearch.report import text, verdicts

    if as_json and as_markdown:
        raise InvalidValue("--json and --markdown exclude each other")
    check_outputs(path for path in (archive, svg, csv, html) if path)
    study = load_study(runs)
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

        from ticketsearch.report.html import write_html

        write_html(html, study, sections, datetime.now().astimezone())
    if as_json:
        found = {"groups": [group.as_dict() for group in groups], "sections": [one.as_dict() for one in sections]}
        print_json(found | {"unreadable": problems})
    elif as_markdown:
        print("\n\n".join([text.markdown(groups), *([verdicts.as_markdown(judged)] if judged else [])]))
    else:
        print_rich(text.leaderboard(groups))
        if judged:
            print_rich(verdicts.as_renderables(judged))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def main() -> NoReturn:
    """Entry point of the console script: errors are one line on stderr, and no traceback unless it is asked for."""
    _mend_streams()
    debug = _wants_debugging()
    try:
        code = app(prog_name="ticketsearch", standalone_mode=False) or 0
        sys.stdout.flush()
    except TicketsearchError as error:
        if debug:
            traceback.print_exc()
        code = _refuse(str(error), error.exit_code)
    except _UsageError as error:
        code = _refuse_usage(error)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # whoever reads has read enough
        code = 1
    except OSError as error:  # what we write ourselves has errors of its own; this is a pipe, a terminal, a folder
        code = _refuse(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    if code == 130:
        print("ticketsearch: interrupted; the same command goes on where this one stopped", file=sys.stderr)
    sys.exit(code)


def _wants_debugging() -> bool:
    """Whether errors come with tracebacks: ``--debug``, at any place, or TICKETSEARCH_DEBUG in the environment."""
    own = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    if DEBUG not in own:
        return os.environ.get("TICKETSEARCH_DEBUG", "") not in ("", "0")
    sys.argv.remove(DEBUG)
    return True


def _mend_streams() -> None:
    """What is closed swallows what is written to it; what an encoding has no letters for is written as it can be."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refuse(message: str, code: int) -> int:
    print(f"ticketsearch: error: {visible(' '.join(message.split()))}", file=sys.stderr)
    return code


def _refuse_usage(error: Exception) -> int:
    """A command line that does not parse; without any arguments, the help."""
    context = getattr(error, "ctx", None)
    message: str = error.format_message()  # type: ignore[attr-defined] # of the parser's base class, which is not exported
    if context is not None and message in ("", context.get_help()):
        error.show()  # type: ignore[attr-defined]
        return 2
    where = f"; see '{context.command_path} --help'" if context is not None else ""
    return _refuse(message.rstrip(".") + where, 2)
