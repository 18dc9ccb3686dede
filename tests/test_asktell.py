from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests import tiny
from ticketsearch import AskTellStrategy, BudgetExhausted, MaskProblem, Score
from ticketsearch.arrays import BoolArray
from ticketsearch.errors import StrategyError
from ticketsearch.masks import random_masks

LOG: list[tuple[str, Any]] = []


@dataclass(frozen=True)
class Logged(AskTellStrategy):
    batch: int = 3
    fewer: int = 0

    def start(self, problem: MaskProblem) -> None:
        LOG.append(("start", None))
        self.problem, self.rng = problem, problem.rng("x")

    def ask(self, n: int) -> BoolArray:
        LOG.append(("ask", n))
        masks = random_masks(self.problem.space, self.problem.sparsity, n - self.fewer, self.rng)
        self.asked = masks
        return masks

    def tell(self, masks: BoolArray, scores: Sequence[Score]) -> None:
        assert np.array_equal(masks, self.asked)
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
    assert vars(strategy) == {"batch": 3, "fewer": 0}  # state was the copy's
    assert strategy == Logged()


def test_fewer_masks_than_asked_for_may_be_returned_but_some() -> None:
    with pytest.raises(BudgetExhausted):
        Logged(fewer=1).search(tiny.make_problem(7))
    with pytest.raises(StrategyError, match=r"Logged\.ask\(3\) returned 4 masks; it must return from 1 to 3"):
        Logged(fewer=-1).search(tiny.make_problem(7))


@dataclass(frozen=True)
class Returns(AskTellStrategy):
    kind: str = "empty"

    def ask(self, n: int) -> Any:
        return {"empty": [], "one": np.ones(7, dtype=bool), "count": np.ones((2, tiny.SIZE), dtype=bool)}[self.kind]

    def tell(self, masks: BoolArray, scores: Sequence[Score]) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("kind", "words"), [("empty", "shape"), ("one", r"shape \(P, 246\), not \(7,\)"), ("count", "keeps 246 of 246")]
)
def test_what_is_no_batch_of_masks_is_refused(kind: str, words: str) -> None:
    with pytest.raises(StrategyError, match=words):
        Returns(kind).search(tiny.make_problem(7))
