"""README and pages say what is so: links lead somewhere, and commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

import ticketsearch
from tests.helpers.commands import ROOT
from ticketsearch.cli import DEBUG, app
from ticketsearch.plugins import STRATEGIES, available
from ticketsearch.studies.study import Grid, Study

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "plugins" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"```(?:text|sh|bash)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"(?:^|&& |-- |`)(ticketsearch [^`\n]*)", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{name_of(page)} links to {link}"
        if anchor:
            heads = re.findall(r"(?m)^#+ (.*)$", place.read_text())
            assert anchor in [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads], link


def commands_of(page: Path) -> list[str]:
    """Command lines of a page: in its blocks, and between backticks."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    found = [one for line in lines for one in COMMAND.findall(line.strip())]
    found += re.findall(r"`(ticketsearch [a-z][^`\n]*)`", text)
    return [one for one in found if not re.match(r"ticketsearch (?:error|warning|[a-z-]+:)", one)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_commands_and_their_options_are_options(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for line in commands_of(page):
        words = [word for word in shlex.split(line, comments=True)[1:] if word not in (DEBUG, "...")]
        command, given = root, list(words)
        context = root.make_context("ticketsearch", [], resilient_parsing=True)
        while hasattr(command, "get_command") and given:
            found = command.get_command(context, given[0])
            if found is None:
                break
            command, given = found, given[1:]
            context = command.make_context(command.name, list(given), parent=context, resilient_parsing=True)
        assert command is not root, f"{name_of(page)}: {line}"
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        used = {word.partition("=")[0] for word in given if word.startswith("--")}
        assert used <= known | {"--help"}, f"{name_of(page)}: {line}: {used - known}"


def test_every_page_is_in_the_navigation_and_the_index() -> None:
    navigation, index = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in navigation
        assert page.name == "index.md" or f"({page.name})" in index


def test_the_readme_is_for_a_first_visit() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_the_page_on_studies_names_every_key() -> None:
    page = (ROOT / "docs" / "studies.md").read_text()
    rows = re.findall(r"(?m)^\| `([^`]+)` \|", page)
    assert rows == ["[[grid]]" if key == "grids" else key for key in (*_study_keys(), *Grid.model_fields)]


def _study_keys() -> list[str]:
    own = [key for key in Study.model_fields if key != "grids"]
    return [*own, "grids"]


def test_the_reference_has_every_strategy_and_every_public_name() -> None:
    strategies = (ROOT / "docs" / "reference-strategies.md").read_text()
    for plugin in available(STRATEGIES):
        if plugin.distribution == "ticketsearch":
            assert f"## {plugin.name}\n\n::: {plugin.value.replace(':', '.')}\n" in strategies
    names = set(re.findall(r"(?m)^::: ticketsearch\.[\w.]*\.(\w+)$", (ROOT / "docs" / "reference.md").read_text()))
    assert names >= set(ticketsearch.__all__) - {"API_VERSION", "build_leaderboard"} | {"build"}


def test_messages_that_the_pages_explain_are_those_of_the_package() -> None:
    source = " ".join(path.read_text() for path in (ROOT / "ticketsearch").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    table = page[page.index("## It says ...") : page.index("## It is slow")]
    for cell in re.findall(r"(?m)^\| (`.*?`) \|", table):
        for message in re.findall(r"`([^`]+)`", cell):
            parts = [part.strip() for part in re.split(r"\.\.\.|\bN\b|MNIST|\b\d+\b|weights", message)]
            assert all(part in source for part in parts), message
