"""What lies in a folder of runs, and removing a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.commands import Cli
from tests.helpers.small_studies import study
from ticketsearch.errors import NotARun, RunInUse
from ticketsearch.records.listing import list_runs, remove_run
from ticketsearch.records.lock import only_writer
from ticketsearch.studies.execution import compute


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs and two failures; of the runs one is only begun, one is damaged."""
    out = tmp_path_factory.mktemp("listing") / "runs"
    compute(study(out, strategies=["random", "magnitude", {"name": "imp", "round_steps": "99ep"}]))
    for folder in sorted(out.glob("*imp*")):
        shutil.rmtree(folder)
    begun, damaged = sorted(out.glob("*random*"))
    (begun / "result.json").unlink()
    ticket = damaged / "ticket.safetensors"
    ticket.write_bytes(ticket.read_bytes()[:-1])
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


def test_each_run_has_a_state_and_a_reason(out: Path) -> None:
    found = list_runs(out)
    states = [(one.strategy, one.seed, one.state) for one in found]
    assert states == [
        ("magnitude", 0, "finished"),
        ("magnitude", 1, "finished"),
        ("random", 0, "begun"),
        ("random", 1, "damaged"),
        ("imp", 0, "failed"),
        ("imp", 1, "failed"),
    ]
    assert all((one.test_accuracy is not None) == (one.state == "finished") == bool(one.finished) for one in found)
    assert "ticket.safetensors is damaged" in found[3].reason
    assert "the budget is 12ep" in found[4].reason


def test_a_spec_that_cannot_be_read_is_a_damaged_run(out: Path) -> None:
    spec = next(out.glob("*magnitude*seed0*")) / "spec.json"
    spec.write_text("{")
    [damaged] = [one for one in list_runs(out) if one.run == str(spec.parent)]
    assert (damaged.state, damaged.strategy) == ("damaged", "")
    (out / "failures.json").write_text("{")
    assert list_runs(out)[-1].state == "damaged"


def test_a_run_is_removed_whole(out: Path) -> None:
    folder = next(out.glob("*magnitude*seed0*"))
    others = {path for path in out.iterdir() if path != folder}
    remove_run(folder)
    assert set(out.iterdir()) == others


def test_what_is_in_use_or_is_no_run_is_left(out: Path, tmp_path: Path) -> None:
    folder = next(out.glob("*magnitude*seed0*"))
    with only_writer(folder), pytest.raises(RunInUse):
        remove_run(folder)
    assert (folder / "result.json").is_file()
    (tmp_path / "own").mkdir()
    (tmp_path / "link").symlink_to(folder)
    for other in (tmp_path / "own", tmp_path / "link", tmp_path / "nowhere", out):
        with pytest.raises(NotARun, match="nothing is removed"):
            remove_run(other)
    assert (folder / "result.json").is_file()


def test_from_the_command_line(out: Path, cli: Cli) -> None:
    listed = cli("runs", "list", out)
    assert listed.code == 0
    assert "2 finished, 1 begun, 1 damaged, 2 failed" in listed.out
    assert "tiny 0.9 magnitude seed 1" in listed.out
    assert [one["seed"] for one in json.loads(cli("runs", "list", out, "--state", "failed", "--json").out)] == [0, 1]
    assert cli("runs", "list", out, "--state", "finishd").code == 2
    folder = next(out.glob("*magnitude*seed0*"))
    shown = json.loads(cli("runs", "show", folder, "--json").out)
    assert shown["strategy"] == "magnitude"
    assert "magnitude on tiny, seed 0" in cli("runs", "show", folder).out
    assert cli("runs", "remove", folder).out == f"removed {folder}\n"
    assert cli("runs", "remove", folder).code == 2
    assert cli("runs", "list", out / "nowhere").code == 2
