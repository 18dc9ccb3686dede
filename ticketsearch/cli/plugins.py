"""The commands about plug-ins: what is installed, whether it works, what it is, and how to begin one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketsearch.cli.options import Json, Settings, parse_settings, print_json
from ticketsearch.visible import visible

if TYPE_CHECKING:
    from ticketsearch.plugins.status import Status

Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 if any plug-in is not ok.")]
Timeout = Annotated[float, typer.Option(help="Seconds of a processor that an import may take.", min=0.1)]
Name = Annotated[str, typer.Argument(help="A registered name, or distribution:name.")]
NewName = Annotated[str, typer.Argument(help="Of what is made: lower case, with hyphens.")]
Folder = Annotated[Path, typer.Option(help="Where the package's folder, ticketsearch-NAME, is made.")]

strategies = typer.Typer(help="List the strategies installed here; or check them, or show one.")
tasks = typer.Typer(help="List the tasks installed here; or show one.")
encodings = typer.Typer(help="List the encodings of masks installed here; or show one.")
predictors = typer.Typer(help="List the predictors of tickets installed here; or show one.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(
        strategies,
        name="strategies",
        invoke_without_command=True,
        short_help="List, show or check installed strategies.",
    )
    app.add_typer(tasks, name="tasks", invoke_without_command=True, short_help="List or show installed tasks.")
    app.add_typer(
        encodings, name="encodings", invoke_without_command=True, short_help="List or show installed encodings."
    )
    app.add_typer(
        predictors, name="predictors", invoke_without_command=True, short_help="List or show installed predictors."
    )
    app.command(short_help="Hold a strategy, task or encoding to its contract.")(check)
    app.command("new-strategy", short_help="Write a package with a strategy that works.")(new_strategy)
    app.command("new-task", short_help="Write a package with a network and data that work.")(new_task)


@strategies.callback()
def list_strategies(context: typer.Context, strict: Strict = False, as_json: Json = False) -> None:
    """List the strategies installed here, with distribution and status; imports none of them."""
    if context.invoked_subcommand is None:
        from ticketsearch.plugins.status import statuses

        _show(statuses(), strict, as_json)


@strategies.command("check")
def check_strategies(timeout: Timeout = 20.0, strict: Strict = False, as_json: Json = False) -> None:
    """Import each installed strategy in a process of its own, and list what became of it."""
    from ticketsearch.plugins.status import check_all

    _show(check_all(timeout_s=timeout), strict, as_json)


@strategies.command("show")
def show_strategy(name: Name, as_json: Json = False) -> None:
    """Print what a strategy does, its source, its options and what it may call."""
    from ticketsearch.testing.describe import as_text, describe_strategy

    described = describe_strategy(name)
    if as_json:
        print_json(described)
    else:
        print(visible(as_text(described), keep="\n"))


@tasks.callback()
def list_tasks(context: typer.Context, as_json: Json = False) -> None:
    """List the tasks installed here, and which distribution each comes from; imports none of them."""
    if context.invoked_subcommand is None:
        from ticketsearch.plugins import TASKS
        from ticketsearch.plugins.status import statuses

        _show(statuses(TASKS), False, as_json)


@tasks.command("show")
def show_task(
    name: Annotated[str, typer.Argument(help="Name of a task, or package.module:function.")], as_json: Json = False
) -> None:
    """Print what a task is and its options; its data are not loaded."""
    from ticketsearch.testing.describe import describe_task, task_as_text

    described = describe_task(name)
    if as_json:
        print_json(described)
    else:
        print(visible(task_as_text(described), keep="\n"))


@encodings.callback()
def list_encodings(context: typer.Context, as_json: Json = False) -> None:
    """List the encodings of masks installed here, and which distribution each comes from; imports none of them."""
    if context.invoked_subcommand is None:
        from ticketsearch.plugins import ENCODINGS
        from ticketsearch.plugins.status import statuses

        _show(statuses(ENCODINGS), False, as_json)


@encodings.command("show")
def show_encoding(
    name: Annotated[str, typer.Argument(help="Name of an encoding, or package.module:Class.")], as_json: Json = False
) -> None:
    """Print what an encoding is, its source and its options."""
    from ticketsearch.testing.describe import describe_encoding, encoding_as_text

    described = describe_encoding(name)
    if as_json:
        print_json(described)
    else:
        print(visible(encoding_as_text(described), keep="\n"))


@predictors.callback()
def list_predictors(context: typer.Context, as_json: Json = False) -> None:
    """List the predictors of tickets installed here, and which distribution each comes from; imports none of them."""
    if context.invoked_subcommand is None:
        from ticketsearch.plugins import PREDICTORS
        from ticketsearch.plugins.status import statuses

        _show(statuses(PREDICTORS), False, as_json)


@predictors.command("show")
def show_predictor(
    name: Annotated[str, typer.Argument(help="Name of a predictor, or package.module:Class.")], as_json: Json = False
) -> None:
    """Print what a predictor is, its source, which way is better, and its options."""
    from ticketsearch.testing.describe import describe_predictor, predictor_as_text

    described = describe_predictor(name)
    if as_json:
        print_json(described)
    else:
        print(visible(predictor_as_text(described), keep="\n"))


def check(name: Name, settings: Settings = None, timeout: Timeout = 20.0, as_json: Json = False) -> None:
    """Hold a strategy, a task or an encoding, by name or module:object, to its contract; exit 1 and name any fault.

    Limits are of seconds of a processor, so that a busy machine makes no plug-in fail.
    """
    from ticketsearch.testing.command import check_named

    report = check_named(name, parse_settings(settings or []), timeout)
    if as_json:
        print_json(report.as_dict())
    else:
        print(visible(str(report), keep="\n"))
    raise typer.Exit(0 if report.passed else 1)


def new_strategy(
    name: NewName,
    kind: Annotated[str, typer.Option(help="search, ask-tell, training or dynamic.")] = "search",
    out: Folder = Path("."),
) -> None:
    """Write an installable package with a strategy that works, its contract test and a README."""
    from ticketsearch.scaffold import next_commands, write_strategy

    folder = write_strategy(name, kind, out)
    print(f"wrote {folder}\n\n{next_commands(folder, name, 'strategy')}")


def new_task(name: NewName, out: Folder = Path(".")) -> None:
    """Write an installable package with a network and a data set, its test and a README."""
    from ticketsearch.scaffold import next_commands, write_task

    folder = write_task(name, out)
    print(f"wrote {folder}\n\n{next_commands(folder, name, 'task')}")


def _show(found: list[Status], strict: bool, as_json: bool) -> None:
    from ticketsearch.plugins.status import as_text, require_ok

    if as_json:
        print_json([asdict(status) for status in found])
    else:
        print(as_text(found))
    if strict:
        require_ok(found)
