"""Packages to begin with: a strategy or a task that works, its test, its metadata, and a README.

Templates are files under ``templates``, in which ``{{...}}`` stands for a name, in contents and in file names. They are
complete packages otherwise, so that what an author gets is what is tested here.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ticketsearch.errors import InvalidValue, NotARun, UnknownName
from ticketsearch.plugins import STRATEGIES, TASKS, available

KINDS = ("search", "ask-tell", "training", "dynamic")


def write_strategy(name: str, kind: str, out: Path) -> Path:
    """Write ``out/ticketsearch-NAME`` with a strategy of one of ``KINDS``; the folder.

    Raises:
        UsageError: a name that cannot be one, a kind that there is not, or a folder that is there already.
    """
    if kind not in KINDS:
        raise UnknownName("kind of strategy", kind, KINDS)
    return _write(name, kind, out)


def write_task(name: str, out: Path) -> Path:
    """Write ``out/ticketsearch-NAME`` with a task; the folder. Raises as :func:`write_strategy` does."""
    return _write(name, "task", out)


def next_commands(folder: Path, name: str, what: str) -> str:
    """What to type next."""
    path = folder if folder.is_absolute() else f"./{folder}"
    run = f"--strategy {name}" if what == "strategy" else f"--strategy random --task {name}"
    return (
        f"next:\n  pip install -e {path}\n  ticketsearch check {name}\n"
        f"  ticketsearch run {run} --budget 200ep\n  ticketsearch report runs"
    )


def render(name: str, template: str) -> dict[str, str]:
    """File path -> content, of a template (one of ``KINDS``, or "task") under a name."""
    module = f"ticketsearch_{name.replace('-', '_')}"
    words = {
        "name": name,
        "distribution": f"ticketsearch-{name}",
        "module": module,
        "class": "".join(part.capitalize() for part in name.split("-")) + "Search",  # never a name that is imported
        "function": name.replace("-", "_") + "_task",
    }

    def filled(text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)

    files: dict[str, str] = {}
    shared = "task" if template == "task" else "strategy"
    for folder in dict.fromkeys((shared, template)):
        root = resources.files("ticketsearch.scaffold") / "templates" / folder
        for path, content in _files(root, ""):
            files[filled(path)] = filled(content)
    return files


def _files(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    """Templates end in ``.tmpl``, so that no tool takes them for what they become."""
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".tmpl"):
            found.append((prefix + entry.name.removesuffix(".tmpl"), entry.read_text(encoding="utf-8")))
    return found


def _write(name: str, template: str, out: Path) -> Path:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 60:
        raise InvalidValue(
            f"name {name!r} cannot be one: at most 60 lower-case letters and digits, words joined by single hyphens, "
            "a letter first"
        )
    taken = [p.distribution for p in available(TASKS if template == "task" else STRATEGIES) if p.name == name]
    if taken:
        raise InvalidValue(f"name {name!r} is taken by {taken[0]}; two of one name conflict")
    folder = out / f"ticketsearch-{name}"
    if folder.exists():
        raise NotARun(f"{folder} exists already; choose another name or another --out")
    try:
        for path, content in render(name, template).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise NotARun(f"{folder} cannot be written: {error.strerror}") from error
    return folder
