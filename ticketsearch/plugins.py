"""Finding strategies and tasks through entry points: list without importing, load one, name the culprit."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ticketsearch.errors import PluginError, UnknownName

STRATEGIES = "ticketsearch.strategies"
TASKS = "ticketsearch.tasks"
_KIND = {STRATEGIES: "strategy", TASKS: "task"}


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
            return self.entry_point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.name!r} ({self.value}) of {self.distribution} {self.version} failed to import: "
                f"{type(error).__name__}: {error}"
            ) from error


def available(group: str) -> list[Plugin]:
    """Everything registered in a group, sorted by name; imports none of it."""
    found: dict[tuple[str, str], Plugin] = {}
    for point in entry_points(group=group):
        distribution = point.dist.name if point.dist else "unknown"
        version = point.dist.version if point.dist else "unknown"
        found[point.name, distribution] = Plugin(point.name, point.value, distribution, version, point)
    return [found[key] for key in sorted(found)]


def find(group: str, name: str) -> Plugin:
    """The plug-in of that name; ``distribution:name`` chooses between two of one name.

    Raises:
        UnknownName: nobody registered it.
        PluginError: two distributions did.
    """
    plugins = available(group)
    distribution, _, bare = name.rpartition(":")
    matches = [p for p in plugins if p.name == bare and distribution in ("", p.distribution)]
    if not matches:
        raise UnknownName(_KIND[group], name, {p.name for p in plugins})
    if len(matches) > 1:
        choices = " or ".join(f"{p.distribution}:{p.name}" for p in matches)
        raise PluginError(f"{_KIND[group]} {name!r} is registered twice; say {choices}")
    return matches[0]


def load(group: str, name: str) -> Any:
    """Find and import one plug-in."""
    return find(group, name).load()
