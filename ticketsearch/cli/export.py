"""The command that writes a run's network to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketsearch.cli.options import DataRoot, Download, Json, print_json, print_rich
from ticketsearch.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

    from ticketsearch.exporting import Exported


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run; nothing in it is changed.")],
    output: Annotated[Path, typer.Option(help="The file; state dicts are safetensors unless it ends in .pt.")],
    file_format: Annotated[str, typer.Option("--format", help="state-dict, torch-prune, onnx or compact.")] = "compact",
    start: Annotated[bool, typer.Option("--start", help="The weights training starts from, not the trained.")] = False,
    batch: Annotated[int, typer.Option(help="Examples at a time, for the latency.")] = 64,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    task: Annotated[
        str | None, typer.Option(help="Where the task is, if its name does not say: package.module:function.")
    ] = None,
    data_root: DataRoot = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Write a run's network for use elsewhere, without its dead channels if so asked, and say what that saves."""
    from ticketsearch.exporting import Latency, lines_of
    from ticketsearch.exporting import export as write
    from ticketsearch.exporting.formats import require
    from ticketsearch.records.results import read_result
    from ticketsearch.records.spec import read_spec
    from ticketsearch.runner.setup import task_of
    from ticketsearch.tasks import DataSource

    require(file_format)
    result, source = read_result(run), DataSource(data_root, download)
    loaded = task_of(read_spec(run), task or result.task_source, source)
    latency = Latency(batch)
    found = write(run, output, format=file_format, start=start, force=force, task=loaded, latency=latency)
    if as_json:
        print_json(found.as_dict())
        return
    print_rich(_table(found))
    print("\n".join(map(visible, lines_of(found))))


def _table(found: Exported) -> Table:
    from rich.table import Table

    table = Table("", "dense", "exported", "times")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, (before, after), digits in (
        ("parameters", found.parameters, 0),
        ("FLOPs of one example", found.flops, 0),
        (f"ms for {found.batch}, one thread, {found.runtime}", found.latency_ms, 3),
    ):
        table.add_row(name, f"{before:,.{digits}f}", f"{after:,.{digits}f}", f"{before / after:.2f}")
    return table
