"""Files of the version before can be read, and those of a later one are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.commands import ROOT, Cli
from tests.helpers.runs import run
from ticketsearch.errors import CorruptRun
from ticketsearch.records.folder import LEDGER, RESULT, SPEC
from ticketsearch.records.ledger import read_record
from ticketsearch.records.results import read_finished
from ticketsearch.records.schema import KEY, SCHEMA
from ticketsearch.records.spec import read_spec
from ticketsearch.records.ticket_file import load_ticket

BEFORE = ROOT / "tests" / "data" / f"schema-{SCHEMA - 1}"
"""A run of ``ga`` on the tiny task, as that version left it."""


def test_a_run_of_the_version_before_is_read(cli: Cli, tmp_path: Path) -> None:
    shutil.copytree(BEFORE, tmp_path / "old")
    result, spec = read_finished(tmp_path / "old"), read_spec(tmp_path / "old")
    assert KEY not in json.loads((BEFORE / RESULT).read_text())
    assert (result.strategy, spec.strategy, spec.parameters) == ("ga", "ga", result.parameters)
    assert result.confirmation.test_accuracies == [result.test_accuracy]
    assert len(read_record(tmp_path / "old" / LEDGER).trials) == result.trials == 10
    ticket = load_ticket(tmp_path / "old")
    assert ticket.mask_digest == result.mask_digest
    network = tiny.make_task().build(0)
    ticket.apply(network)
    assert sum(np.count_nonzero(mask) for mask in ticket.masks().values()) == result.n_kept
    reported = cli("report", tmp_path, "--json")
    assert reported.code == 0, reported.err
    assert f"{100 * result.test_accuracy:.1f}"[:4] in cli("report", tmp_path).out


@pytest.mark.parametrize("name", [SPEC, RESULT])
def test_files_carry_the_version(tmp_path: Path, name: str) -> None:
    folder = Path(run(tmp_path).run)
    assert json.loads((folder / name).read_text())[KEY] == SCHEMA


@pytest.mark.parametrize(
    ("version", "words"), [(SCHEMA + 1, "by a later ticketsearch"), (0, "is not a version"), ("x", "is not a version")]
)
def test_a_spec_of_another_version_is_named(tmp_path: Path, version: object, words: str) -> None:
    folder = Path(run(tmp_path).run)
    content = json.loads((folder / SPEC).read_text())
    (folder / SPEC).write_text(json.dumps(content | {KEY: version}))
    with pytest.raises(CorruptRun, match=words):
        read_spec(folder)


def test_the_version_is_no_part_of_a_run_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path / "a")
    monkeypatch.setattr("ticketsearch.records.schema.SCHEMA", SCHEMA + 1)
    assert Path(run(tmp_path / "b").run).name == Path(first.run).name
