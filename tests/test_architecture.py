from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers.commands import ROOT, python

PACKAGE = ROOT / "ticketsearch"
KERNELS = {"convolution", "gate_kernels", "kernels", "packing", "vectors"}
"""Compiled: arrays are passed one by one."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text(), str(path))


def contracts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return found


def test_no_import_points_upwards_or_in_a_circle() -> None:
    done = subprocess.run([sys.executable, "-c", LINT], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


LINT = (
    "import sys; from importlinter.cli import lint_imports_command; sys.argv = ['lint-imports']; lint_imports_command()"
)


def test_the_page_on_architecture_has_the_rows_that_the_linter_reads() -> None:
    [layers] = [contract["layers"] for contract in contracts() if contract["type"] == "layers"]
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = [re.findall(r"`(\w+)`", row) for row in re.findall(r"(?m)^\| (`[^|]*) \|", page)]
    assert rows[::-1] == [layer.split(" | ") for layer in layers]
    named = {module for row in rows for module in row}
    assert named == {
        path.stem for path in PACKAGE.iterdir() if path.name not in ("__init__.py", "py.typed", "__pycache__")
    }


def test_the_page_on_architecture_names_modules_that_there_are() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for folder, what in re.findall(r"(?m)^\| `(\w+)` \| (.*) \|$", page):
        for name in re.findall(r"`([a-z_]+)/?`", what):
            assert (PACKAGE / folder / f"{name}.py").exists() or (PACKAGE / folder / name).is_dir(), (folder, name)
    for folder, name in re.findall(r"`(?!pyproject)([a-z]+)\.([a-z_]+)`", page):
        assert (PACKAGE / folder / f"{name}.py").exists(), (folder, name)


def test_the_root_has_at_most_ten_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_no_function_has_more_than_seven_arguments() -> None:
    """But kernels, commands, tasks (their arguments are the options of ``--task-set``), and the public ``run``."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["ticketsearch.tasks"]
    tasks = {point.removeprefix("ticketsearch.").replace(":", ".") for point in points.values()}
    many = []
    for name, tree in modules():
        if name.startswith("cli") or name.rpartition(".")[2] in KERNELS:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len([one for one in arguments if one not in ("self", "cls")]) > 7:
                    many.append(f"{name}.{node.name}")
    assert set(many) - tasks == {"runner.run.run"}


def test_strategies_import_nothing_private() -> None:
    for name, tree in modules():
        if name.startswith("strategies."):
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ticketsearch"):
                    assert not [alias.name for alias in node.names if alias.name.startswith("_")], name


@pytest.mark.parametrize("name", ticketsearch.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(ticketsearch, name) is not None
    assert name in dir(ticketsearch)


def test_public_names_are_sorted_and_listed_once() -> None:
    assert list(ticketsearch.__all__) == sorted(set(ticketsearch.__all__))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ticketsearch.nonsense


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, ticketsearch; print({'torch', 'numpy', 'scipy', 'pydantic', 'rich'} & set(sys.modules))"
    assert python("-c", code).stdout.strip() == "set()"


def test_every_file_opens_with_what_it_is() -> None:
    missing = [name for name, tree in modules() if not ast.get_docstring(tree)]
    assert missing == []


def test_nothing_seeds_a_global_generator() -> None:
    """Law 5: randomness is passed. Only the fence may, and it puts things back."""
    calls = ("manual_seed", "np.random.seed", "random.seed", "default_rng()")
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "seeds.py":
            assert not [call for call in calls if call in Path(path).read_text()], path
