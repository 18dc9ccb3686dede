"""What new-strategy and new-task write works as it is, and so does every example of the documentation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.commands import ROOT, Cli
from tests.helpers.packages import install
from ticketsearch.plugins.static import static_fault
from ticketsearch.scaffold import KINDS, render, write_strategy, write_task
from ticketsearch.testing import check_strategy, check_task

PLUGINS = ROOT / "plugins"


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_strategy_passes_its_check_and_runs(
    kind: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"new-{kind}"
    said = cli("new-strategy", name, "--kind", kind, "--out", tmp_path)
    assert said.code == 0, said.err
    folder = tmp_path / f"ticketsearch-{name}"
    assert str(folder) in said.out
    _, module = install(folder, monkeypatch)
    assert static_fault(module, f"New{kind.title().replace('-', '')}Search") is None
    report = check_strategy(name)
    report.require()
    assert {result.state for result in report.results} == {"passed"}
    runs = tmp_path / "runs"
    ran = cli(
        "run",
        "--strategy",
        name,
        "--task",
        "tests.helpers.tiny:task",
        "--budget",
        "12ep",
        "--orders",
        "1",
        "--out",
        runs,
    )
    assert ran.code == 0, ran.err
    assert name in cli("report", runs).out
    assert 1 < len((folder / f"{module}.py").read_text().splitlines()) < 70


def test_a_new_task_passes_its_check_and_is_searched_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("new-task", "new-data", "--out", tmp_path).code == 0
    install(tmp_path / "ticketsearch-new-data", monkeypatch)
    check_task("new-data").require()
    ran = cli(
        "run",
        "--strategy",
        "random",
        "--task",
        "new-data",
        "--budget",
        "20ep",
        "--orders",
        "1",
        "--out",
        tmp_path / "runs",
    )
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new-strategy", "ga"], "'ga' is taken by ticketsearch"),
        (["new-strategy", "Bad"], "cannot be one"),
        (["new-strategy", "9lives"], "cannot be one"),
        (["new-strategy", "../up"], "cannot be one"),
        (["new-strategy", "a--b"], "cannot be one"),
        (["new-strategy", "there"], "exists already"),
        (["new-strategy", "fine", "--kind", "serch"], "did you mean 'search'"),
        (["new-task", "mnist-lenet"], "is taken by ticketsearch"),
        (["new-task", "there"], "exists already"),
    ],
)
def test_names_and_folders_that_cannot_be_are_refused(
    cli: Cli, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "ticketsearch-there").mkdir()
    outcome = cli(*arguments, "--out", tmp_path)
    assert outcome.code == 2
    assert outcome.out == ""
    assert words in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["ticketsearch-there"]


@pytest.mark.parametrize("name", ["none", "ticket", "score", "ask-tell", "network", "class", "x1"])
@pytest.mark.parametrize("template", [*KINDS, "task"])
def test_any_name_gives_modules_that_compile_and_no_clashes(name: str, template: str, tmp_path: Path) -> None:
    for path, content in render(name, template).items():
        assert "{{" not in path + content
        if path.endswith(".py"):
            compile(content, path, "exec")
    write = write_task(name, tmp_path) if template == "task" else write_strategy(name, template, tmp_path)
    module = f"ticketsearch_{name.replace('-', '_')}"
    done = subprocess.run(
        [sys.executable, "-c", f"import ast; ast.parse(open({str(write / module)!r} + '.py').read())"]
    )
    assert done.returncode == 0


def test_the_template_is_what_new_strategy_writes() -> None:
    folder = PLUGINS / "ticketsearch-template"
    found = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not any(p.endswith("-info") for p in path.parts)
    }
    assert found == render("template", "search")


@pytest.mark.parametrize("name", ["nevergrad"])
def test_our_plug_ins_keep_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    folder = tmp_path / name
    shutil.copytree(PLUGINS / f"ticketsearch-{name}", folder)
    strategy, _ = install(folder, monkeypatch)
    report = check_strategy(strategy)
    report.require()
    assert {result.state for result in report.results} == {"passed"}
