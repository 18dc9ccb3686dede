"""The command that re-executes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import DataRoot, Download, Json, print_json
from ticketsearch.visible import visible


def verify(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run; nothing in it is changed.")],
    trials: Annotated[int, typer.Option(help="Evaluations of the search to compute again.", min=0)] = 16,
    task: Annotated[
        str | None, typer.Option(help="Where the task is, if its name does not say: package.module:function.")
    ] = None,
    data_root: DataRoot = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Re-execute a sample of a run's evaluations and its confirmation, and say whether they agree; exit 1 if not."""
    from rich.console import Console

    from ticketsearch.records.results import read_result
    from ticketsearch.report.progress import ProgressBar

    budget = read_result(run).budget
    from ticketsearch.runner.verify import lines_of, verify_run
    from ticketsearch.tasks import DataSource

    with ProgressBar(Console(stderr=True, markup=False, emoji=False), "replay", budget) as bar:
        found = verify_run(run, trials=trials, task=task, source=DataSource(data_root, download), progress=bar)
    if as_json:
        print_json(found.as_dict())
    else:
        print("\n".join(map(visible, lines_of(found))))
    if not found.agrees:
        raise typer.Exit(1)
