"""What a run and a study will take is said before they begin."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.helpers import tiny
from tests.helpers.small_studies import study
from ticketsearch import MaskProblem, Ticket
from ticketsearch.engine import make_engine
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.plugins import STRATEGIES, available
from ticketsearch.report.plan import time_in_words
from ticketsearch.report.progress import ProgressBar
from ticketsearch.runner.forecast import Extent, Forecast, Foreseeable, Speed, expected_epochs, forecast, known_problem
from ticketsearch.runner.progress import Silent
from ticketsearch.runner.run import run
from ticketsearch.runner.setup import Setup
from ticketsearch.strategies.base import make_strategy
from ticketsearch.studies.execution import compute
from ticketsearch.studies.forecast import Ahead, look_ahead
from ticketsearch.studies.item import Common
from ticketsearch.studies.study import Study, planned

OURS = [plugin.name for plugin in available(STRATEGIES) if plugin.distribution == "ticketsearch"]
SHORT: dict[str, dict[str, Any]] = {"es-hybrid": {"length": 0.5}, "imp": {"rounds": 2, "round_steps": "50%"}}


@pytest.fixture(scope="module")
def setup() -> Setup:
    task = tiny.task()
    return Setup.of(task, make_engine(task, "cpu", "auto", 1), seed=0)


@pytest.mark.parametrize("name", OURS)
def test_a_search_spends_at_most_what_was_expected(name: str, setup: Setup, tmp_path: Path) -> None:
    settings = SHORT.get(name, {})
    expected = expected_epochs(make_strategy(name, settings), known_problem(setup, 0.9, 100.0))
    result = run(name, setup.task, budget=100, settings=settings, orders=1, checkpoints=0, out=tmp_path)
    assert 0 < result.cost.epochs <= expected * (1 + 1e-9)
    if isinstance(make_strategy(name, settings), Foreseeable) and name != "early-bird":  # which stops when it is sure
        assert result.cost.epochs >= 0.75 * expected


def test_the_time_of_a_search_is_its_budget_at_the_speed_of_this_machine(setup: Setup) -> None:
    task, speed = setup.task, Speed(masked=1e-6, dense=4e-6)
    size, training = len(task.train.labels), 3 * task.recipe.steps * task.recipe.batch_size
    found = forecast(setup, make_strategy("ga", {}), 0.9, 50.0, Extent(2, 4, ("cyclic",)), speed)
    assert found.epochs == 50
    assert found.search == pytest.approx(50 * 3 * size * 1e-6)
    rounds = 11  # of a fifth each, to a density of 0.1: 0.8**10 = 0.107
    assert found.confirmation == pytest.approx(2 * training * ((3 + 4 + rounds) * 1e-6 + 4e-6))
    trained = forecast(setup, make_strategy("magnitude", {}), 0.9, 50.0, Extent(2, 4), speed)
    epochs = task.recipe.steps / (size / task.recipe.batch_size)
    assert trained.search == pytest.approx(epochs * 3 * size * 4e-6)
    assert trained.confirmation == pytest.approx(2 * training * (3 * 1e-6 + 4e-6))


@dataclass(frozen=True)
class Boaster:
    says: str

    def trainings(self, _problem: object) -> float:
        if self.says == "refuse":
            raise InvalidValue("no such thing")
        return float(self.says)

    def search(self, problem: MaskProblem) -> Ticket | None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("says", "error", "message"),
    [
        ("nan", StrategyError, "Boaster.trainings: nan is no number"),
        ("-1", StrategyError, "Boaster.trainings: -1.0 is no number"),
        ("much", StrategyError, "Boaster.trainings: ValueError: could not convert"),
        ("refuse", InvalidValue, "no such thing"),
    ],
)
def test_a_strategy_that_says_no_number_is_named(says: str, error: type[Exception], message: str, setup: Setup) -> None:
    with pytest.raises(error, match=message):
        expected_epochs(Boaster(says), known_problem(setup, 0.9, 10.0))


def ahead_of(plan: Study, jobs: int = 1) -> Ahead:
    return look_ahead(planned(plan), Common(plan.out, "cpu", "auto", None, False, jobs))


def test_the_frontier_leaves_out_what_the_budget_cannot_pay(tmp_path: Path) -> None:
    plan = study(tmp_path / "out", strategies=["imp"], frontier=True, budget="30ep", seeds=[0])
    ahead = ahead_of(plan)
    assert len(planned(plan)) == 19
    recipe = tiny.task().recipe
    whole = recipe.steps * recipe.batch_size / len(tiny.task().train.labels)
    needs = {3: 3 * whole, 11: 11 * whole}
    assert needs[11] > 30
    dear = [line for line in ahead.left_out if "rounds=11, round_steps=100%" in line]
    assert len(dear) == 2
    assert dear[0].endswith(f"needs {needs[11]:.4g}ep of a budget of 30ep")
    assert len(ahead.items) + len(ahead.left_out) == 19
    finished = compute(plan, ahead=replace(ahead, items=ahead.items[:4]))
    assert [one.reason for one in finished if one.result is None] == []
    named = study(tmp_path / "out", strategies=[{"name": "imp", "rounds": 11, "round_steps": "100%"}], budget="30ep")
    assert ahead_of(named).left_out == []  # who names it hears why it fails


def test_what_is_finished_takes_no_time(tmp_path: Path) -> None:
    plan = study(tmp_path / "out")
    before = ahead_of(plan)
    assert (before.finished, before.unknown) == (0, 0)
    assert before.seconds > 0
    compute(plan, ahead=before)
    after = ahead_of(plan)
    assert (after.finished, after.seconds) == (4, 0.0)
    more = ahead_of(study(tmp_path / "out", seeds=[0, 1, 2], tasks=["tests.helpers.tiny:task", "nowhere:task"]))
    assert (more.finished, more.unknown) == (4, 6)
    assert more.seconds > 0


def test_it_is_said_in_a_line() -> None:
    ahead = Ahead([object()] * 5, [], {}, 2, 90.0, 1)  # type: ignore[list-item]
    assert (
        time_in_words(ahead)
        == "2 of them finished, the others at most about 2 min, 1 that will fail or cannot be foreseen"
    )
    assert time_in_words(replace(ahead, finished=0, unknown=0)) == "at most about 2 min"
    assert time_in_words(replace(ahead, finished=5, unknown=0)) == "5 of them finished"


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (
            Forecast(100.0, 20.0, 2000.0),
            "at most about 2 min: 2 min for a search of up to 2000 ep, 20 s for",
        ),
        (Forecast(1.0, 2.0, 60.0), ""),
    ],
)
def test_a_run_says_it_unless_it_is_over_at_once(ahead: Forecast, said: str) -> None:
    text = io.StringIO()
    ProgressBar(Console(file=text), "ga", 2000.0).begin(lambda: ahead)
    assert bool(text.getvalue()) == bool(said)
    assert said in text.getvalue()


def test_a_run_asks_for_a_forecast_before_it_searches(setup: Setup, tmp_path: Path) -> None:
    said: list[Any] = []

    class Watching(Silent):
        def begin(self, forecast: Callable[[], Forecast]) -> None:
            said.append(forecast())

        def search(self, problem: MaskProblem) -> None:
            said.append("search")

    run("random", setup.task, budget=12, orders=1, out=tmp_path, progress=Watching())
    assert said[0].epochs == 12
    assert said[0].seconds > 0
    assert set(said[1:]) == {"search"}
