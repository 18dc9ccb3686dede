"""What somebody who does not know the command line yet tries first, and what it answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.helpers.commands import Cli, python

HINTS = {
    "run --strategy ga --device gpu": "GPUs are called cuda",
    "run --strategy GA": "did you mean 'ga'",
    "run --strategy IMP": "did you mean 'imp'",
    "strategies list": "'ticketsearch strategies' alone lists them",
    "tasks list": "'ticketsearch tasks' alone lists them",
    "run --strategy ga --task ./my_tasks.py": "write my_tasks:name, in the folder that my_tasks.py lies in",
    "run --strategy ga --task some/where/my_tasks.py:two_moons": "write my_tasks:two_moons",
    "run --strategy ga --task mnist-lenet --data-root ./nowhere": "--data-root nowhere is no folder",
    "compare --strategies ga --data-root ./nowhere": "--data-root nowhere is no folder",
    "compare imp,ga": "for strategies, write --strategies imp,ga",
}


@pytest.mark.parametrize("command", HINTS)
def test_the_error_says_what_to_write(command: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    refused = cli(*command.split())
    assert refused.code == 2
    [line] = refused.err.splitlines()
    assert HINTS[command] in line


@pytest.mark.parametrize("command", [[], ["run"], ["strategies", "show"]])
def test_short_help(command: list[str], cli: Cli) -> None:
    short, long = cli(*command, "-h"), cli(*command, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "Usage" in short.out


@pytest.mark.parametrize("kind", ["strategies", "tasks", "encodings"])
def test_each_has_a_line_of_purpose_without_markup(kind: str, cli: Cli) -> None:
    listed = json.loads(cli(kind, "--json").out)
    purposes = {one["name"]: one["purpose"] for one in listed if one["distribution"] == "ticketsearch"}
    assert len(purposes) > 5
    text = cli(kind).out
    for name, purpose in purposes.items():
        assert 8 < len(purpose) <= 120, (name, purpose)
        assert not re.search(r"``|:\w+:|\n|^ |\.$", purpose), (name, purpose)
        assert purpose in text


@pytest.mark.parametrize("kind", ["csv", "html"])
def test_a_report_into_a_folder_that_is_not_there(kind: str, cli: Cli, tmp_path: Path) -> None:
    assert (
        cli(
            "run",
            "--task",
            "tests.helpers.tiny:task",
            "--strategy",
            "random",
            "--budget",
            "12ep",
            "--out",
            tmp_path / "runs",
        ).code
        == 0
    )
    there = tmp_path / f"x.{kind}"
    written = cli("report", tmp_path / "runs", f"--{kind}", there)
    assert written.code == 0
    assert f"wrote {there}" in written.err
    refused = cli("report", tmp_path / "runs", f"--{kind}", tmp_path / "nowhere" / "x")
    assert refused.code == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in refused.err
    assert not (tmp_path / "nowhere").exists()


def test_a_wrong_folder_of_data_is_named_before_pytorch_is_imported(tmp_path: Path) -> None:
    code = "import sys; from ticketsearch.cli import app\ntry: app(standalone_mode=False)\n"
    code += "finally: print('torch' in sys.modules)"
    done = python("-c", code, "run", "--strategy", "ga", "--data-root", str(tmp_path / "nowhere"))
    assert done.stdout.strip() == "False"
    assert "is no folder" in done.stderr


def test_a_folder_that_is_to_be_made_need_not_be_there(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--download`` makes it, before the option of the folder and after it."""
    monkeypatch.chdir(tmp_path)
    for words in (["--download", "--data-root"], ["--data-root"]):
        own = [*words, str(tmp_path / "new"), *(["--download"] if len(words) == 1 else [])]
        made = cli("run", "--strategy", "magnitude", "--task", "tests.helpers.tiny:task", "--orders", "1", *own)
        assert made.code == 0, made.err
