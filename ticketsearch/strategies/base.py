"""What a strategy is, and making one from a name and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ticketsearch import plugins
from ticketsearch.errors import PluginError
from ticketsearch.masks.ticket import Ticket
from ticketsearch.plugins.settings import build
from ticketsearch.problem import MaskProblem


@runtime_checkable
class Strategy(Protocol):
    """A frozen dataclass of hyperparameters with a ``search`` method."""

    def search(self, problem: MaskProblem) -> Ticket | None:
        """Spend the budget; return a ticket, or ``None`` for the best mask evaluated."""
        ...


def make_strategy(name: str, settings: Mapping[str, Any]) -> Strategy:
    """Load a registered strategy and set its hyperparameters.

    Args:
        name: as ``ticketsearch strategies`` lists it.
        settings: hyperparameter -> value; strings are read as the hyperparameter's type.

    Raises:
        UnknownName: no such strategy or hyperparameter.
        InvalidValue: a value of the wrong type or outside its range.
        PluginError: what is registered is not a strategy.
    """
    plugin = plugins.find(plugins.STRATEGIES, name)
    cls = plugin.load()
    plugins.require_strategy(cls, f"strategy {name!r} of {plugin.distribution} {plugin.version}")
    return build_strategy(name, cls, settings)


def checked_strategy(strategy: Strategy) -> Strategy:
    """A strategy built in Python, its values validated as those of the command line are."""
    if not is_dataclass(strategy) or isinstance(strategy, type):
        raise PluginError(f"{strategy!r} is not an instance of a dataclass with a search(problem) method")
    return build_strategy(type(strategy).__name__, type(strategy), parameters_of(strategy))


def build_strategy(name: str, cls: type, settings: Mapping[str, Any]) -> Strategy:
    """Set the hyperparameters of a strategy's class, each read as its type; ``name`` is for messages.

    Raises:
        UnknownName: no such hyperparameter.
        InvalidValue: a value of the wrong type or outside its range.
    """
    strategy: Strategy = build(f"strategy {name!r}", cls, settings)
    return strategy


def parameters_of(strategy: Strategy) -> dict[str, Any]:
    """Hyperparameter -> JSON value, defaults included.

    Raises:
        PluginError: one that JSON cannot hold, so that a run could not be named after it.
    """
    values = {field.name: getattr(strategy, field.name) for field in fields(strategy) if field.init}  # type: ignore[arg-type]
    try:
        parameters: dict[str, Any] = to_jsonable_python(values)
    except PydanticSerializationError as error:
        raise PluginError(f"strategy {type(strategy).__name__}: its parameters must be JSON values: {error}") from error
    return parameters
