"""One writer per run."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.helpers.commands import ROOT
from tests.helpers.runs import Breaking, folder_of, outcome, run
from ticketsearch.errors import RunInUse
from ticketsearch.records.folder import RESULT
from ticketsearch.records.lock import LOCK, only_writer
from ticketsearch.records.results import read_result

HOLDER = """
import sys, time
from pathlib import Path
from ticketsearch.records.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def command(out: Path, *more: str) -> list[str]:
    return [
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
        "12ep",
        "--out",
        str(out),
        *more,
    ]


def test_a_second_process_is_told_who_holds_the_run_and_computes_nothing(tmp_path: Path) -> None:
    begun, end = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert end.wait(60)

    first = threading.Thread(
        target=run, args=(tmp_path, "ga"), kwargs={"settings": {"population": 4}, "progress": Breaking(4, wait)}
    )
    first.start()
    try:
        assert begun.wait(60)
        folder = folder_of(tmp_path)
        before = (folder / "ledger.sqlite-wal").read_bytes()
        second = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=120)
        with pytest.raises(RunInUse, match=f"process {os.getpid()}"):  # nor does another thread get in
            run(tmp_path, "ga", settings={"population": 4})
        assert (folder / "ledger.sqlite-wal").read_bytes() == before
    finally:
        end.set()
        first.join()
    assert (second.returncode, second.stdout) == (1, "")
    [line] = second.stderr.splitlines()
    assert line.startswith(f"ticketsearch: error: {folder} is in use by process {os.getpid()} on")
    assert socket.gethostname() in line
    assert read_result(folder) == run(tmp_path, "ga", settings={"population": 4})
    assert (folder / LOCK).read_bytes() == b""


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(RunInUse, match=f"process {process.pid} on"), only_writer(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        with only_writer(tmp_path):
            assert str(os.getpid()) in (tmp_path / LOCK).read_text()


def test_one_who_is_about_to_let_go_is_waited_for(tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with only_writer(tmp_path):
            (tmp_path / LOCK).write_bytes(b"")  # as the last step before the lock is released leaves it
            held.set()
            go.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    threading.Timer(0.1, go.set).start()
    with only_writer(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    holder.join(60)


def test_of_two_that_start_at_once_one_does_the_work(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            command(tmp_path / "both"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 0], [0, 1]), errors  # both, if the second came when all was done
    if codes == [0, 1]:
        assert "is in use by process" in "".join(errors)
    (tmp_path / "alone").mkdir()
    alone = run(tmp_path / "alone", "ga", settings={"population": 4})
    assert outcome(read_result(folder_of(tmp_path / "both"))) == outcome(alone)


def test_a_run_that_another_process_finished_in_between_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(tmp_path)
    looked: list[Path] = []
    exists = os.path.lexists

    def blind_once(path: Path) -> bool:
        if Path(path).name == RESULT and not looked:
            looked.append(Path(path))
            return False
        return exists(path)

    monkeypatch.setattr("ticketsearch.runner.run.os.path.lexists", blind_once)
    before = (folder_of(tmp_path) / "spec.json").stat().st_mtime_ns
    assert run(tmp_path) == result
    assert looked
    assert (folder_of(tmp_path) / "spec.json").stat().st_mtime_ns == before


def test_a_folder_with_nothing_but_a_lock_is_a_run_that_was_killed_early(tmp_path: Path) -> None:
    first = run(tmp_path)
    folder = folder_of(tmp_path)
    for path in folder.iterdir():
        if path.name != LOCK:
            path.unlink()
    assert run(tmp_path).mask_digest == first.mask_digest


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_on_the_file_system_nobody_is_kept_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def unsupported(*_: object) -> None:
        raise OSError(number, "not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with only_writer(tmp_path), only_writer(tmp_path):
        assert (tmp_path / LOCK).is_file()


@pytest.mark.parametrize("content", ["", "{", "7", "[]", "{}"])
def test_a_holder_whose_name_is_not_there_is_another_process(tmp_path: Path, content: str) -> None:
    with only_writer(tmp_path):
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(RunInUse, match="in use by another process"), only_writer(tmp_path):
            pass
