"""Names of strangers reach no terminal, page, table or picture as anything but text."""

from __future__ import annotations

import csv
import io
import sys
import types
import unicodedata
import xml.etree.ElementTree as ET
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.studies import analysed, made
from ticketsearch.errors import InvalidValue, PluginError
from ticketsearch.leaderboard import build
from ticketsearch.leaderboard.studies import LoadedStudy, load_study, write_archive
from ticketsearch.plugins import registry
from ticketsearch.records.folder import SPEC
from ticketsearch.records.record import write_record
from ticketsearch.records.results import write_result
from ticketsearch.records.study_records import Failure, Failures
from ticketsearch.report import text, verdicts
from ticketsearch.report.raw import csv_text
from ticketsearch.strategies.base import make_strategy
from ticketsearch.visible import visible

EVIL = "=cmd\x1b[2J\x07\u202e\r\n\x00\ufffe|[/x]`*<b>](http://a)\x9b31m\x7f"


def is_harmless(shown: str) -> bool:
    """Nothing but characters that can be seen, and line breaks."""
    return all(
        one == "\n" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp") for one in shown
    )


@pytest.mark.parametrize(
    "point", [*range(0x20), 0x7F, 0x85, 0x9B, 0x200E, 0x202E, 0x2066, 0x2028, 0xFEFF, 0xFFFE, 0xD800]
)
def test_what_cannot_be_seen_is_written_as_python_does(point: int) -> None:
    shown = visible(f"a{chr(point)}b")
    assert shown == "a" + repr(chr(point))[1:-1] + "b"
    assert is_harmless(shown)


