"""The same search in another process: for equality there, and for a million bits within bounds that it can be held to.

Run as ``python -m ticketsearch.testing.fresh``, it reads a job as JSON on stdin and writes one line for each answer.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ticketsearch.plugins.patience import run_limited
from ticketsearch.strategies.base import Strategy, build_strategy, parameters_of

CPU_LIMIT_S, SECONDS, MEMORY_LIMIT_MIB = 60, 200, 2048
MILLION_EVALUATIONS, MILLION_STEPS = 20, 6


@dataclass(frozen=True)
class Answers:
    """What the other process said.

    Attributes:
        fingerprint: of the reference search there.
        fault: why there is none.
        million_fault: what went wrong with a million bits; empty if nothing.
        cpu_s: of the search with a million bits.
        mib: memory that it added.
    """

    fingerprint: str = ""
    fault: str = ""
    million_fault: str = ""
    cpu_s: float = 0.0
    mib: float = 0.0


class NotFindable(Exception):
    """Another process has no way to the strategy's class."""


def answers(subject: Any) -> Answers:
    """Ask another process, once for each subject."""
    if "_fresh" not in vars(subject):
        subject._fresh = _ask(subject.make(), subject.name)
    found: Answers = subject._fresh
    return found


def _ask(strategy: Strategy, name: str) -> Answers:
    cls = type(strategy)
    if "<locals>" in cls.__qualname__:
        raise NotFindable(f"{cls.__qualname__} is defined inside a function, where another process cannot find it")
    job = {
        "path": sys.path,
        "module": cls.__module__,
        "file": getattr(sys.modules.get(cls.__module__), "__file__", None),
        "class": cls.__qualname__,
        "name": name,
        "parameters": parameters_of(strategy),
    }
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"  # another order of sets than here
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "ticketsearch.testing.fresh"]
    root = str(Path(__file__).parents[2])  # found without being installed, too
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
    try:
        done = run_limited(command, SECONDS, environment=environment, text=json.dumps(job))
        lines, error, code = done.stdout.splitlines(), done.stderr, done.returncode
    except subprocess.TimeoutExpired as expired:
        out = expired.stdout or b""
        lines = (out.decode() if isinstance(out, bytes) else out).splitlines()
        error, code = f"it did not end within {SECONDS} s of a processor", -1
    known = {field.name for field in fields(Answers)}
    found: dict[str, Any] = {}
    for line in lines:
        if line.startswith('{"answer": '):
            found.update({key: value for key, value in json.loads(line)["answer"].items() if key in known})
    last = (error.strip().splitlines() or [f"exit status {code}"])[-1]
    died = f"the process ended with status {code} after {CPU_LIMIT_S} CPU s at most: {last}"
    if "fingerprint" not in found:
        return Answers(fault=f"in another process: {died}", million_fault=died)
    if "cpu_s" not in found and "million_fault" not in found:
        found["million_fault"] = died
    return Answers(**found)


def _main() -> None:
    from ticketsearch.testing.subject import Subject, describe

    job = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the strategy prints is no answer
    sys.path[:] = job["path"]
    cls = _class(job["module"], job["file"], job["class"])
    subject = Subject(lambda: build_strategy(job["name"], cls, job["parameters"]), job["name"])

    def answer(**values: Any) -> None:
        print(json.dumps({"answer": values}), file=out, flush=True)

    outcome, _ = subject.reference
    fault = "" if outcome.error is None else describe(outcome.error)
    answer(fingerprint=outcome.fingerprint, fault=fault)
    answer(**_million(subject))
    out.flush()
    os._exit(0)  # whatever threads it left


def _million(subject: Any) -> dict[str, Any]:
    """A search with a million weights, under limits that end this process."""
    import time

    from ticketsearch.testing.closed_form import MILLION
    from ticketsearch.testing.report import CheckFailed

    _limit_process(int(time.process_time()))
    before_mib, begin = _peak_mib(), time.process_time()
    outcome, _ = subject.search(MILLION_EVALUATIONS, shapes=MILLION, steps=MILLION_STEPS)
    fault = ""
    try:
        outcome.sound_mask()
    except CheckFailed as failed:
        fault = f"with a million weights {failed}"
    mib = max(0.0, _peak_mib() - before_mib)
    if isinstance(outcome.error, MemoryError) or mib > MEMORY_LIMIT_MIB:
        fault = f"with a million weights it needs more than {MEMORY_LIMIT_MIB} MiB"
    return {"million_fault": fault, "cpu_s": time.process_time() - begin, "mib": mib}


def _limit_process(spent_s: int) -> None:
    """Bounds of time and, on Linux, of memory that the system ends this process at; Windows has none."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (spent_s + CPU_LIMIT_S, spent_s + CPU_LIMIT_S + 5))
    status = Path("/proc/self/status")
    if status.exists():  # allocations beyond the bound fail
        data = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmData"))
        limit = int(data) * 1024 + (MEMORY_LIMIT_MIB + 512) * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _peak_mib() -> float:
    """The most memory this process has had so far; 0 where the system does not say (Windows)."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _class(module: str, file: str | None, name: str) -> type:
    """The strategy's class, from the installed module or from its file."""
    if module == "__main__" and file:
        module = "__mp_main__"  # multiprocessing's name for it: not to be run as a script
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(module, file) if file else None
        if spec is None or spec.loader is None:
            raise
        found = importlib.util.module_from_spec(spec)
        sys.modules[module] = found
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    cls: type = found
    return cls


if __name__ == "__main__":
    _main()
