"""What new-strategy and new-task write works as it is, and so does every example of the documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT, Cli
from ticketsearch.plugins.static import static_fault
from ticketsearch.scaffold import KINDS, render, write_strategy, write_task
from ticketsearch.testing import check_strategy, check_task
from ticketsearch.tickets import load_ticket

PLUGINS = ROOT / "plugins"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Put a package on the path as an editable installation would: (name, module) of its only entry point."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    [(group, points)] = project["entry-points"].items()
    [(name, value)] = points.items()
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(folder))
    return name, value.partition(":")[0]


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
        "run", "--strategy", name, "--task", "tests.tiny:task", "--budget", "12ep", "--orders", "1", "--out", runs
    )
    assert ran.code == 0, ran.err
    assert name in cli("report", runs).out
    assert 1 < len((folder / f"{module}.py").read_text().splitlines()) < 50


def test_a_new_task_passes_its_check_and_is_searched_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("new-task", "new-data", "--out", tmp_path).code == 0
    install(tmp_path / "ticketsearch-new-data", monkeypatch)
    check_task("new-data").require()
    ran = cli("run", "--strategy", "random", "--task", "new-data", "--budget", "20ep", "--orders", "1", "--out",
              tmp_path / "runs")  # fmt: skip
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


@pytest.mark.parametrize("name", ["cmaes", "nevergrad"])
def test_our_plug_ins_keep_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    folder = tmp_path / name
    shutil.copytree(PLUGINS / f"ticketsearch-{name}", folder)
    strategy, _ = install(folder, monkeypatch)
    report = check_strategy(strategy)
    report.require()
    assert {result.state for result in report.results} == {"passed"}


def blocks(*paths: Path) -> dict[str, str]:
    """The examples of documents, by the name in the comment before each."""
    text = "\n".join(path.read_text() for path in paths)
    return dict(re.findall(r"<!-- example: (\w+) -->\n```\w+\n(.*?)```", text, re.DOTALL))


def examples() -> dict[str, str]:
    """Those of the README and the pages of documentation."""
    return blocks(ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def executed(code: str, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, name, "exec"), module.__dict__)
    return module


def test_the_plug_in_of_the_documentation_works_as_printed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = examples()
    folder = tmp_path / "ticketsearch-climber"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(own["pyproject"])
    (folder / "climber.py").write_text(own["plugin"])
    install(folder, monkeypatch)
    check_strategy("climber").require()
    ran = cli("run", "--strategy", "climber", "--set", "neighbours=4", "--task", "tests.tiny:task", "--budget", "12ep",
              "--orders", "1", "--out", tmp_path / "runs")  # fmt: skip
    assert ran.code == 0, ran.err


def test_the_task_of_the_pages_works_as_printed(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_tasks.py").write_text(examples()["task"])
    monkeypatch.chdir(tmp_path)
    ran = cli("run", "--strategy", "imp", "--task", "my_tasks:two_moons", "--budget", "20ep", "--orders", "1")
    assert ran.code == 0, ran.err
    check_task("my_tasks:two_moons").require()


@pytest.mark.parametrize(
    "words",
    [
        ["--strategy", "magnitude", "--task-set", "steps=4", "--budget", "2ep"],
        ["--strategy", "ga", "--set", "population=4", "--set", "elite=1", "--task-set", "steps=4", "--budget", "8ep"],
    ],
    ids=["magnitude", "ga"],
)
def test_the_torchvision_network_of_the_pages_works_as_printed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    (tmp_path / "my_images.py").write_text(examples()["torchvision"])
    monkeypatch.chdir(tmp_path)
    ran = cli("run", *words, "--task", "my_images:colours", "--sparsity", "0.5", "--orders", "1", "--checkpoints", "0",
              "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["engine"] == "dense"
    assert len(result["layers"]) == 54
    trained = load_ticket(result["run"]).state_dict(trained=True)
    statistics = [array for name, array in trained.items() if name.endswith("running_var")]
    assert len(statistics) == 34
    assert not any((array == 1).all() for array in statistics)  # they were trained with


def test_the_python_of_the_pages_works_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module: Any = executed(examples()["python"], "readme_python", monkeypatch)
    assert module.masks


def test_the_cut_network_of_the_pages_is_half(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = executed(examples()["compact"], "readme_compact", monkeypatch)
    assert "\n0: Conv2d 3 -> 8 (of 16)\n" in capsys.readouterr().out
    assert module.cut.parameters == (3 * 9 * 16 + 16 + 32 + 5770, 3 * 9 * 8 + 8 + 16 + 2890)
    module.network.load_state_dict(module.whole)
    difference = module.network.eval()(module.inputs) - module.cut.module.eval()(module.inputs)
    assert float(difference.detach().abs().max()) < 1e-5


def test_early_stopping_as_the_documentation_has_it_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patient.py").write_text(blocks(PLUGINS / "README.md")["training"])
    monkeypatch.syspath_prepend(str(tmp_path))
    import patient  # type: ignore[import-not-found]

    report = check_strategy(patient.Patient)
    report.require()
    assert {result.state for result in report.results} == {"passed"}
