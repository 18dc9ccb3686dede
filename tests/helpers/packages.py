"""Packages put on the path."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest


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
