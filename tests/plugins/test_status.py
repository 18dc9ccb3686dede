"""Twelve broken plug-ins installed together: all are listed with the right status, none takes the host down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.broken_plugins import BROKEN, SOUND, install, install_all
from tests.helpers.commands import ROOT, Cli
from ticketsearch.plugins import API_VERSION
from ticketsearch.plugins.interface import version_fault
from ticketsearch.plugins.probe import probe


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install_all(folder)
    return folder


@pytest.fixture
def host(broken: Path, tmp_path: Path) -> Any:
    """The command line in a fresh process, with the twelve on its path."""
    environment = os.environ | {"PYTHONPATH": f"{broken}{os.pathsep}{ROOT}", "TICKETSEARCH_CACHE": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ticketsearch", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run


def rows_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout) if row["distribution"] != "ticketsearch"}


def test_the_listing_tells_the_status_of_each_without_importing_any(host: Any) -> None:
    rows = rows_of(host("strategies", "--json"))
    assert {name: row["status"] for name, row in rows.items()} == {n: status for n, (_, status, *_) in BROKEN.items()}
    assert not any(row["imported"] for row in rows.values())
    assert all(row["reason"] for row in rows.values() if row["status"] != "ok")
    strict = host("strategies", "--strict")
    assert strict.returncode == 1
    assert "bad-endless:endless is broken" in strict.stderr
    assert "Traceback" not in strict.stderr


def test_checking_all_imports_each_elsewhere_and_is_remembered(host: Any) -> None:
    first = host("strategies", "check", "--timeout", "4", "--json")
    rows = rows_of(first)
    assert {name: row["status"] for name, row in rows.items()} == {n: status for n, (_, status, *_) in BROKEN.items()}
    assert all(row["imported"] for row in rows.values())
    assert rows_of(host("strategies", "--json")) == rows
    assert host("strategies", "--strict").returncode == 1


REPEATED = ("wrong-count", "mutates")
"""Caught by the check that another one shows."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in REPEATED else []) for name in BROKEN]
)
def test_check_names_the_fault_and_exits_1(host: Any, name: str) -> None:
    _, _, check, words = BROKEN[name]
    done = host("check", name, "--timeout", "4", "--json")
    assert done.returncode == 1
    if not check:
        assert words in done.stderr
        return
    report = json.loads(done.stdout)
    assert report["failures"] == [check]
    assert not report["passed"]
    assert words in next(row["message"] for row in report["checks"] if row["name"] == check)


