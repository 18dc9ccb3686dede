"""Something else in place of one of a run's or a study's own names: it is named, and left as it is."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.small_studies import study
from ticketsearch.errors import CorruptRun, NotARun, StorageError, TicketsearchError
from ticketsearch.leaderboard import load_study
from ticketsearch.records.folder import (
    BASELINES,
    FAILURES,
    LEDGER,
    LOGS,
    MARKER,
    REPLACED,
    RESULT,
    RESUME,
    SPEC,
    TICKET,
    check_file,
    check_run,
    check_study,
)
from ticketsearch.records.lock import LOCK
from ticketsearch.runner.progress import Silent
from ticketsearch.studies.execution import compute

PRECIOUS = "written by somebody else\n"
FILES = (SPEC, LEDGER, *LOGS, TICKET, RESULT, LOCK)
KINDS = ("link", "dangling link", "pipe", "folder", "link to a folder")


def put(path: Path, kind: str) -> None:
    """Something else at a run's own name."""
    target = path.parent.parent.parent / "elsewhere"
    target.mkdir(exist_ok=True)
    (target / "precious").write_text(PRECIOUS)
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "precious").write_text(PRECIOUS)
    else:
        path.symlink_to({"link": target / "precious", "dangling link": target / "none"}.get(kind, target))


