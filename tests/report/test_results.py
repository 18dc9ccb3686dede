"""Results in Python: a sequence of runs, a data frame, pictures; made by a study, or read."""

from __future__ import annotations

import builtins
import html.parser
import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli, python
from ticketsearch import Results, compare, load_results
from ticketsearch.errors import InvalidValue, NotARun
from ticketsearch.leaderboard.studies import LoadedStudy

GRID: dict[str, Any] = {
    "tasks": "tests.helpers.tiny:task",
    "sparsities": [0.8, 0.9],
    "seeds": range(2),
    "budget": 12,
    "orders": 1,
    "checkpoints": 0,
    "controls": [],
    "baselines": False,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results") / "runs"


@pytest.fixture(scope="module")
def results(out: Path) -> Results:
    failing = {"name": "imp", "round_steps": "99ep"}
    return compare(["random", "magnitude", failing], out=out, **GRID)


def test_it_is_a_sequence_of_runs(results: Results) -> None:
    assert len(results) == 8
    assert {type(one) for one in results} == {ticketsearch.Result}
    assert results[0].seed == 0
    assert len(results[:3]) == 3
    assert [one.strategy for one in results.failures] == ["imp"] * 4
    assert "more than the budget" in results.failures[0].reason or "budget is 12ep" in results.failures[0].reason
    assert repr(results) == "<Results: 8 runs of 2 strategies, 4 failed; tiny at 0.8, tiny at 0.9>"
    assert len(results.only(sparsity=0.8)) == 4
    with pytest.raises(NotARun, match=r"tiny at 0\.8"):
        results.only(sparsity=0.5)


def test_again_it_is_read_back(results: Results, out: Path) -> None:
    again = compare("random", out=out, **GRID)
    assert [one.run for one in again] == [one.run for one in results if one.strategy == "random"]


def test_what_is_read_is_what_was_made(results: Results, out: Path, tmp_path: Path) -> None:
    results.save(tmp_path / "mine.json.gz")
    for read in (
        load_results(out),
        load_results(tmp_path / "mine.json.gz"),
        load_results(out, tmp_path / "mine.json.gz"),
    ):
        assert {one.mask_digest for one in read} == {one.mask_digest for one in results}
        assert len(read) == 8
        assert read.leaderboard()[0].rows[0].test_accuracy == results.leaderboard()[0].rows[0].test_accuracy
    assert len(load_results(out).failures) == 4


def test_a_frame_has_the_columns_of_the_csv_file(results: Results, out: Path, cli: Cli, tmp_path: Path) -> None:
    frame = results.to_frame()
    assert cli("report", out, "--csv", tmp_path / "x.csv").code == 0
    table = pd.read_csv(tmp_path / "x.csv")
    assert set(frame.columns) == set(table.columns)
    assert sorted(frame["test_accuracy"]) == sorted(table["test_accuracy"])
    assert frame.groupby("strategy").size().to_dict() == {"magnitude": 4, "random": 4}


def test_without_pandas_the_remedy_is_told(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def none(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(InvalidValue, match=r"pip install 'ticketsearch\[frame\]'"):
        results.to_frame()


def test_pictures_are_plotly_s_and_show_every_strategy(results: Results) -> None:
    for figure in (results.plot_cost("tiny", 0.9), results.plot_seeds(sparsity=0.8), results.plot_sparsity()):
        assert isinstance(figure, go.Figure)
        assert len(figure.data) >= 2
        drawn = json.loads(figure.to_json())
        assert "magnitude" in json.dumps(drawn["data"]) or "SGD" in json.dumps(drawn["data"])
        assert drawn["layout"]["title"]


def test_a_picture_is_of_one_leaderboard(results: Results) -> None:
    with pytest.raises(InvalidValue, match=r"say which of tiny at 0\.8, tiny at 0\.9"):
        results.plot_cost()
    with pytest.raises(InvalidValue, match=r"task large at sparsity 0\.9 is not one"):
        results.plot_seeds("large", 0.9)
    with pytest.raises(InvalidValue, match="say which of tiny"):
        results.plot_sparsity("large")


def test_a_notebook_shows_leaderboards_as_text(results: Results) -> None:
    class Counter(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.tags.append(tag)

    page = results._repr_html_()
    counter = Counter()
    counter.feed(page)
    assert counter.tags.count("table") == 2
    assert counter.tags.count("tr") == 2 * 3
    evil = results[0].model_copy(update={"strategy": "<script>x</script>"})
    assert "<script" not in Results(LoadedStudy([evil]))._repr_html_()


def test_a_task_may_be_a_function_in_a_module(results: Results, out: Path) -> None:
    again = compare(["random"], out=out, **{**GRID, "tasks": tiny.task})
    assert [one.run for one in again] == [one.run for one in results if one.strategy == "random"]
    with pytest.raises(InvalidValue, match="must be in a module"):
        compare("random", out=out, **{**GRID, "tasks": [lambda: tiny.task()]})


def test_a_wrong_key_is_named(out: Path) -> None:
    for wrong in ({"sparsity": 0.9}, {"seeds": "x"}, {"budget": True}):
        with pytest.raises(ticketsearch.TicketsearchError, match="compare: "):
            compare("random", out=out, **{**GRID, **wrong})


def test_reading_results_does_not_import_torch(out: Path, results: Results) -> None:
    read = f"import sys, ticketsearch; r = ticketsearch.load_results({str(out)!r}); r.plot_sparsity()"
    code = f"{read}; print(len(r), 'torch' in sys.modules)"
    assert python("-c", code).stdout == f"{len(results)} False\n"