def test_what_can_be_seen_stays() -> None:
    for name in ("plain", "Füße 最 ±", "a b", "\\x1b", "😀"):
        assert visible(name) == name
    assert visible("a\nb", keep="\n") == "a\nb"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of results whose every name is evil."""
    changes: dict[str, Any] = {
        "task": EVIL,
        "parameters": {EVIL: EVIL},
        "versions": {EVIL: EVIL},
        "device": EVIL,
        "stopped": EVIL,
        "left_dense": {EVIL: EVIL},
        "notes": {EVIL: EVIL},
        "keep": [EVIL],
        "task_source": EVIL,
        "layers": [{"name": EVIL, "shape": [10], "kept": 5, "density": 0.5}],
    }
    for strategy in ("imp", EVIL):
        for seed in range(2):
            one = made(strategy, seed, 0.8, 0.1, 90.0, search=strategy == EVIL, **changes)
            place = tmp_path / "runs" / f"{'imp' if strategy == 'imp' else 'evil'}\x1b-{seed}"
            place.mkdir(parents=True)
            (place / SPEC).write_text("{}")
            write_result(place, one)
    broken = tmp_path / "runs" / "broken\x1b[31m"
    broken.mkdir()
    (broken / SPEC).write_text("{}")
    (broken / "result.json").write_text("{")
    failure = Failure(strategy=EVIL, settings={EVIL: EVIL}, task=EVIL, sparsity=0.8, seed=3, budget=EVIL, reason=EVIL)
    write_record(tmp_path / "runs" / "failures.json", Failures(failures=[failure]))
    return tmp_path / "runs"


def test_every_output_of_a_report(folder: Path, tmp_path: Path, cli: Any) -> None:
    names = {kind: tmp_path / f"out.{kind}" for kind in ("svg", "csv", "html")}
    done = cli("report", folder, *(word for kind, path in names.items() for word in (f"--{kind}", path)))
    assert done.code == 1  # one of the runs is damaged
    for shown in (done.out, done.err, *(path.read_text() for kind, path in names.items() if kind != "html")):
        assert is_harmless(shown)
    assert "[/x]" in done.out  # and is no markup of the terminal's tables
    assert "broken\\x1b[31m" in done.err
    ET.fromstring(names["svg"].read_text())  # well-formed
    page = names["html"].read_text()
    assert not set(page) & set("\x1b\x07\u202e\x00\x9b\ufffe\x7f")
    assert "<b>](" not in page
    for row in csv.reader(io.StringIO(names["csv"].read_text())):
        for cell in row:
            try:
                float(cell)
            except ValueError:
                assert not cell.lstrip().startswith(("=", "+", "-", "@")), cell


def test_markdown(folder: Path, cli: Any) -> None:
    done = cli("report", folder, "--markdown")
    assert is_harmless(done.out)
    rows = [line for line in done.out.splitlines() if line.startswith("|")]
    cells = {line.replace("\\|", "").count("|") for line in rows if "trained" not in line}
    assert cells  # every row of a table has as many cells as its head
    for line in rows:
        assert "<b>" not in line.replace("\\<", "")
        assert "](http" not in line
    study = load_study(folder)
    assert is_harmless(text.markdown(build(study.results)))
    assert is_harmless(verdicts.as_markdown(analysed(study)))


def test_archives_are_no_way_around(folder: Path, tmp_path: Path) -> None:
    study = load_study(folder)
    raw = [one.model_copy(update={"task": EVIL, "strategy": EVIL, "run": EVIL}) for one in study.results]
    write_archive(tmp_path / "a.json.gz", LoadedStudy(raw, [], study.failures))
    again = load_study(tmp_path / "a.json.gz")
    assert again.results
    assert all(is_harmless(one.task + one.strategy + str(one.parameters)) for one in again.results)
    assert is_harmless(csv_text(again.results))


def test_tasks_and_strategies_of_such_names_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = tiny.make_task()
    with pytest.raises(InvalidValue, match="visible characters") as caught:
        ticketsearch.Task("a\x1b[31m", task.network, task.train, task.validation, task.test, task.recipe, 2)
    assert is_harmless(str(caught.value))
    strategy = type("Evil\x1b", (type(make_strategy("random", {})),), {})
    with pytest.raises(InvalidValue, match="visible characters"):
        ticketsearch.run(strategy(), task, out=tmp_path)

    class Points(list[Any]):
        def select(self, name: str) -> Points:
            return Points(one for one in self if one.name == name)

    point = types.SimpleNamespace(name="a\x1b[2J", value="m:C", dist=None)
    monkeypatch.setattr(registry, "entry_points", lambda group: Points([point]))
    with pytest.raises(PluginError, match="cannot be seen") as refused:
        registry.find(registry.STRATEGIES, "a\x1b[2J")
    assert is_harmless(str(refused.value))


def test_lists_of_plug_ins(monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    point = EntryPoint("a\x1b[2J\nb", "m:C", registry.STRATEGIES)
    plugin = registry.Plugin(point.name, point.value, "dist\x07", "1\u202e", point)
    monkeypatch.setattr("ticketsearch.plugins.status.available", lambda group: [plugin])
    done = cli("strategies")
    assert is_harmless(done.out)
    assert "\\x1b[2J\\nb" in done.out


def test_layers_and_errors_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], cli: Any) -> None:
    sys.modules["evil_tasks"] = module = types.ModuleType("evil_tasks")
    module.task = evil_task  # type: ignore[attr-defined]
    try:
        arguments = [
            "--strategy",
            "magnitude",
            "--task",
            "evil_tasks:task",
            "--sparsity",
            "0.5",
            "--budget",
            "20ep",
            "--orders",
            "1",
            "--checkpoints",
            "0",
            "--out",
            tmp_path,
        ]
        done = cli("run", *arguments)
        wrong = cli("run", *arguments, "--keep", "no\x1b[2J")
    finally:
        del sys.modules["evil_tasks"]
    assert done.code == 0, done.err
    assert "evil\\x1b[2J" in done.out
    assert wrong.code == 2
    for one in (done, wrong):
        assert is_harmless(one.out + one.err)


def evil_task() -> ticketsearch.Task:
    """The network's first layer has a name that clears the screen."""
    import torch

    def network() -> torch.nn.Module:
        made = torch.nn.Sequential()
        made.add_module("evil\x1b[2J", torch.nn.Linear(6, 8))
        made.add_module("[/x]", torch.nn.Linear(8, 3))
        return made

    task = tiny.make_task()
    inputs = [torch.randn(40, 6, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    labels = torch.arange(40) % 3
    train, validation, test = (ticketsearch.Split(one, labels) for one in inputs)
    return ticketsearch.Task("evil", network, train, validation, test, task.recipe, fidelity=2)
