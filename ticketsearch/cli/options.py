"""What commands share: options of one meaning, and how values are read and printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketsearch.errors import InvalidValue, MissingData

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
]
TaskName = Annotated[str, typer.Option("--task", help="Name of a task, or package.module:function.")]
TaskSettings = Annotated[
    list[str] | None, typer.Option("--task-set", metavar="KEY=VALUE", help="An option of the task; repeatable.")
]
Sparsity = Annotated[float, typer.Option(help="Fraction of the weights to prune, in [0, 1).")]
Granularity = Annotated[
    str, typer.Option(help="What is pruned: weight, channel (whole output channels), or blocks N:M like 2:4.")
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep", metavar="LAYER", help="A layer left dense, by name or pattern ('head', 'blocks.*'); repeatable."
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
Engine = Annotated[str, typer.Option(help="sparse, dense, mixed, or auto: whichever is faster.")]
Executor = Annotated[str, typer.Option(help="local, or ray: the workers of a Ray cluster.")]
RayAddress = Annotated[
    str | None, typer.Option(help="Of the cluster, host:port or auto; default the one found, or one of its own.")
]


def _there(context: typer.Context, root: Path | None) -> Path | None:
    """A folder of data sets that is there, or is to be made; a wrong one is named before PyTorch is imported."""
    if root is not None and not root.is_dir() and not context.params.get("download"):
        raise MissingData(f"--data-root {root} is no folder; name the one that holds the data sets, or add --download")
    return root


DataRoot = Annotated[
    Path | None,
    typer.Option(callback=_there, help="Folder of data sets; default TICKETSEARCH_DATA or the cache."),
]
Download = Annotated[bool, typer.Option("--download", is_eager=True, help="Fetch missing data sets.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")]


def parse_names(text: str) -> list[str]:
    """``a,b,c``, each once."""
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise InvalidValue(f"{text!r} is not a list of different names, like a,b,c")
    return names


def parse_numbers(text: str, option: str) -> list[float]:
    """``0.5,0.9``, each once."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidValue(f"{option} {text!r} is not a list of numbers, like 0.5,0.9") from error
    if len(set(numbers)) < len(numbers):
        raise InvalidValue(f"{option} {text!r} names a number twice")
    return numbers


def print_rich(renderable: RenderableType) -> None:
    """On stdout, wide where that is not a terminal."""
    from rich.console import Console

    width = None if Console().is_terminal else 160
    Console(width=width, markup=False, emoji=False).print(renderable)  # names are no markup


def parse_settings(pairs: list[str], option: str = "--set") -> dict[str, Any]:
    """``key=value`` pairs; values are TOML (``32``, ``true``, ``["a", "b"]``) or else text; ``none`` is none."""
    from ticketsearch.plugins.settings import read_value

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key.strip():
            raise InvalidValue(f"{option} {pair!r} is not of the form KEY=VALUE")
        if key.strip() in settings:
            raise InvalidValue(f"{option} {key.strip()!r} is given twice")
        settings[key.strip()] = read_value(text)
    return settings


def print_json(value: Any) -> None:
    """On stdout; what is no number is null, for JSON has none."""
    print(json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), indent=1))