def test_another_strategy_runs_beside_them(host: Any) -> None:
    done = host(
        "run", "--strategy", "ga", "--task", "tests.helpers.tiny:task", "--budget", "5ep", "--orders", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["strategy"] == "ga"


MORE: dict[str, tuple[str, str, str]] = {
    "raises": ("raise RuntimeError('boom')", "broken", "raises RuntimeError('boom')"),
    "quits": ("def main():\n    quit()\n\nmain()", "broken", "ends the process"),
    "sleeps": ("import time\ntime.sleep(3600)", "broken", "sleeps for 3600 s"),
    "asserts": ("assert False", "broken", "fails an assertion"),
    "divides": ("x = 1 / 0", "broken", "divides by zero"),
    "gone": ("from ticketsearch import NoSuchName", "broken", "cannot import name 'NoSuchName'"),
    "submodule": ("import ticketsearch.nowhere", "broken", "no module named 'ticketsearch.nowhere'"),
    "function": ("def Mine(problem): ...", "invalid", "is a function"),
    "no-search": ("from dataclasses import dataclass\n@dataclass\nclass Mine:\n    x: int = 1", "invalid", "search"),
    "not-a-dataclass": ("class Mine:\n    def search(self, problem): ...", "invalid", "not a dataclass"),
    "future-api": (
        SOUND.replace("    batch", "    ticketsearch_api: ClassVar[int] = 2\n    batch"),
        "incompatible",
        "upgrade ticketsearch",
    ),
    "careful": ("try:\n    import no_such_thing\nexcept ImportError:\n    pass\n" + SOUND, "ok", ""),
    "guarded": (SOUND + "\nif __name__ == '__main__':\n    raise SystemExit(1)\n", "ok", ""),
    "loops": (SOUND + "\nwhile True:\n    break\n", "ok", ""),
    "inherits": (
        "from dataclasses import dataclass\nfrom ticketsearch.strategies.ga import Genetic\n"
        "@dataclass(frozen=True)\nclass Mine(Genetic):\n    more: int = 1",
        "ok",
        "",
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_source_and_import_agree(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ticketsearch.plugins.status import statuses

    source, expected, words = MORE[name]
    install(tmp_path, f"more-{name}", name, source)
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = (status for status in statuses() if status.name == name)
    assert (found.status, words in found.reason) == (expected, True), found
    module = found.value.partition(":")[0]
    fault = probe(module, "Mine", "strategy", 1.5 if name == "sleeps" else 4)
    assert (fault.state if fault else "ok") == expected
    assert module not in sys.modules


def test_a_crash_at_import_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "crash", "crash", "import ctypes\nctypes.string_at(0)\n")
    install(tmp_path, "leave", "leave", "import os\nos._exit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    fault = probe("crash", "Mine", "strategy")
    assert fault is not None
    assert "SIGSEGV" in fault.reason
    fault = probe("leave", "Mine", "strategy")
    assert fault is not None
    assert "ended the process with status 7" in fault.reason


def test_versions_are_integers_and_told_apart() -> None:
    assert version_fault(API_VERSION) is None
    for stated, state in ((0, "incompatible"), (2, "incompatible"), ("1", "invalid"), (True, "invalid")):
        fault = version_fault(stated)
        assert fault is not None
        assert fault.state == state


def test_show_prints_purpose_source_options_and_calls(cli: Cli) -> None:
    text = cli("strategies", "show", "ga").out
    for words in ("Breed masks.", "JMLR 13", "population = 24  (int)", "individuals of a generation.", "evaluate x 36"):
        assert words in text
    shown = json.loads(cli("strategies", "show", "ticketsearch:snip", "--json").out)
    assert shown["options"] == [
        {
            "name": "examples",
            "type": "int",
            "default": 4000,
            "doc": "training examples of the gradient; fewer if there are not as many.",
        }
    ]
    assert shown["calls"][0]["call"] == "gradients"
    assert cli("strategies", "show", "gaa").code == 2


def test_every_option_of_ours_is_documented(cli: Cli) -> None:
    from ticketsearch.plugins import STRATEGIES, available
    from ticketsearch.testing.describe import describe_strategy

    for plugin in available(STRATEGIES):
        if plugin.distribution == "ticketsearch":
            described = describe_strategy(plugin.name)
            assert described["summary"]
            assert described["spends"]
            assert described["calls"]
            assert [o["name"] for o in described["options"] if not o["doc"]] == [], plugin.name


def test_what_was_found_by_importing_is_forgotten_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ticketsearch.plugins.status import check_all, statuses

    monkeypatch.setenv("TICKETSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    hidden = "def fail():\n    raise RuntimeError('boom')\n\nx = [fail() for _ in range(1)]\n"
    install(tmp_path, "changing", "changing", hidden + SOUND)

    def listed() -> tuple[str, bool]:
        return next((s.status, s.imported) for s in statuses() if s.name == "changing")

    assert listed() == ("ok", False)  # nothing is known against it
    check_all()
    assert listed() == ("broken", True)
    (tmp_path / "changing.py").write_text(SOUND)
    os.utime(tmp_path / "changing.py", (1, 1))
    assert listed() == ("ok", False)
    (tmp_path / "cache" / "plugins.json").write_text("not json")
    assert listed() == ("ok", False)
