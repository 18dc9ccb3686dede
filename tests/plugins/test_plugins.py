from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ROOT, Cli
from ticketsearch.errors import PluginError, UnknownName
from ticketsearch.plugins import STRATEGIES, TASKS, available, find, load, registry
from ticketsearch.strategies.base import make_strategy


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a distribution with entry points: metadata and a module, as pip leaves them."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(distribution: str, code: str, **points: str) -> None:
        folder = tmp_path / f"{distribution}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"[{STRATEGIES}]", *(f"{name} = {value}" for name, value in points.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines))
        (tmp_path / f"{distribution}.py").write_text(code)
        monkeypatch.delitem(sys.modules, distribution, raising=False)

    return install


def test_built_in_plug_ins_are_registered_like_anyone_s() -> None:
    home = {plugin.name: plugin.distribution for plugin in available(STRATEGIES)}
    assert {home[name] for name in ("random", "imp", "ga", "optuna")} == {"ticketsearch"}
    own = [plugin.name for plugin in available(TASKS) if plugin.distribution == "ticketsearch"]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert own == sorted(declared["ticketsearch.tasks"])


def test_listing_imports_nothing(installed: Any) -> None:
    installed("sabotage", "raise RuntimeError('boom')", mine="sabotage:Mine")
    assert ("mine", "sabotage", "1.2") in [(p.name, p.distribution, p.version) for p in available(STRATEGIES)]


@pytest.mark.parametrize("code", ["raise RuntimeError('boom')", "import nowhere", "1 +", "raise SystemExit(3)", ""])
def test_a_plug_in_that_cannot_be_imported_is_named_and_harms_no_other(installed: Any, code: str) -> None:
    installed("sabotage", code, mine="sabotage:Mine")
    place = r" at .*sabotage\.py:1" if code else ""
    with pytest.raises(PluginError, match=rf"'mine' \(sabotage:Mine\) of sabotage 1\.2 failed to import{place}: "):
        load(STRATEGIES, "mine")
    assert load(STRATEGIES, "ga").__name__ == "Genetic"


def test_a_name_registered_twice_must_be_qualified(installed: Any) -> None:
    installed("rival", "class Mine: pass", ga="rival:Mine")
    with pytest.raises(PluginError, match="registered twice; say rival:ga or ticketsearch:ga"):
        find(STRATEGIES, "ga")
    assert find(STRATEGIES, "ticketsearch:ga").distribution == "ticketsearch"
    assert load(STRATEGIES, "rival:ga").__name__ == "Mine"


def test_an_unknown_name_or_distribution_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown strategy 'gaa'"):
        find(STRATEGIES, "gaa")
    with pytest.raises(UnknownName, match="unknown strategy 'other:ga'"):
        find(STRATEGIES, "other:ga")


@pytest.mark.parametrize("code", ["class Mine: pass", "Mine = 3", "def Mine(): pass"])
def test_what_is_no_strategy_is_refused(installed: Any, code: str) -> None:
    installed("odd", code, mine="odd:Mine")
    with pytest.raises(PluginError, match="not a dataclass with a search"):
        make_strategy("mine", {})


def test_a_strategy_of_another_distribution_runs_from_the_command_line(
    installed: Any, cli: Cli, tmp_path: Path
) -> None:
    code = (
        "from dataclasses import dataclass\nfrom ticketsearch import Ticket\n"
        "@dataclass(frozen=True)\nclass Mine:\n    tries: int = 1\n    def search(self, problem):\n"
        "        return Ticket(problem.space.random(problem.n_kept, problem.rng('mine')))\n"
    )
    installed("theirs", code, mine="theirs:Mine")
    outcome = cli(
        "run",
        "--strategy",
        "mine",
        "--set",
        "tries=3",
        "--task",
        "tests.helpers.tiny:task",
        "--budget",
        "5ep",
        "--out",
        tmp_path / "runs",
        "--json",
    )
    assert outcome.code == 0, outcome.err
    assert '"distribution": "theirs"' in outcome.out
    assert '"theirs": "1.2"' in outcome.out


def test_entry_points_without_a_distribution_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("x", "nowhere:X", group)])
    assert available(STRATEGIES)[0].distribution == "unknown"


def test_a_plug_in_that_hangs_at_import_is_ended(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "IMPORT_LIMIT_S", 0.2)
    installed("endless", "while True:\n    pass\n", mine="endless:Mine")
    with pytest.raises(PluginError, match=r"'mine' .* failed to import at .*endless.py:[12]: ImportHangs: it did not"):
        load(STRATEGIES, "mine")


def test_what_a_plug_in_prints_at_import_does_not_reach_stdout(
    installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("chatty", "print('hello')\nMine = 3\n", mine="chatty:Mine")
    assert load(STRATEGIES, "mine") == 3
    assert capsys.readouterr() == ("", "hello\n")


def test_any_exception_at_import_is_a_plug_in_s_own(installed: Any) -> None:
    installed("odd", "class Odd(BaseException): ...\nraise Odd('no')\n", mine="odd:Mine")
    with pytest.raises(PluginError, match="Odd: no"):
        load(STRATEGIES, "mine")
