"""The registry: entry points read from metadata, and one of them imported, so that it cannot take the host down."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ticketsearch.errors import PluginError, UnknownName, at
from ticketsearch.system import alarm

STRATEGIES = "ticketsearch.strategies"
TASKS = "ticketsearch.tasks"
ENCODINGS = "ticketsearch.encodings"
PREDICTORS = "ticketsearch.predictors"
KIND = {STRATEGIES: "strategy", TASKS: "task", ENCODINGS: "encoding", PREDICTORS: "predictor"}
OWN = "ticketsearch"
"""The distribution whose plug-ins are the host's own."""
IMPORT_LIMIT_S = 60.0


@dataclass(frozen=True)
class Plugin:
    """One registered name, read from metadata alone."""

    name: str
    value: str
    distribution: str
    version: str
    entry_point: EntryPoint

    def load(self) -> Any:
        """Import the object.

        Raises:
            PluginError: whatever its import raised, naming plug-in and distribution.
        """
        try:
            with _guarded(IMPORT_LIMIT_S):
                return self.entry_point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{self.name!r} ({self.value}) of {self.distribution} {self.version} failed to import"
                f"{at(error, self.value)}: {type(error).__name__}: {error}"
            ) from error

    @property
    def qualified(self) -> str:
        """``distribution:name``, which is never ambiguous."""
        return f"{self.distribution}:{self.name}"


class ImportHangs(BaseException):
    """An import took too long. Not an Exception, so that ``except Exception`` in it does not catch this."""


@contextlib.contextmanager
def _guarded(seconds: float) -> Iterator[None]:
    """What is printed goes to stderr, and what does not end is ended, where the platform can."""

    def expire() -> None:
        raise ImportHangs(f"it did not end within {seconds:g} s")

    with contextlib.redirect_stdout(sys.stderr), alarm(seconds, 1.0, expire):
        yield


def available(group: str) -> list[Plugin]:
    """Everything registered in a group, sorted by name; imports none of it."""
    return _plugins(entry_points(group=group))


def _plugins(points: Iterable[EntryPoint]) -> list[Plugin]:
    found: dict[tuple[str, str], Plugin] = {}
    known: dict[int, tuple[str, str]] = {}
    for point in points:
        if id(point.dist) not in known:  # each look at a distribution's name reads and parses its file
            known[id(point.dist)] = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
        distribution, version = known[id(point.dist)]
        found[point.name, distribution] = Plugin(point.name, point.value, distribution, version, point)
    return [found[key] for key in sorted(found)]


def find(group: str, name: str) -> Plugin:
    """The plug-in of that name; ``distribution:name`` chooses between two of one name.

    Raises:
        UnknownName: nobody registered it.
        PluginError: two distributions did, or the name cannot be seen.
    """
    distribution, _, bare = name.rpartition(":")
    points = entry_points(group=group)
    matches = [p for p in _plugins(points.select(name=bare)) if distribution in ("", p.distribution)]
    if not matches:
        raise UnknownName(KIND[group], name, points.names)
    if not bare.isprintable():
        raise PluginError(f"{KIND[group]} {name!r} has a name that cannot be seen; its author must give it another")
    if len(matches) > 1:
        choices = " or ".join(p.qualified for p in matches)
        raise PluginError(f"{KIND[group]} {name!r} is registered twice; say {choices}")
    return matches[0]


def load(group: str, name: str) -> Any:
    """Find and import one plug-in."""
    return find(group, name).load()
