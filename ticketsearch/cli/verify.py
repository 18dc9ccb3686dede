"""The command that re-executes a run, or a sample of a study's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ticketsearch.cli.options import DataRoot, Download, Json, print_json
from ticketsearch.errors import InvalidValue
from ticketsearch.visible import visible


def verify(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a finished run; or an archive, or a folder of runs.")
    ],
    trials: Annotated[
        int | None, typer.Option(help="Of a run: evaluations of its search to compute again. Default 16.", min=0)
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Of an archive or a folder: runs to be made anew. Default 3.", min=0)
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Where the run's task is, if its name does not say: package.module:function.")
    ] = None,
    data_root: DataRoot = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Execute parts of a run, or some runs of a study, again, and say whether they agree; exit 1 if not.

    Nothing in a run's folder is changed. Of a study it is also said whether it is complete, and what made it.
    """
    from ticketsearch.records.folder import RESULT, SPEC

    if (run / SPEC).exists() or (run / RESULT).exists():
        if sample is not None:
            raise InvalidValue(f"--sample is for an archive or a folder of runs; {run} is one run")
        _run(run, 16 if trials is None else trials, task, data_root, download, as_json)
        return
    if trials is not None or task is not None:
        raise InvalidValue(f"--trials and --task are for one run; {run} is not the folder of one")
    _study(run, 3 if sample is None else sample, data_root, download, as_json)


def _run(run: Path, trials: int, task: str | None, data_root: Path | None, download: bool, as_json: bool) -> None:
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


def _study(place: Path, size: int, data_root: Path | None, download: bool, as_json: bool) -> None:
    from rich.console import Console

    from ticketsearch.leaderboard.soundness import drawn, soundness_of
    from ticketsearch.leaderboard.studies import load_study
    from ticketsearch.report.progress import StepBar
    from ticketsearch.report.soundness import lines_of
    from ticketsearch.studies.again import repeat

    study = load_study(place)
    chosen = drawn(study, size)
    repeated = []
    if chosen:
        seconds = sum(one.cost.wall_s for one in chosen)
        print(
            f"ticketsearch: {len(chosen)} of {len(study.results)} runs are made again; their searches took "
            f"{seconds:,.0f} s, confirmations come on top",
            file=sys.stderr,
        )
        from ticketsearch.tasks import DataSource

        with StepBar(Console(stderr=True, markup=False, emoji=False)) as bar:
            for number, one in enumerate(chosen):
                bar.update(Path(one.run).name, number / len(chosen))
                repeated.append(repeat(one, DataSource(data_root, download)))
    found = soundness_of(study, repeated)
    if as_json:
        print_json(found.as_dict())
    else:
        print("\n".join(map(visible, lines_of(found))))
    if not found.sound:
        raise typer.Exit(1)
