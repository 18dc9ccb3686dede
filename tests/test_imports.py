from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ticketsearch
from tests.conftest import ROOT, python

PACKAGE = ROOT / "ticketsearch"
ROWS = [
    {"errors", "arrays", "cost", "seeds", "files", "folders", "lock", "visible", "sealed", "recipe"},
    {"applying", "masks", "plugins", "tickets", "units", "results", "scores", "densities", "relaxation"},
    {"actions", "criteria", "controls", "encodings", "tasks", "compaction"},
    {"engine"},
    {"checkpoints", "ledger", "audit", "journal", "pricing", "session", "evaluator", "trainer", "problem"},
    {"strategy", "strategies", "halving", "asktell"},
    {
        "confirm",
        "anytime",
        "spec",
        "search",
        "runner",
        "verify",
        "ablation",
        "baseline",
        "study",
        "executors",
        "provenance",
        "reconfirm",
        "rounds",
        "exporting",
    },
    {"leaderboard", "report"},
    {"testing", "scaffold"},
    {"cli", "__main__"},
]
"""Lowest first: a module imports from its own row and those before it, for type checking too."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":  # the package's own front is above all rows
            yield name, ast.parse(path.read_text(), str(path))


def imports(tree: ast.Module) -> Iterator[str]:
    """Modules of this package that a module imports anywhere in it, the package's name cut off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("ticketsearch."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if node.module == "ticketsearch":
                yield from (alias.name for alias in node.names)
            elif node.module and node.module.startswith("ticketsearch."):
                yield node.module.partition(".")[2]


def row(name: str) -> int:
    top = name.partition(".")[0]
    top = ticketsearch._HOME.get(top, top)  # ``from ticketsearch import run`` is an import of runner
    found = [index for index, names in enumerate(ROWS) if top in names]
    assert len(found) == 1, f"{name!r} is in {len(found)} rows"
    return found[0]


def test_every_module_has_one_row_and_every_row_is_used() -> None:
    tops = {name.partition(".")[0] for name, _ in modules()}
    assert tops == set().union(*ROWS)


def test_no_import_points_upwards() -> None:
    upward = [
        f"{name} imports {other}" for name, tree in modules() for other in imports(tree) if row(other) > row(name)
    ]
    assert upward == []


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
