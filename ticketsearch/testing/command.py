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
from ticketsearch.plugins.probe import MISSING, TIMEOUT_S, child_environment, ended, is_strategy_like, probe
from ticketsearch.plugins.registry import KIND, OWN, Plugin
from ticketsearch.testing.report import CheckResult, Report

LIMIT_S = 600.0


def find_any(name: str) -> tuple[Plugin, str]:
    """A strategy of that name, or else a task, and its group.

    Raises:
        UnknownName: neither.
        PluginError: the name is registered twice.
    """
    try:
        return plugins.find(plugins.STRATEGIES, name), plugins.STRATEGIES
    except UnknownName as unknown:
        try:
            return plugins.find(plugins.TASKS, name), plugins.TASKS
        except UnknownName:
            raise unknown from None


def check_named(name: str, settings: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Report:
    """Check a strategy or a task, installed or not; it may crash, exit and hang as it likes.

    Args:
        name: as registered, ``distribution:name``, or ``package.module:object``: the class of a strategy or an
            instance of it, or a function that makes a task.
        settings: hyperparameters of a strategy, or options of a task.
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
            raise UnknownName("strategy or task", name, known, f"({fault.reason})")
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


def _strategy_of(name: str, group: str | None) -> Any:
    """What to hold to the contract of strategies; ``None`` if it is a task."""
    if group is not None:
        return name if group == plugins.STRATEGIES else None
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    return found if is_strategy_like(found) else None


def _main() -> None:
    from ticketsearch.strategies.base import build_strategy
    from ticketsearch.testing.contract import check_strategy
    from ticketsearch.testing.tasks import check_task

    job = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        strategy = _strategy_of(job["name"], job["group"])
        if isinstance(strategy, type):
            build_strategy(job["name"], strategy, job["settings"])  # wrong settings are no fault of the strategy's
        if strategy is not None:
            report = check_strategy(strategy, settings=job["settings"])
        else:
            report = check_task(job["name"], job["settings"])
        answer = {"checks": [vars(result) for result in report.results], "measured": dict(report.measured)}
    except TicketsearchError as error:
        answer = {"error": str(error), "exit_code": error.exit_code}
    part = Path(job["file"] + ".part")
    part.write_text(json.dumps(answer))
    part.rename(job["file"])
    os._exit(0)  # whatever threads it left


if __name__ == "__main__":
    _main()
