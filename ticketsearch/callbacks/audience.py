"""The callbacks of one call: checked first, told in turn, and dropped when they fail."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ticketsearch.callbacks.base import Callback, Round, Running
from ticketsearch.errors import CallbackError, InvalidValue, at
from ticketsearch.records.ledger import Trial
from ticketsearch.records.results import Result

HOOKS = ("on_trial", "on_round", "on_result")

Tell: TypeAlias = Callable[..., None]
"""Takes the name of a hook, and what it is told."""


class Audience:
    """Callbacks, told together.

    Raises:
        InvalidValue: one is no :class:`Callback`, or has a hook that nobody calls.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        if isinstance(callbacks, Callback):
            raise InvalidValue(f"callbacks: write a list, [{_name(callbacks)}(...)]")
        for callback in callbacks:
            _check(callback)
        self._callbacks = list(callbacks)
        self._failures: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def tell(self, hook: str, *facts: object) -> None:
        """Call a hook of each, with a copy of its own of everything."""
        for callback in list(self._callbacks):
            try:
                getattr(callback, hook)(*copy.deepcopy(facts))
            except Exception as error:  # its author's own
                self._callbacks.remove(callback)
                self._failures.append(_blame(callback, hook, error))
                print(
                    f"ticketsearch: warning: {self._failures[-1]}; it is not called again, and the run goes on",
                    file=sys.stderr,
                )

    def close(self) -> None:
        """Nothing more will be told."""
        self.tell("close")

    def check(self, kept: str) -> None:
        """Say what failed, and what is ``kept`` all the same.

        Raises:
            CallbackError: a callback did.
        """
        if self._failures:
            raise CallbackError(f"{'; '.join(self._failures)}; {kept}")


class Relay(Callback):
    """Hands on what it is told: from a run of a study to the audience of the study, maybe in another process."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def on_trial(self, trial: Trial, run: Running) -> None:
        """Hands it on."""
        self._tell("on_trial", trial, run)

    def on_round(self, trained: Round, run: Running) -> None:
        """Hands it on."""
        self._tell("on_round", trained, run)

    def on_result(self, result: Result) -> None:
        """Hands it on."""
        self._tell("on_result", result)


def _check(callback: object) -> None:
    if not isinstance(callback, Callback):
        kind = "class" if isinstance(callback, type) else type(callback).__name__
        raise InvalidValue(
            f"callbacks: {_name(callback)}, a {kind}, is not an object of a class derived from ticketsearch.Callback"
        )
    unknown = [name for name in dir(callback) if name.startswith("on_") and name not in HOOKS]
    if unknown:
        raise InvalidValue(
            f"callbacks: nobody calls {unknown[0]} of {_name(callback)}; there are {', '.join(HOOKS)} and close"
        )


def _name(thing: object) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def _blame(callback: Callback, hook: str, error: Exception) -> str:
    """Which callback failed, how and where."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # its author's own
        words = "(its message cannot be told)"
    return f"callback {_name(callback)} failed in {hook}{at(error)}: {type(error).__name__}: {words}"
