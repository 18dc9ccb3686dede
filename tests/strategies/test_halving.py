"""Successive halving: levels, survivors, and what it pays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import BudgetExhausted, MaskProblem
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import digest
from ticketsearch.strategies.halving import fidelities, successive_halving

EPOCHS_SHORT, EPOCHS_LONG = (10 * 30 + 100 / 3) / 300, (30 * 30 + 100 / 3) / 300


def test_levels_grow_by_the_reduction_and_stop_at_the_full_recipe(problem: MaskProblem) -> None:
    assert fidelities(problem, 2, 3) == [10, 30]
    assert fidelities(problem, 5, 2) == [10, 20, 40]  # 80 steps are more than the recipe's 60


def test_survivors_are_the_best_of_each_level_and_their_scores_are_those_of_the_last() -> None:
    problem = tiny.make_problem(budget=200.0)
    masks = tiny.masks_of(problem, 9)
    result = successive_halving(problem, masks, levels=2, reduction=3)
    short = problem.evaluate(masks, fidelity=10)  # known by now, so free
    best = {digest(masks[row]) for row in sorted(range(9), key=lambda row: short[row], reverse=True)[:3]}
    assert {digest(mask) for mask, _ in result} == best
    assert [score for _, score in result] == problem.evaluate([mask for mask, _ in result], fidelity=30)
    assert [score for _, score in result] == sorted((score for _, score in result), reverse=True)


def test_every_level_is_paid_for_as_it_is_trained() -> None:
    problem = tiny.make_problem(budget=200.0)
    successive_halving(problem, tiny.masks_of(problem, 9), levels=2, reduction=3)
    assert problem.spent.train_examples == 30 * (9 * 10 + 3 * 30)
    assert problem.spent.forward_examples == 100 * (9 + 3)
    assert problem.spent.trainings == 9 + 3


def test_it_ends_with_the_budget_and_leaves_the_incumbent_of_the_longest_level() -> None:
    problem = tiny.make_problem(budget=9 * EPOCHS_SHORT + EPOCHS_LONG + 0.01)
    with pytest.raises(BudgetExhausted):
        successive_halving(problem, tiny.masks_of(problem, 9), levels=2, reduction=3)
    assert problem.incumbent is not None
    assert problem.incumbent.fidelity == 30


def test_one_mask_survives_any_reduction(problem: MaskProblem) -> None:
    assert len(successive_halving(problem, tiny.masks_of(problem, 2), levels=2, reduction=5)) == 1


@pytest.mark.parametrize(("levels", "reduction"), [(0, 3), (2, 1)])
def test_levels_that_make_no_sense_are_refused(problem: MaskProblem, levels: int, reduction: int) -> None:
    with pytest.raises(InvalidValue, match="levels"):
        successive_halving(problem, np.zeros((1, 1), dtype=bool), levels=levels, reduction=reduction)
