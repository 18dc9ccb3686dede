from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch.errors import UnknownName
from ticketsearch.masks.criteria import FORMULAS, NAMES, UNTRAINED, CriterionScores

W_I = np.array([0.5, -2.0, 1.0, 0.0, -0.25], dtype=np.float32)
W_F = np.array([-1.0, -0.5, 3.0, 0.75, -0.25], dtype=np.float32)
BY_HAND = {  # Zhou et al., section 3, alpha = 1
    "large_final": [1.0, 0.5, 3.0, 0.75, 0.25],
    "small_final": [-1.0, -0.5, -3.0, -0.75, -0.25],
    "large_init": [0.5, 2.0, 1.0, 0.0, 0.25],
    "small_init": [-0.5, -2.0, -1.0, 0.0, -0.25],
    "large_init_large_final": [0.5, 0.5, 1.0, 0.0, 0.25],
    "small_init_small_final": [-1.0, -2.0, -3.0, -0.75, -0.25],
    "magnitude_increase": [0.5, -1.5, 2.0, 0.75, 0.0],
    "movement": [1.5, 1.5, 2.0, 0.75, 0.0],
    "large_final_same_sign": [-1.0, 0.5, 3.0, 0.0, 0.25],
}


def test_formulas_are_those_of_the_paper() -> None:
    assert {name: FORMULAS[name](W_I, W_F).tolist() for name in FORMULAS} == BY_HAND


def test_criteria_that_need_a_training_share_one() -> None:
    problem = tiny.make_problem(100)
    scores = CriterionScores(problem)
    for name in FORMULAS:
        scores(name)
    assert problem.spent.trainings == problem.trials == 1
    final = list(tiny.make_problem(100).train())[-1].weights.vector
    np.testing.assert_array_equal(scores("movement"), np.abs(final - problem.initial_weights().vector))


def test_the_training_leaves_the_reserve() -> None:
    problem = tiny.make_problem(4)
    CriterionScores(problem, reserve=0.75)("large_final")
    assert problem.remaining == pytest.approx(3)


def test_untrained_criteria_train_nothing() -> None:
    problem = tiny.make_problem()
    scores = CriterionScores(problem)
    for name in UNTRAINED:
        scores(name)
    assert problem.spent.trainings == 0


def test_snip_is_gradient_times_weight() -> None:
    problem, other = tiny.make_problem(), tiny.make_problem()
    expected = np.abs(other.gradients(None, 300) * other.initial_weights().vector)
    np.testing.assert_array_equal(CriterionScores(problem)("snip"), expected)
    assert problem.spent.train_examples == 300  # ten mini-batches, the whole split


def test_the_random_criterion_is_the_run_s() -> None:
    a, b, c = (CriterionScores(tiny.make_problem(seed=seed))("random") for seed in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_ranks_run_from_zero_to_one_in_the_order_of_the_scores() -> None:
    scores = CriterionScores(tiny.make_problem(100))
    ranks = scores.ranks(["large_init", "movement"])
    assert ranks.shape == (2, tiny.SIZE)
    for row, name in zip(ranks, ("large_init", "movement"), strict=True):
        np.testing.assert_allclose(np.sort(row), np.linspace(0, 1, tiny.SIZE))
        assert np.array_equal(np.argsort(row), np.argsort(scores(name), kind="stable"))


def test_every_criterion_gives_a_score_a_weight() -> None:
    scores = CriterionScores(tiny.make_problem(100))
    names = [name for name in NAMES if name != "bn_scale"]  # is of channels
    assert all(scores(name).shape == (tiny.SIZE,) and np.isfinite(scores(name)).all() for name in names)


def test_an_unknown_criterion_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown criterion 'magnitude'; did you mean 'magnitude_increase'"):
        CriterionScores(tiny.make_problem())("magnitude")
