"""Overlap is computed from the masks that runs left, where they did."""

from __future__ import annotations

from pathlib import Path

import pytest

import ticketsearch
from tests.helpers import tiny
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.studies import load_study
from ticketsearch.records.folder import TICKET
from ticketsearch.records.results import Result
from ticketsearch.report import charts
from ticketsearch.report.masks import Overlaps, overlaps_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for strategy in ("magnitude", "snip", "imp"):
        for seed in range(2):
            ticketsearch.run(strategy, tiny.make_task(), sparsity=0.8, budget="60ep", seed=seed, out=out, orders=1)
    return out


def read(folder: Path, results: list[Result] | None = None) -> Overlaps:
    results = results or load_study(folder).results
    [section] = analyse(results)
    return overlaps_of(section, {one.run: one for one in results})


def test_masks_of_all_strategies_are_compared(folder: Path) -> None:
    found = read(folder)
    assert sorted(found.labels) == ["imp", "magnitude", "snip"]
    assert {frozenset(pair) for pair in found.found} == {
        frozenset(pair) for pair in (("imp", "magnitude"), ("imp", "snip"), ("magnitude", "snip"))
    }
    assert all(value.n == 2 and -1 < value.value < 1 for value in found.found.values())
    assert not found.problems


def test_the_figure_is_symmetric_and_shows_them(folder: Path) -> None:
    results = load_study(folder).results
    [section] = analyse(results)
    own = read(folder)
    [plot] = charts.overlap(section, own.labels, own.found).plots.values()
    table = plot["data"][0]["z"]
    for i, a in enumerate(own.labels):
        for j, b in enumerate(own.labels):
            value = own.found.get((a, b)) or own.found.get((b, a))
            assert table[i][j] == (None if value is None else pytest.approx(value.value, rel=1e-3))


def test_missing_damaged_and_foreign_tickets_are_told(folder: Path) -> None:
    [gone, _, *others] = sorted(path for path in folder.iterdir() if "magnitude" in path.name or "snip" in path.name)
    kept = {path: (path / TICKET).read_bytes() for path in (gone, *others)}
    results = load_study(folder).results
    try:
        (gone / TICKET).unlink()
        (others[0] / TICKET).write_bytes(b"nonsense")
        (others[1] / TICKET).write_bytes(kept[gone])
        problems = read(folder, results).problems  # damaged since they were read
        study = load_study(folder)
    finally:
        for path, content in kept.items():
            (path / TICKET).write_bytes(content)
    assert len(problems) == 2
    assert len(study.results) == len(results) - 3
    for path in (gone, *others[:2]):
        assert any(str(path / TICKET) in line for line in study.problems)
    assert any("not a readable ticket" in line and str(others[0]) in line for line in problems)
    assert any("not the one its result is about" in line and str(others[1]) in line for line in problems)
