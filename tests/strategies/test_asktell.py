from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import AskTellStrategy, BudgetExhausted, MaskProblem, Score
from ticketsearch.arrays import BoolArray
from ticketsearch.errors import StrategyError

LOG: list[tuple[str, Any]] = []


@dataclass
class State:
    problem: MaskProblem
    rng: np.random.Generator
    asked: BoolArray | None = None


@dataclass(frozen=True)
class Logged(AskTellStrategy[State]):
    batch: int = 3
    fewer: int = 0

    def start(self, problem: MaskProblem) -> State:
        LOG.append(("start", None))
        return State(problem, problem.rng("x"))

    def ask(self, state: State, n: int) -> BoolArray:
        LOG.append(("ask", n))
        state.asked = state.problem.space.random(state.problem.n_kept, state.rng, n - self.fewer)
        return state.asked

    def tell(self, state: State, masks: BoolArray, scores: Sequence[Score]) -> None:
        assert state.asked is not None
        assert np.array_equal(masks, state.asked)
        LOG.append(("tell", [score.value for score in scores]))


def test_asks_and_tells_in_turn_until_the_budget_ends() -> None:
    LOG.clear()
    problem = tiny.make_problem(7)  # six evaluations of 10/9 of an epoch
    strategy = Logged()
    with pytest.raises(BudgetExhausted):
        strategy.search(problem)
    assert [kind for kind, _ in LOG] == ["start", "ask", "tell", "ask", "tell", "ask"]
    assert {what for kind, what in LOG if kind == "ask"} == {3}
    assert problem.trials == 6
    assert vars(strategy) == {"batch": 3, "fewer": 0}


def test_fewer_masks_than_asked_for_may_be_returned_but_some() -> None:
    with pytest.raises(BudgetExhausted):
        Logged(fewer=1).search(tiny.make_problem(7))
    with pytest.raises(StrategyError, match=r"Logged\.ask\(state, 3\) returned 4 masks; it must return from 1 to 3"):
        Logged(fewer=-1).search(tiny.make_problem(7))


@dataclass(frozen=True)
class Returns(AskTellStrategy[None]):
    kind: str = "empty"

    def start(self, problem: MaskProblem) -> None:
        return None

    def ask(self, state: None, n: int) -> Any:
        return {"empty": [], "one": np.ones(7, dtype=bool), "count": np.ones((2, tiny.SIZE), dtype=bool)}[self.kind]

    def tell(self, state: None, masks: BoolArray, scores: Sequence[Score]) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("kind", "words"), [("empty", "shape"), ("one", r"shape \(P, 246\), not \(7,\)"), ("count", "keeps 246 of 246")]
)
def test_what_is_no_batch_of_masks_is_refused(kind: str, words: str) -> None:
    with pytest.raises(StrategyError, match=words):
        Returns(kind).search(tiny.make_problem(7))
