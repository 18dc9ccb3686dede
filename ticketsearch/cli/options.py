"""What commands share: options of one meaning, and how values are read and printed."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated, Any

import typer

from ticketsearch.errors import InvalidValue

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
]


def parse_settings(pairs: list[str]) -> dict[str, Any]:
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


def print_json(value: Any) -> None:
    """On stdout."""
    print(json.dumps(value, indent=1))
