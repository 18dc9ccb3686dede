"""The command line: reads arguments, calls the library, prints. No logic, and no heavy import before it is needed."""

from __future__ import annotations

import importlib.metadata
import io
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from ticketsearch.cli import (
    compare,
    connect,
    descent,
    experiments,
    export,
    plugins,
    predict,
    report,
    run,
    runs,
    strong,
    verify,
)
from ticketsearch.errors import TicketsearchError
from ticketsearch.visible import visible

app = typer.Typer(
    help="Search for lottery tickets: sparse masks under which a network trains as well as the whole.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
"""Whatever the parser refuses; its class is not exported, the one below it is."""

DEBUG = "--debug"


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ticketsearch {importlib.metadata.version('ticketsearch')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error; also TICKETSEARCH_DEBUG=1.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Search for lottery tickets: sparse masks under which a network trains as well as the whole."""


app.command(short_help="Search for a ticket, confirm it, keep both in a folder.")(run.run)
app.command(short_help="Run strategies over paired seeds; print the leaderboard.")(compare.compare)
app.command(short_help="Show the leaderboard of finished runs, and verdicts.")(report.report)
app.add_typer(
    runs.runs, name="runs", no_args_is_help=True, short_help="List the runs in a folder, show one, remove some."
)
app.command(short_help="Execute parts of a finished run again, and compare.")(verify.verify)
app.command(short_help="Write the network of a run to a file, for use elsewhere.")(export.export)
app.command(short_help="Find what makes a ticket one: criteria, start weights.")(experiments.ablate)
app.command(short_help="Measure what a short score can know, before a search.")(experiments.fidelity)
app.command(short_help="Measure what of a ticket an encoding can express.")(experiments.encode)
app.command(short_help="Measure barriers between trained networks.")(connect.connect)
app.command(short_help="Find parts of random networks that need no training.")(strong.strong)
app.command(short_help="Test loss over capacity: widths, sparsities, double descent.")(descent.descent)
app.command(short_help="Measure how well predictors tell tickets untrained.")(predict.predict)
plugins.add_to(app)


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
    if context is not None and message.startswith("No such command 'list'"):
        return _refuse(f"{message.rstrip('.')}; '{context.command_path}' alone lists them", 2)
    if context is not None and message in ("", context.get_help()):
        error.show()  # type: ignore[attr-defined]
        return 2
    where = f"; see '{context.command_path} --help'" if context is not None else ""
    return _refuse(message.rstrip(".") + where, 2)