def picture(root: Path) -> dict[str, tuple[int, str]]:
    """Everything under a folder: kind, and content or target."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = stat.S_IFMT(os.lstat(path).st_mode)
        content = os.readlink(path) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        found[str(path.relative_to(root))] = mode, content
    return found


def search(out: Path, **changes: Any) -> ticketsearch.Result:
    options: dict[str, Any] = {"sparsity": 0.5, "budget": "20ep", "orders": 1, "checkpoints": 0} | changes
    return ticketsearch.run("magnitude", tiny.make_task(), out=out, **options)


VERBS: dict[str, Callable[[Path], object]] = {
    "run": lambda folder: search(folder.parent),
    "fresh": lambda folder: search(folder.parent, fresh=True),
    "verify": lambda folder: ticketsearch.verify_run(folder, task=tiny.make_task()),
    "export": lambda folder: ticketsearch.export(
        folder, folder.parent.parent / "out.safetensors", format="state-dict", task=tiny.make_task()
    ),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(search(tmp_path_factory.mktemp("whole") / "runs").run)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished.parent, tmp_path / "runs")
    return tmp_path / "runs" / finished.name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*FILES, RESUME])
def test_in_a_run(name: str, kind: str, folder: Path) -> None:
    if (name, kind) == (RESUME, "folder"):
        pytest.skip("checkpoints are a folder")
    put(folder / name, kind)
    before = picture(folder.parent.parent)
    for verb, act in VERBS.items():
        with pytest.raises(CorruptRun, match=f"{name} is a .*move it away") as caught:
            act(folder)
        assert "\n" not in str(caught.value), verb
    try:
        assert any(f"{folder / name} is a " in line for line in load_study(folder.parent).problems)
    except NotARun:  # nothing but an unfinished run
        pytest.fail("the report does not name it")
    assert picture(folder.parent.parent) == before


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", [LEDGER, LOCK, RESUME, TICKET])
def test_in_a_run_that_is_not_finished(name: str, kind: str, folder: Path) -> None:
    for one in (RESULT, TICKET, LEDGER):
        (folder / one).unlink()
    put(folder / name, kind)
    before = picture(folder.parent.parent)
    with pytest.raises(CorruptRun, match=f"{name} is a "):
        search(folder.parent)
    assert any(str(folder / name) in line for line in load_study(folder.parent).problems)
    assert picture(folder.parent.parent) == before


def test_a_link_among_the_checkpoints(folder: Path) -> None:
    (folder / RESULT).unlink()
    (folder / RESUME).mkdir()
    put(folder / RESUME / "train-0.safetensors", "link")
    with pytest.raises(CorruptRun, match=r"train-0\.safetensors is a symbolic link"):
        search(folder.parent)


def test_a_run_folder_that_is_a_link_is_read_and_not_written_through(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "disk"
    folder.rename(other)
    folder.symlink_to(other)
    assert search(folder.parent).run == str(folder)
    [result] = load_study(folder.parent).results
    assert result.run == str(folder)
    (other / RESULT).unlink()
    before = picture(tmp_path)
    with pytest.raises(NotARun, match="is a symbolic link, through which no run writes"):
        search(folder.parent)
    with pytest.raises(NotARun, match="is not a run"):
        search(folder.parent, fresh=True)
    assert picture(tmp_path) == before


def test_a_device_is_named(tmp_path: Path) -> None:
    (tmp_path / LEDGER).symlink_to("/dev/null")
    with pytest.raises(CorruptRun, match="symbolic link"):
        check_run(tmp_path)
    with pytest.raises(CorruptRun, match="null is a device, not a file"):
        check_file(Path("/dev/null"))


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "link to a folder"])
@pytest.mark.parametrize("name", [MARKER, FAILURES, BASELINES, REPLACED, f"{BASELINES}/b.json"])
def test_in_a_study(name: str, kind: str, folder: Path) -> None:
    out = folder.parent
    (out / name).parent.mkdir(exist_ok=True)
    put(out / name, kind)
    before = picture(out.parent)
    pattern = f"{Path(name).name} is a "
    with pytest.raises(CorruptRun, match=pattern):
        compute(study(out, seeds=[7], strategies=["random"]))
    with pytest.raises(CorruptRun, match=pattern):
        check_study(out)
    with pytest.raises(CorruptRun, match=pattern):
        search(out, seed=5)
    assert any(str(out / name) in line for line in load_study(out).problems)
    assert picture(out.parent) == before


def test_temporary_names_of_others_are_left(folder: Path) -> None:
    (folder / RESULT).unlink()
    put(folder / ".result.json.tmp-abc", "link")
    put(folder / ".spec.json.tmp-abc", "folder")
    left = folder / ".ledger.tmp-1"
    left.write_text("cut short")
    search(folder.parent)
    assert not left.exists()
    assert (folder / ".result.json.tmp-abc").is_symlink()
    assert (folder / ".spec.json.tmp-abc" / "precious").read_text() == PRECIOUS


@pytest.mark.parametrize("command", ["run", "report"])
def test_the_command_says_so_in_a_line(command: str, folder: Path, cli: Any) -> None:
    put(folder / LEDGER, "link")
    arguments = {
        "run": [
            "--strategy",
            "magnitude",
            "--task",
            "tests.helpers.tiny:task",
            "--sparsity",
            "0.5",
            "--budget",
            "20ep",
            "--orders",
            "1",
            "--checkpoints",
            "0",
            "--out",
            str(folder.parent),
        ],
        "report": [str(folder.parent)],
    }[command]
    done = cli(command, *arguments)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert f"{LEDGER} is a symbolic link" in "".join(done.err.split("\n"))
    assert (folder.parent.parent / "elsewhere" / "precious").read_text() == PRECIOUS


@pytest.mark.parametrize("what", ["folder", LEDGER, LOCK])
@pytest.mark.parametrize("strategy", ["random", "imp"])
def test_what_is_deleted_in_mid_run_is_an_error_and_comes_back_by_the_same_command(
    what: str, strategy: str, tmp_path: Path
) -> None:
    calls: list[Path] = []

    class Deleting(Silent):
        def search(self, problem: Any) -> None:
            if not calls:
                [folder] = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
                calls.append(folder)
                if what == "folder":
                    shutil.rmtree(folder)
                else:
                    (folder / what).unlink()

    options: dict[str, Any] = {
        "sparsity": 0.5,
        "budget": "60ep",
        "orders": 1,
        "checkpoints": 0,
        "out": tmp_path / "runs",
    }
    task = tiny.make_task()
    with pytest.raises(StorageError, match="was removed") as caught:
        ticketsearch.run(strategy, task, **options, progress=Deleting())
    assert "run the same command again" in str(caught.value)
    assert not (calls[0] / RESULT).exists()
    if what == "folder":
        assert not calls[0].exists()
    assert ticketsearch.run(strategy, task, **options).n_kept


@pytest.mark.parametrize("name", [SPEC, LEDGER, TICKET])
@pytest.mark.parametrize("how", ["a bit", "cut", "empty", "gone"])
def test_damaged_files_of_a_finished_run_are_named(name: str, how: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    new = {"a bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], "cut": content[:middle]}
    if how == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(new.get(how, b""))
    if (name, how) != (SPEC, "gone"):  # a folder without a spec is no run's, for a report
        assert any(str(folder / name) in line for line in load_study(folder.parent).problems)
    with pytest.raises(TicketsearchError, match=name):
        search(folder.parent)
