"""Settings of a plug-in: read from text, validated as its fields' types."""

from __future__ import annotations

import contextlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ticketsearch.errors import InvalidValue, UnknownName


def read_value(text: str) -> Any:
    """A value as TOML writes it (``32``, ``true``, ``["a", "b"]``), or else text; ``none`` is none."""
    value: Any = text.strip()
    with contextlib.suppress(ValueError, RecursionError):  # not TOML, or more digits or brackets than Python reads
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if len(parsed) == 1 else value
    return None if value == "none" else value


def read_call(what: str, text: str) -> tuple[str, dict[str, Any]]:
    """``name`` or ``name(key=value, ...)``: a plug-in and its settings in one word.

    Raises:
        InvalidValue: it is neither; ``what`` says of what.
    """
    found = re.fullmatch(r"\s*([^()\s]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if found is None:
        raise InvalidValue(f"{what} {text!r} is not of the form NAME or NAME(KEY=VALUE, ...)")
    settings: dict[str, Any] = {}
    for part in _arguments(found[2] or ""):
        key, separator, value = part.partition("=")
        if not separator or not key.strip() or key.strip() in settings:
            raise InvalidValue(f"{what} {text!r}: {part.strip()!r} is not of the form KEY=VALUE, each key once")
        settings[key.strip()] = read_value(value)
    return found[1], settings


def _arguments(text: str) -> list[str]:
    """What is between commas that stand in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not depth and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "[({") - (letter in "])}")
        parts[-1] += letter
    return [part for part in parts if part.strip()]


def build(what: str, cls: type, settings: Mapping[str, Any]) -> Any:
    """An instance of a plug-in's dataclass, each setting read as its field's type; ``what`` it is, for messages.

    Raises:
        UnknownName: no such setting.
        InvalidValue: a value of the wrong type or outside its range.
    """
    known = [field.name for field in fields(cls) if field.init]
    for key in settings:
        if key not in known:
            raise UnknownName(f"parameter of {what}", key, known)
    try:
        built: Any = TypeAdapter(cls).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "parameters"
        raise InvalidValue(f"{what}: {key} = {_short(settings.get(key))}: {first['msg'].lower()}") from error
    for key in settings:
        if not _finite(getattr(built, key)):
            raise InvalidValue(f"{what}: {key} = {_short(settings[key])}: it should be a finite number")
    return built


def _finite(value: object) -> bool:
    """Whether all numbers in a value are: JSON knows no others, and no search means one."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
