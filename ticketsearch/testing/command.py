"""``ticketsearch check NAME``: load it elsewhere, then run the checks elsewhere, and report what became of both.

Run as ``python -m ticketsearch.testing.command``, it is that other process: it reads a job as JSON from stdin and
writes a report into a file.
"""

from __future__ import annotations

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
from ticketsearch.plugins.probe import TIMEOUT_S, child_environment, ended, probe
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


def check_installed(name: str, settings: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Report:
    """Check an installed strategy or task; it may crash, exit and hang as it likes.

    Args:
        name: as registered, or ``distribution:name``.
        settings: hyperparameters of a strategy, or options of a task.
        timeout_s: seconds its import may take.
    """
    plugin, group = find_any(name)
    point = plugin.entry_point
    if plugin.distribution != OWN:
        fault = probe(point.module, point.attr, KIND[group], timeout_s)
        if fault:
            message = f"{plugin.value} of {plugin.distribution} {plugin.version} is {fault.state}: {fault.reason}"
            return Report(name, [CheckResult("loads", "failed", message)], {})
    loads = CheckResult("loads", "passed", f"{plugin.value} of {plugin.distribution} {plugin.version}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        job = {"name": plugin.qualified, "group": group, "settings": dict(settings), "file": str(file)}
        command = [sys.executable, "-m", "ticketsearch.testing.command"]
        try:
            done = subprocess.run(
                command, input=json.dumps(job), text=True, capture_output=True, env=child_environment(), timeout=LIMIT_S
            )
            death = f"while it was checked, {ended(done.returncode)}"
        except subprocess.TimeoutExpired:
            death = f"its checks did not end within {LIMIT_S:g} s"
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


def _main() -> None:
    from ticketsearch.testing.contract import check_strategy
    from ticketsearch.testing.tasks import check_task

    job = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        if job["group"] == plugins.STRATEGIES:
            report = check_strategy(job["name"], settings=job["settings"])
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
