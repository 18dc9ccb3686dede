"""What the host asks of a plug-in's class, and which version of the interface it was written for.

The version is one integer. It is raised when a strategy that worked would no longer work; a new verb or a new optional
argument does not raise it. A class states its own as ``ticketsearch_api: ClassVar[int] = 1``; one that states none is
taken to be written for the current version.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, NamedTuple

from ticketsearch.errors import PluginError

API_VERSION = 1
SINCE = {1: "0.1.0"}
"""Version of the interface -> the first ticketsearch that speaks it."""
ATTRIBUTE = "ticketsearch_api"

State = Literal["ok", "broken", "invalid", "incompatible", "conflict", "missing"]


class Fault(NamedTuple):
    """Why a plug-in cannot be used."""

    state: State
    reason: str


def strategy_fault(found: Any) -> Fault | None:
    """What is wrong with an object registered as a strategy; ``None`` if nothing."""
    return _fault(found, "search")


def encoding_fault(found: Any) -> Fault | None:
    """What is wrong with an object registered as an encoding; ``None`` if nothing."""
    return _fault(found, "build")


def predictor_fault(found: Any) -> Fault | None:
    """What is wrong with an object registered as a predictor; ``None`` if nothing."""
    fault = _fault(found, "predict", "problem", "masks")
    if fault is None and (isinstance(sign := getattr(found, "sign", None), bool) or sign not in (1, -1)):
        return Fault("invalid", f"its sign is {sign!r}; say sign: ClassVar[int] = 1 if higher is better, else -1")
    return fault


def _fault(found: Any, method: str, *arguments: str) -> Fault | None:
    """What is wrong with an object that should be a dataclass of settings with ``method(problem)``, or others."""
    arguments = arguments or ("problem",)
    call = f"{method}({', '.join(arguments)})"
    if not (isinstance(found, type) and is_dataclass(found) and callable(getattr(found, method, None))):
        return Fault("invalid", f"{found!r} is not a dataclass with a {call} method")
    fault = version_fault(getattr(found, ATTRIBUTE, API_VERSION))
    if fault:
        return fault
    function: Any = getattr(found, method)
    try:
        signature = inspect.signature(function)
        signature.bind(None, *arguments)
    except TypeError:
        return Fault("invalid", f"its {method}{signature} cannot be called as {call}")
    except ValueError:  # no signature to be had
        pass
    needed = [f.name for f in fields(found) if f.init and f.default is MISSING and f.default_factory is MISSING]
    if needed:
        return Fault("invalid", f"its parameters {', '.join(needed)} have no defaults")
    return None


def version_fault(stated: Any) -> Fault | None:
    """What is wrong with the interface version a plug-in states."""
    if isinstance(stated, bool) or not isinstance(stated, int):
        return Fault("invalid", f"its {ATTRIBUTE} = {stated!r} is not an integer")
    if stated == API_VERSION:
        return None
    since = f"interface {API_VERSION} since ticketsearch {SINCE[API_VERSION]}"
    if stated > API_VERSION:
        return Fault("incompatible", f"written for interface {stated}; this host speaks {since}; upgrade ticketsearch")
    return Fault("incompatible", f"written for interface {stated}, replaced by {since}; upgrade the plug-in")


def require_strategy(found: Any, who: str) -> None:
    """Refuse what is no strategy.

    Raises:
        PluginError: naming ``who`` and the fault.
    """
    if fault := strategy_fault(found):
        raise PluginError(f"{who} is {fault.state}: {fault.reason}")


def require_encoding(found: Any, who: str) -> None:
    """Refuse what is no encoding.

    Raises:
        PluginError: naming ``who`` and the fault.
    """
    if fault := encoding_fault(found):
        raise PluginError(f"{who} is {fault.state}: {fault.reason}")


def require_predictor(found: Any, who: str) -> None:
    """Refuse what is no predictor.

    Raises:
        PluginError: naming ``who`` and the fault.
    """
    if fault := predictor_fault(found):
        raise PluginError(f"{who} is {fault.state}: {fault.reason}")
