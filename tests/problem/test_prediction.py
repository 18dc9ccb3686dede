"""``problem.predict`` and ``score=`` a predictor: metered, remembered, recorded, resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.packages import install
from tests.helpers.runs import Breaking, Crash, crash, outcome, run, trials_of
from ticketsearch import MaskProblem
from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.errors import BudgetExhausted, InvalidValue, PluginError, SearchStalled, StrategyError, UnknownName
from ticketsearch.leaderboard.analysis import _kind
from ticketsearch.masks import digest
from ticketsearch.plugins import require_predictor
from ticketsearch.predictors import predictor_named
from ticketsearch.records.results import score_in_words
from ticketsearch.runner.verify import verify_run
from ticketsearch.strategies.base import make_strategy


@dataclass(frozen=True)
class First:
    """How many of the first half are kept; a fixed value for all, if there is one."""

    value: float | None = None
    sign: ClassVar[int] = -1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        kept = masks[:, : masks.shape[1] // 2].sum(1).astype(float)
        return kept if self.value is None else np.full(len(masks), self.value)


@dataclass(frozen=True)
class Wrong:
    """Gives what it should not."""

    given: Any = None
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> Any:
        return self.given


def test_each_mask_is_scored_by_itself_and_higher_is_better() -> None:
    problem = tiny.make_problem()
    masks = tiny.masks_of(problem, 5)
    scores = problem.predict(masks, First())
    assert [one.value for one in scores] == (-masks[:, :123].sum(1)).tolist()
    best = problem.incumbent
    assert best is not None
    assert best.score == max(scores)
    assert problem.spent.forward_examples == problem.spent.thirds == 5  # one example each: no search is endless
    ledger = problem._session.replay.ledger
    assert [(trial.kind, trial.mask) for trial in ledger] == [("predict", digest(mask)) for mask in masks]
    assert problem.predict(masks, First()) == scores  # from memory
    assert problem.trials == 5


def test_what_a_predictor_evaluates_on_its_way_is_not_the_search_s_best() -> None:
    problem = tiny.make_problem(1000.0)
    masks = tiny.masks_of(problem, 4)
    scores = problem.predict(masks, predictor_named("loss-after"))
    assert [float(score) for score in scores] == [float(one) for one in problem.evaluate(masks, score="loss")]
    twin = tiny.make_problem(1000.0)
    twin.predict(masks, predictor_named("accuracy-after"))
    assert [one.fidelity for one in twin.incumbents] == [1] * len(twin.incumbents)


def test_the_budget_ends_it_between_masks() -> None:
    problem = tiny.make_problem(1.0)  # 300 examples
    masks = tiny.masks_of(problem, 5)
    with pytest.raises(BudgetExhausted):
        problem.predict(masks, predictor_named("gradient-norm(examples=100)"))
    assert [trial.kind for trial in problem._session.replay.ledger] == ["gradients", "predict"] * 2
    assert problem.incumbent is not None


def test_known_masks_are_free_but_not_for_ever() -> None:
    problem = tiny.make_problem()
    masks = tiny.masks_of(problem, 2)
    with pytest.raises(SearchStalled):
        problem.predict(np.tile(masks, (2000, 1)), First())
    assert problem.trials == 2


def test_what_is_no_number_is_a_failure_and_never_the_best() -> None:
    problem = tiny.make_problem()
    masks = tiny.masks_of(problem, 2)
    [failed] = problem.predict(masks[:1], First(float("nan")))
    assert failed.failed
    assert "First(value=nan) gave nan" in failed.reason
    assert problem.incumbent is None
    for given, words in (
        (np.zeros(3), r"shape \(3,\); needed: \(1,\)"),
        (1.0, r"shape \(\)"),
        (["x"], "gave list, not numbers"),
    ):
        with pytest.raises(StrategyError, match=words):
            problem.predict(masks[:1], Wrong(given))


@pytest.mark.parametrize("name", ["sa", "cma-es"])
def test_searches_by_a_predictor_are_runs_like_others(name: str, tmp_path: Path) -> None:
    population = "chains" if name == "sa" else "population"
    strategy = make_strategy(name, {"score": "snip(examples=30)", population: 4})
    result = run(tmp_path, strategy, budget="3ep")
    assert result.calls.keys() == {"gradients", "predict"}
    assert _kind(result) == "hybrid"
    assert result.search_score == max(trial.score or 0 for trial in trials_of(result.run) if trial.kind == "predict")
    assert verify_run(result.run, trials=2, strategy=strategy, task=tiny.make_task()).differences == []


def test_a_search_without_gradients_is_a_search(tmp_path: Path) -> None:
    result = run(tmp_path, make_strategy("ga", {"score": "loss-after", "population": 4}), budget="6ep")
    assert result.calls.keys() == {"evaluate", "predict"}
    assert _kind(result) == "search"


def test_a_search_that_was_killed_goes_on(tmp_path: Path) -> None:
    strategy = make_strategy("ga", {"score": "hessian-eigenvalue(examples=30, iterations=2, steps=2)", "population": 4})
    whole = run(tmp_path / "whole", strategy, budget="8ep")
    with pytest.raises(Crash):
        run(tmp_path / "broken", strategy, budget="8ep", progress=Breaking(9, crash))
    assert outcome(run(tmp_path / "broken", strategy, budget="8ep")) == outcome(whole)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"score": "snpi"}, UnknownName, "unknown score 'snpi'; did you mean 'snip'"),
        ({"score": "snip(example=3)"}, UnknownName, "unknown parameter of predictor 'snip' 'example'"),
        ({"score": "snip(examples=0)"}, InvalidValue, "predictor 'snip': examples = 0"),
        ({"score": "snip", "repeats": 2}, InvalidValue, "'snip' is a predictor, computed once"),
        ({"score": "snip", "weights": "inherited"}, InvalidValue, "weights=inherited do not apply"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(")):
        make_strategy("ga", settings)


def test_strategies_of_several_lengths_need_trainings(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="'snip' is a predictor, and this strategy scores masks by trainings"):
        run(tmp_path, make_strategy("hyperband", {"score": "snip"}))


class NoDataclass:
    sign = 1


@dataclass(frozen=True)
class NoSign:
    def predict(self, problem: Any, masks: Any) -> Any: ...


@dataclass(frozen=True)
class OneArgument:
    sign: ClassVar[int] = 1

    def predict(self, problem: Any) -> Any: ...


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (NoDataclass, r"not a dataclass with a predict\(problem, masks\) method"),
        (NoSign, "its sign is None; say sign: ClassVar"),
        (OneArgument, r"cannot be called as predict\(problem, masks\)"),
    ],
)
def test_what_is_no_predictor_is_refused(cls: type, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        require_predictor(cls, "predictor 'mine'")


def test_scores_above_one_are_no_percentages() -> None:
    assert score_in_words(12.3456) == "12.35"


def test_anybody_s_predictor_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "foreign-norm"\nversion = "1.0"\n'
        '[project.entry-points."ticketsearch.predictors"]\nforeign = "foreign_norm:Mine"\n'
    )
    (tmp_path / "foreign_norm.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\nimport numpy as np\n\n"
        '@dataclass(frozen=True)\nclass Mine:\n    """Magnitudes kept."""\n\n    power: int = 1\n'
        "    sign: ClassVar[int] = 1\n\n    def predict(self, problem, masks):\n"
        "        return (masks * np.abs(problem.initial_weights().vector) ** self.power).sum(1)\n"
    )
    install(tmp_path, monkeypatch)
    problem = tiny.make_problem()
    masks = tiny.masks_of(problem, 2)
    found = problem.predict(masks, predictor_named("foreign(power=2)"))
    expected = (masks * problem.initial_weights().vector ** 2).sum(1)
    assert [float(score) for score in found] == pytest.approx(expected.tolist(), rel=1e-5)
    assert make_strategy("ga", {"score": "foreign-norm:foreign"})
    at_a_place = predictor_named("tests.problem.test_prediction:First(value=2.0)")
    assert at_a_place.predict(problem, masks).tolist() == [2.0, 2.0]
