"""Importing a plug-in in a process of its own, which may crash, end or hang without harm to the host.

Run as ``python -m ticketsearch.plugins.probe MODULE ATTRIBUTE KIND FILE``, it writes what it found into the file.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from ticketsearch.plugins.interface import Fault, encoding_fault, predictor_fault, strategy_fault
from ticketsearch.plugins.patience import run_limited

TIMEOUT_S = 20.0
MISSING: Final = "missing"
"""State of what was named by its place, and is not there."""


def child_environment() -> dict[str, str]:
    """So that another process finds what this one finds."""
    path = [str(Path(__file__).parents[2]), *(entry or os.getcwd() for entry in sys.path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def ended(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"it ended the process with status {code}"
    try:
        return f"it crashed the process: {signal.Signals(-code).name}"
    except ValueError:
        return f"it crashed the process: signal {-code}"


def probe(module: str, attribute: str, kind: str, timeout_s: float = TIMEOUT_S) -> Fault | None:
    """Import one plug-in elsewhere; ``None`` if it is as it should be.

    Args:
        module: its module.
        attribute: its name in it.
        kind: ``strategy``, ``encoding``, ``predictor``, ``task``, or ``either``: any of these.
        timeout_s: seconds of a processor that the import may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "ticketsearch.plugins.probe", module, attribute, kind, str(file)]
        try:
            code = run_limited(command, timeout_s, environment=child_environment()).returncode
        except subprocess.TimeoutExpired:
            return Fault("broken", f"its import hangs: it did not end within {timeout_s:g} s of a processor")
        if not file.exists():
            return Fault("broken", f"its import failed: {ended(code)}")
        answer: dict[str, Any] = json.loads(file.read_text())
    return Fault(answer["state"], answer["reason"]) if answer["state"] != "ok" else None


def probe_all(plugins: Sequence[tuple[str, str, str]], timeout_s: float = TIMEOUT_S) -> list[Fault | None]:
    """Each in a process of its own, several at a time."""
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as threads:
        running = [threads.submit(probe, *plugin, timeout_s) for plugin in plugins]
        return [each.result() for each in running]


def is_strategy_like(found: object) -> bool:
    """Whether something is meant as a strategy, a class or an instance; a function is one that makes a task."""
    return isinstance(found, type) or hasattr(found, "search")


def is_encoding_like(found: object) -> bool:
    """Whether something is meant as an encoding, a class or an instance."""
    return hasattr(found, "build") and not hasattr(found, "search")


def _look(module: str, attribute: str, kind: str) -> Fault:
    try:
        found: Any = importlib.import_module(module)
    except BaseException as error:
        gone = kind == "either" and isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Fault(MISSING, reason) if gone else Fault("broken", f"its import failed: {reason}")
    try:
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except AttributeError as error:
        return Fault(MISSING if kind == "either" else "invalid", f"AttributeError: {error}")
    if kind == "either":
        kind = "encoding" if is_encoding_like(found) else "strategy" if is_strategy_like(found) else "task"
    if kind == "strategy":
        return strategy_fault(found if isinstance(found, type) else type(found)) or Fault("ok", "")
    if kind == "predictor":
        return predictor_fault(found if isinstance(found, type) else type(found)) or Fault("ok", "")
    if kind == "encoding":
        return encoding_fault(found if isinstance(found, type) else type(found)) or Fault("ok", "")
    return Fault("ok", "") if callable(found) else Fault("invalid", f"{found!r} is not a function that makes a Task")


if __name__ == "__main__":
    *_plugin, _file = sys.argv[1:]
    _answer = _look(*_plugin)
    _part = Path(f"{_file}.part")
    _part.write_text(json.dumps(_answer._asdict()))
    _part.rename(_file)
    os._exit(0)  # whatever it started
