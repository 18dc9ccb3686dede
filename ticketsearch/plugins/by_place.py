"""What is not registered, by its place: ``package.module:object``, in the current folder or installed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout

from ticketsearch.errors import InvalidValue, PluginError, UnknownName, at


def import_place(kind: str, place: str) -> Callable[..., object]:
    """The function or class at a place.

    Args:
        kind: what it should be, for messages: ``task``, ``encoding``.
        place: ``package.module:object``.

    Raises:
        InvalidValue: it is not of that form.
        UnknownName: no such module, or nothing callable of that name in it.
        PluginError: the module cannot be imported.
    """
    module_name, _, attribute = place.partition(":")
    if module_name.endswith(".py") or os.sep in module_name:
        name = os.path.basename(module_name).removesuffix(".py")
        raise InvalidValue(
            f"{kind} {place!r} is a path; write {name}:{attribute or 'name'}, in the folder that {name}.py lies in, or "
            "with that folder on PYTHONPATH"
        )
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        form = "function" if kind == "task" else "class"
        raise InvalidValue(f"{kind} {place!r} is not of the form package.module:{form}")
    here = os.getcwd()
    sys.path.insert(0, here)  # the folder the command runs in, as `python -m` does
    try:
        with redirect_stdout(sys.stderr):
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UnknownName("module", module_name, [], f"(looked in {here} and the installed packages)") from error
        raise PluginError(f"{kind} {place!r} failed to import{at(error, place)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{kind} {place!r} failed to import{at(error, place)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(here)
    found: Callable[..., object] | None = getattr(module, attribute, None)
    if not callable(found):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        what = "function" if kind == "task" else "class"
        raise UnknownName(f"{what} in {module_name}", attribute, known)
    return found
