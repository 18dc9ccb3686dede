"""A predictor by name, with its settings in brackets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from ticketsearch import plugins
from ticketsearch.errors import UnknownName
from ticketsearch.plugins.by_place import import_place
from ticketsearch.plugins.settings import build, read_call
from ticketsearch.problem.prediction import Predictor


def predictor_named(text: str) -> Predictor:
    """A predictor as it is named: ``snip``, or ``snip(steps=100)`` with settings, or ``package.module:Class``.

    Raises:
        UnknownName: no such predictor or setting.
        InvalidValue: a value of the wrong type or outside its range.
        PluginError: what is registered is no predictor.
    """
    name, settings = read_call("predictor", text)
    return cast("Predictor", build(f"predictor {name!r}", predictor_class(name), settings))


@lru_cache(maxsize=64)
def predictor_class(name: str) -> type:
    """The class registered under a name, or at ``package.module:Class``.

    Raises:
        UnknownName: there is none.
        PluginError: it is no predictor, or cannot be imported.
    """
    try:
        plugin = plugins.find(plugins.PREDICTORS, name)
    except UnknownName:
        if ":" not in name:
            raise
        found: Any = import_place("predictor", name)
        plugins.require_predictor(found, f"predictor {name!r}")
    else:
        found = plugin.load()
        plugins.require_predictor(found, f"predictor {name!r} of {plugin.distribution} {plugin.version}")
    cls: type = found
    return cls
