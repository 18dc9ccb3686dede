"""What lies in a folder of runs: finished, begun, damaged, failed; and removing a run. Never imports torch."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.records.files import storing
from ticketsearch.records.folder import RESULT, SPEC, check_run, run_folders
from ticketsearch.records.lock import only_writer
from ticketsearch.records.results import read_finished
from ticketsearch.records.spec import read_spec
from ticketsearch.records.study_records import read_failures

State = Literal["finished", "begun", "damaged", "failed"]


@dataclass(frozen=True)
class Listed:
    """A run, or a planned one that failed.

    Attributes:
        run: its folder; empty if it left none.
        state: ``finished``; ``begun``: the same command goes on with it; ``damaged``; ``failed``: it gave no result
            when last tried.
        strategy: its name; empty if nobody can tell.
        task: likewise.
        sparsity: none if nobody can tell.
        seed: likewise.
        test_accuracy: confirmed, of a finished run.
        finished: when, in UTC.
        reason: why it failed, or what is damaged.
    """

    run: str
    state: State
    strategy: str = ""
    task: str = ""
    sparsity: float | None = None
    seed: int | None = None
    test_accuracy: float | None = None
    finished: str = ""
    reason: str = ""


def list_runs(out: str | os.PathLike[str]) -> list[Listed]:
    """Every run in a folder, by name; then what failed and has left no finished run.

    Raises:
        NotARun: no such folder.
    """
    found = [_listed(folder) for folder in run_folders(out)]
    try:
        failures = read_failures(Path(out))
    except CorruptRun as error:
        return [*found, Listed("", "damaged", reason=str(error))]
    return found + [
        Listed("", "failed", one.strategy, one.task, one.sparsity, one.seed, reason=one.reason) for one in failures
    ]


def _listed(folder: Path) -> Listed:
    try:
        spec = read_spec(folder)
    except (NotARun, CorruptRun) as error:
        return Listed(str(folder), "damaged", reason=str(error))
    facts = spec.strategy, spec.task, spec.sparsity, spec.seed
    try:
        if not os.path.lexists(folder / RESULT):
            check_run(folder)
            return Listed(str(folder), "begun", *facts)
        result = read_finished(folder)
    except (NotARun, CorruptRun) as error:
        return Listed(str(folder), "damaged", *facts, reason=str(error))
    return Listed(str(folder), "finished", *facts, result.test_accuracy, result.finished)


def remove_run(folder: Path) -> None:
    """Delete a run's folder and all that is in it.

    Raises:
        NotARun: it is none, or a link to one.
        RunInUse: another process is at work on it.
        StorageError: it cannot be deleted.
    """
    if folder.is_symlink() or not os.path.lexists(folder / SPEC):
        raise NotARun(f"{folder} is no folder of a run; nothing is removed")
    with only_writer(folder):
        gone = folder.with_name(f".removed-{secrets.token_hex(4)}")  # whole, or not at all
        with storing(folder):
            folder.rename(gone)
    with storing(gone):
        shutil.rmtree(gone)
