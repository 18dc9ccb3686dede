"""The commands about folders of runs: what there is, one of them, and removing some."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import Json, print_json, print_rich
from ticketsearch.visible import visible

runs = typer.Typer(help="List the runs in a folder; or show one, or remove some.")


@runs.command("list")
def list_them(
    out: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder of run folders.")] = Path("runs"),
    state: Annotated[str | None, typer.Option(help="Only finished, begun, damaged or failed ones.")] = None,
    as_json: Json = False,
) -> None:
    """List runs, what became of each, and why."""
    from ticketsearch.errors import UnknownName
    from ticketsearch.records.listing import State, list_runs
    from ticketsearch.report.text import runs_table

    states = State.__args__  # type: ignore[attr-defined] # of a Literal
    if state is not None and state not in states:
        raise UnknownName("state", state, states)
    found = [one for one in list_runs(out) if state in (None, one.state)]
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        print_rich(runs_table(found))


@runs.command("show")
def show(run: Annotated[Path, typer.Argument(help="Folder of a finished run.")], as_json: Json = False) -> None:
    """Print what a finished run found and what it cost."""
    from ticketsearch.records.results import read_finished
    from ticketsearch.report.text import summary

    result = read_finished(run)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        print_rich(summary(result))


@runs.command("remove")
def remove(folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")]) -> None:
    """Delete runs, with their tickets; what is in use, or is no run, is left."""
    from ticketsearch.records.listing import remove_run

    for folder in folders:
        remove_run(folder)
        print(f"removed {visible(str(folder))}")
