"""The status of every plug-in, with distribution, version and reason; a broken one harms no other.

Listing imports nothing: it knows conflicts from metadata, many faults from source text, and the rest from the last
``strategies check``, which imports each plug-in in a process of its own and whose findings are remembered in the user's
cache until a file or an installed package changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ticketsearch.errors import PluginError
from ticketsearch.plugins.interface import API_VERSION, Fault, State
from ticketsearch.plugins.probe import TIMEOUT_S, probe_all
from ticketsearch.plugins.registry import KIND, OWN, STRATEGIES, Plugin, available
from ticketsearch.plugins.static import find_module, forget, purpose_of, static_fault
from ticketsearch.records.files import write_atomically
from ticketsearch.visible import visible


@dataclass(frozen=True)
class Status:
    """One plug-in and what is known of it.

    Attributes:
        name: as registered.
        distribution: who brings it.
        version: of the distribution.
        value: ``module:attribute``.
        status: ``ok``; ``broken``: it cannot be imported; ``invalid``: it is no strategy; ``incompatible``: written for
            another interface; ``conflict``: two distributions register the name, and neither wins.
        reason: in words; empty if ok.
        imported: whether this was found by importing it; otherwise, from metadata and source text.
        purpose: what it does, in a line; empty if its source does not say.
    """

    name: str
    distribution: str
    version: str
    value: str
    status: State
    reason: str
    imported: bool
    purpose: str = ""


def statuses(group: str = STRATEGIES) -> list[Status]:
    """Every plug-in of a group; imports none."""
    plugins = available(group)
    memory = _read_memory()
    forget()
    found = []
    for plugin in plugins:
        fault, imported = None, False
        if plugin.distribution != OWN:
            key = _key(plugin)
            if key in memory:
                fault, imported = memory[key], True
            else:
                fault = static_fault(plugin.entry_point.module, plugin.entry_point.attr, strategy=group == STRATEGIES)
        found.append((plugin, fault, imported))
    return _with_conflicts(found)


def check_all(group: str = STRATEGIES, timeout_s: float = TIMEOUT_S) -> list[Status]:
    """Every plug-in of a group; all but our own are imported, each in a process of its own, and remembered."""
    plugins = available(group)
    foreign = [plugin for plugin in plugins if plugin.distribution != OWN]
    points = [(plugin.entry_point.module, plugin.entry_point.attr, KIND[group]) for plugin in foreign]
    faults = dict(zip((plugin.qualified for plugin in foreign), probe_all(points, timeout_s), strict=True))
    forget()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        _write_memory({_key(plugin): faults[plugin.qualified] for plugin in foreign})
    return _with_conflicts([(plugin, faults.get(plugin.qualified), plugin.distribution != OWN) for plugin in plugins])


def as_text(found: list[Status]) -> str:
    """A line for each."""
    rows = [
        [
            visible(text)
            for text in (s.name, s.status, f"{s.distribution} {s.version}", s.reason or s.purpose or s.value)
        ]
        for s in found
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return "\n".join("  ".join([*(f"{row[i]:{widths[i]}}" for i in range(3)), row[3]]) for row in rows)


def require_ok(found: list[Status]) -> None:
    """For ``--strict``.

    Raises:
        PluginError: one of them is not ok.
    """
    bad = [f"{s.distribution}:{s.name} is {s.status} ({s.reason})" for s in found if s.status != "ok"]
    if bad:
        raise PluginError(f"{len(bad)} of {len(found)} plug-ins: {'; '.join(bad)}")


def _with_conflicts(found: list[tuple[Plugin, Fault | None, bool]]) -> list[Status]:
    """A name of two distributions is a conflict, unless something worse is known of the plug-in itself."""
    names = Counter(plugin.name for plugin, _, _ in found)
    result = []
    for plugin, fault, imported in found:
        if fault is None and names[plugin.name] > 1:
            others = [p.distribution for p, _, _ in found if p.name == plugin.name and p is not plugin]
            fault = Fault("conflict", f"also in {', '.join(others)}; say {plugin.qualified}")
        state, reason = fault or Fault("ok", "")
        purpose = purpose_of(plugin.entry_point.module, plugin.entry_point.attr)
        facts = plugin.name, plugin.distribution, plugin.version, plugin.value
        result.append(Status(*facts, state, reason, imported, purpose))
    return result


def _memory_file() -> Path:
    folder = os.environ.get("TICKETSEARCH_CACHE")
    if not folder:
        import platformdirs

        folder = platformdirs.user_cache_dir("ticketsearch")
    return Path(folder) / "plugins.json"


def _read_memory() -> dict[str, Fault | None]:
    try:
        stored = json.loads(_memory_file().read_text())
        return {key: Fault(*value) if value else None for key, value in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _write_memory(faults: dict[str, Fault | None]) -> None:
    content = {key: list(fault) if fault else None for key, fault in faults.items()}
    path = _memory_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1).encode())


def _key(plugin: Plugin) -> str:
    """Changes with the plug-in's file, with what is installed, and with this package."""
    spec = find_module(plugin.entry_point.module)
    times = [_mtime(spec.origin if spec else None), *(_mtime(entry) for entry in sys.path if "-packages" in entry)]
    return f"{plugin.qualified} {plugin.version} {plugin.value} {API_VERSION} {sys.version_info[:3]} {times}"


def _mtime(path: str | None) -> int:
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0
