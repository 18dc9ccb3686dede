"""A disk that is full, or a limit on the size of files: an error of ours, nothing lost, and the run goes on later."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import ROOT, Cli
from tests.helpers.runs import folder_of, outcome, run
from ticketsearch import MaskProblem
from ticketsearch.errors import StorageError
from ticketsearch.masks.ticket import Ticket
from ticketsearch.records.folder import LEDGER, RESULT
from ticketsearch.records.ledger import Ledger, read_record

IMP: dict[str, Any] = {"strategy": "imp", "settings": {"rounds": 3}, "sparsity": 0.8, "budget": "20ep"}
GA: dict[str, Any] = {"strategy": "ga", "settings": {"population": 4}, "budget": "40ep"}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("arguments", [IMP, GA], ids=["imp", "ga"])
def test_a_run_that_met_a_limit_goes_on_without_it(tmp_path: Path, arguments: dict[str, Any]) -> None:
    whole = run(tmp_path / "whole", **arguments)
    largest = max(path.stat().st_size for path in folder_of(tmp_path / "whole").iterdir())
    recorded = [0]
    for size in (20, 200, 2_000, 5_000, 9_000, 15_000, 25_000, 40_000, largest):
        with largest_file(size):
            try:
                run(tmp_path / "limited", **arguments)
            except StorageError as error:
                message = str(error)
            else:
                break
        assert "make room" in message
        ledger = folder_of(tmp_path / "limited") / LEDGER
        recorded.append(len(read_record(ledger).trials) if ledger.is_file() else 0)
    assert len(recorded) > 4
    assert recorded == sorted(recorded)  # what is recorded stays
    assert outcome(run(tmp_path / "limited", **arguments)) == outcome(whole)


def test_the_command_says_so_in_a_line(cli: Cli, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ticketsearch",
        "run",
        "--strategy",
        "ga",
        "--set",
        "population=4",
        "--orders",
        "2",
        "--task",
        "tests.helpers.tiny:task",
        "--budget",
        "40ep",
        "--out",
        str(tmp_path / "limited"),
    ]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    done = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("ticketsearch: error: ")
    assert "make room and run the same command again" in line
    assert "strategy" not in line
    assert not (folder_of(tmp_path / "limited") / RESULT).exists()
    again = cli(*command[3:])
    assert (again.code, again.err) == (0, "")


@dataclass(frozen=True)
class FillsTheDisk:
    """A strategy that keeps a diary."""

    def search(self, problem: MaskProblem) -> Ticket:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_the_strategy_s_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space left on device; make room"):
        ticketsearch.run(FillsTheDisk(), tiny.make_task(), budget="20ep", out=tmp_path)


@pytest.mark.parametrize("place", ["ledger", "resume", "ticket", "result"])
def test_a_full_disk_at_any_file_loses_nothing_that_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    whole = run(tmp_path / "whole", **IMP)
    left = 3

    def failing(name: str) -> None:
        nonlocal left
        if place in name:
            left -= 1
            if left < 0 or place in ("ticket", "result"):
                raise OSError(errno.ENOSPC, "No space left on device")

    rename, begin = os.replace, Ledger._commit

    def replace(source: Any, target: Any) -> None:
        failing(str(target))
        rename(source, target)

    def commit(self: Ledger, insert: str, rows: Any) -> None:
        with self._storing():
            failing("ledger")
        begin(self, insert, rows)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        if place == "ledger":
            left = 1
            patch.setattr(Ledger, "_commit", commit)
        with pytest.raises(StorageError, match="No space left"):
            run(tmp_path / "full", **IMP)
    folder = folder_of(tmp_path / "full")
    assert not (folder / RESULT).exists()
    assert not list(folder.glob(".*tmp-*"))
    assert len(read_record(folder / LEDGER).trials) == {"ledger": 1, "resume": 3}.get(place, 3)
    assert outcome(run(tmp_path / "full", **IMP)) == outcome(whole)


def test_a_training_cut_short_by_a_full_disk_is_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole", "early-bird", budget="20ep")
    rename, left = os.replace, [3]

    def replace(source: Any, target: Any) -> None:
        left[0] -= "resume" in Path(str(target)).parts
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(StorageError, match="No space left"):
            run(tmp_path / "full", "early-bird", budget="20ep")
    assert read_record(folder_of(tmp_path / "full") / LEDGER).trials == []
    assert outcome(run(tmp_path / "full", "early-bird", budget="20ep")) == outcome(whole)


def test_a_picture_that_cannot_be_written_is_an_error_in_a_line(cli: Cli, tmp_path: Path) -> None:
    run(tmp_path / "runs")
    (tmp_path / "board.svg").mkdir()
    shown = cli("report", tmp_path / "runs", "--svg", tmp_path / "board.svg")
    assert shown.code == 1
    assert shown.err.startswith("ticketsearch: error: ")
    assert "board.svg cannot be written: Is a directory; choose another place" in shown.err
