"""``ticketsearch check NAME``: load it elsewhere, then run the checks elsewhere, and report what became of both.

Run as ``python -m ticketsearch.testing.command``, it is that other process: it reads a job as JSON from stdin and
writes a report into a file.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ticketsearch import plugins
from ticketsearch.errors import TicketsearchError, UnknownName
from ticketsearch.plugins.patience import run_limited
from ticketsearch.plugins.probe import (
    MISSING,
    TIMEOUT_S,
    child_environment,
    ended,
    is_encoding_like,
    is_strategy_like,
    probe,
)
from ticketsearch.plugins.registry import KIND, OWN, Plugin
from ticketsearch.testing.report import CheckResult, Report

LIMIT_S = 600.0


def find_any(name: str) -> tuple[Plugin, str]:
    """A strategy of that name, or else a task, or else an encoding, and its group.

    Raises:
        UnknownName: none of them.
        PluginError: the name is registered twice.
    """
    first: UnknownName | None = None
    for group in KIND:
        try:
            return plugins.find(group, name), group
        except UnknownName as unknown:
            first = first or unknown
    assert first is not None
    raise first


def check_named(name: str, settings: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Report:
    """Check a strategy, a task or an encoding, installed or not; it may crash, exit and hang as it likes.

    Args:
        name: as registered, ``distribution:name``, or ``package.module:object``: the class of a strategy or an
            encoding or an instance of it, or a function that makes a task.
        settings: of a strategy or an encoding, or options of a task.
        timeout_s: seconds of a processor that its import may take.
    """
    try:
        plugin, group = find_any(name)
    except UnknownName:
        module, _, attribute = name.partition(":")
        if not attribute or not all(part.isidentifier() for part in (*module.split("."), attribute)):
            raise
        what, kind, own = f"{name}, in the current folder or installed", "either", False
        job: dict[str, Any] = {"name": name, "group": None}
    else:
        module, attribute, kind = plugin.entry_point.module, plugin.entry_point.attr, KIND[group]
        what, own = f"{plugin.value} of {plugin.distribution} {plugin.version}", plugin.distribution == OWN
        job = {"name": plugin.qualified, "group": group}
    if not own and (fault := probe(module, attribute, kind, timeout_s)):
        if fault.state == MISSING:
            known = [one.name for kinds in KIND for one in plugins.available(kinds)]
            raise UnknownName("strategy, task or encoding", name, known, f"({fault.reason})")
        return Report(name, [CheckResult("loads", "failed", f"{what} is {fault.state}: {fault.reason}")], {})
    loads = CheckResult("loads", "passed", what)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        job |= {"settings": dict(settings), "file": str(file)}
        command = [sys.executable, "-m", "ticketsearch.testing.command"]
        try:
            done = run_limited(command, LIMIT_S, environment=child_environment(), text=json.dumps(job))
            death = f"while it was checked, {ended(done.returncode)}"
        except subprocess.TimeoutExpired:
            death = f"its checks did not end within {LIMIT_S:g} s of a processor"
        answer = json.loads(file.read_text()) if file.exists() else None
    if answer is None:
        return Report(name, [loads, CheckResult("survives", "failed", death)], {})
    if "error" in answer:
        if answer["exit_code"] == 2:
            raise _Refused(answer["error"])
        return Report(name, [loads, CheckResult("searches", "failed", answer["error"])], {})
    return Report(name, [loads, *(CheckResult(**check) for check in answer["checks"])], answer["measured"])


class _Refused(TicketsearchError):
    """The settings were wrong; said by the other process."""

    exit_code = 2


def _object_of(name: str, group: str | None) -> tuple[str, Any]:
    """What to hold to a contract: its group, and how it is told to the check."""
    if group == plugins.ENCODINGS:
        return group, plugins.load(group, name)
    if group is not None:
        return group, name
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if is_encoding_like(found):
        return plugins.ENCODINGS, found
    return (plugins.STRATEGIES, found) if is_strategy_like(found) else (plugins.TASKS, name)


def _main() -> None:
    from ticketsearch.strategies.base import build_strategy
    from ticketsearch.testing.contract import check_strategy
    from ticketsearch.testing.encodings import check_encoding
    from ticketsearch.testing.tasks import check_task

    job = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        group, found = _object_of(job["name"], job["group"])
        if group == plugins.STRATEGIES:
            if isinstance(found, type):
                build_strategy(job["name"], found, job["settings"])  # wrong settings are no fault of the strategy's
            report = check_strategy(found, settings=job["settings"])
        elif group == plugins.ENCODINGS:
            report = check_encoding(found, job["settings"])
        else:
            report = check_task(found, job["settings"])
        answer = {"checks": [vars(result) for result in report.results], "measured": dict(report.measured)}
    except TicketsearchError as error:
        answer = {"error": str(error), "exit_code": error.exit_code}
    part = Path(job["file"] + ".part")
    part.write_text(json.dumps(answer))
    part.rename(job["file"])
    os._exit(0)  # whatever threads it left


if __name__ == "__main__":
    _main()
