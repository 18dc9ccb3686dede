"""A task's options: the keyword parameters of the function that makes it, read as the types it declares."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ticketsearch.errors import InvalidValue, PluginError, UnknownName

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def wants_source(factory: Callable[..., object]) -> bool:
    """Whether a factory has a positional parameter without a default: it is for the data source."""
    parameters = inspect.signature(factory).parameters.values()
    return any(p.kind in POSITIONAL and p.default is inspect.Parameter.empty for p in parameters)


def options_of(factory: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """Name -> parameter of each option: what is keyword-only, or has a default."""
    keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: parameter
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in keyword
        and (parameter.kind is inspect.Parameter.KEYWORD_ONLY or parameter.default is not inspect.Parameter.empty)
    }


def types_of(factory: Callable[..., object]) -> dict[str, Any]:
    """Name -> declared type of each option; ``Any`` where none can be read."""
    try:
        hints = get_type_hints(factory)
    except Exception:  # not a function, or an annotation that only its author's type checker can read
        hints = {}
    return {name: hints.get(name, Any) for name in options_of(factory)}


def complete_options(
    task: str, factory: Callable[..., object], given: Mapping[str, Any], also: Sequence[str] = ()
) -> dict[str, Any]:
    """Every option of a task with its value: what was given, read as its type, and defaults.

    Args:
        task: its name, for messages.
        factory: what makes it.
        given: option -> value; strings are read as the option's type.
        also: names that are read elsewhere, for messages.

    Raises:
        UnknownName: no such option.
        InvalidValue: a value of the wrong type, or none for an option that has no default.
        PluginError: a default that JSON cannot hold.
    """
    known, types = options_of(factory), types_of(factory)
    for key in given:
        if key not in known:
            raise UnknownName(f"option of task {task!r}", key, [*known, *also] or ["(it has none)"])
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in given:
            if parameter.default is inspect.Parameter.empty:
                raise InvalidValue(f"task {task!r} needs option {name}: --task-set {name}=VALUE")
            values[name] = parameter.default
            continue
        try:
            values[name] = TypeAdapter(types[name]).validate_python(given[name])
        except ValidationError as error:
            words = error.errors()[0]["msg"].lower()
            raise InvalidValue(f"task {task!r}: {name} = {str(given[name])[:200]!r}: {words}") from error
        if isinstance(values[name], float) and not math.isfinite(values[name]):
            raise InvalidValue(f"task {task!r}: {name} = {given[name]!r}: it should be a finite number")
    return values


def as_json(task: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON values, for a run's record.

    Raises:
        PluginError: one that JSON cannot hold, so that a run could not be named after it.
    """
    try:
        plain: dict[str, Any] = to_jsonable_python(dict(values))
    except PydanticSerializationError as error:
        raise PluginError(f"task {task!r}: its options must be JSON values: {error}") from error
    return plain


def documented(thing: object, heading: str = "Args") -> tuple[str, dict[str, str]]:
    """A docstring before a heading like "Args", and name -> text of each entry under it."""
    text = inspect.cleandoc(thing.__doc__ or "")
    before, _, section = text.partition(f"{heading}:\n")
    section = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
    entries = re.split(r"\n(?=\S)", inspect.cleandoc("\n" + section)) if section else []
    words = {}
    for entry in entries:
        name, colon, about = entry.strip().partition(":")
        if colon and name.isidentifier():
            words[name] = " ".join(about.split())
    return before.strip(), words
