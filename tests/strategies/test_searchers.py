"""CMA-ES, distributions with exact counts, Hyperband, racing: what each is by its own definition."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import BudgetExhausted, MaskProblem
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import digest
from ticketsearch.problem.scores import Score
from ticketsearch.strategies.cma_es import CmaEs
from ticketsearch.strategies.eda import DistributionSearch, gumbel, score_function
from ticketsearch.strategies.hyperband import Hyperband
from ticketsearch.strategies.racing import race
from ticketsearch.testing.closed_form import EVALUATION_THIRDS, closed_form_problem


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def searched(strategy: Any, evaluations: int, **options: Any) -> tuple[MaskProblem, list[float]]:
    """The problem afterwards, and what the masks it believed in are worth."""
    problem, engine = closed_form_problem(evaluations, **options)
    with pytest.raises(BudgetExhausted):
        strategy.search(problem)
    return problem, [engine.value(belief.mask) for belief in problem._session.beliefs]


@pytest.mark.parametrize(
    "strategy",
    [
        CmaEs(population=12, encoding="degrees"),
        CmaEs(population=12),
        DistributionSearch(population=24),
        DistributionSearch(population=24, update="cross-entropy"),
        DistributionSearch(population=24, update="pbil"),
    ],
    ids=lambda strategy: f"{type(strategy).__name__}-{getattr(strategy, 'update', strategy)}"[:30],
)
def test_what_a_distribution_believes_becomes_better(strategy: Any) -> None:
    gains = []
    for seed in range(3):
        _, values = searched(strategy, 1200, seed=seed)
        third = len(values) // 3
        gains.append(np.mean(values[-third:]) - np.mean(values[:third]))
    assert min(gains) > 0


def test_cma_es_adapts_the_diagonal_only_where_there_are_many_numbers() -> None:
    for dimensions, separable, expected in (
        (200, None, "CMA"),
        (201, None, "SepCMA"),
        (5, True, "SepCMA"),
        (500, False, "CMA"),
        (1, None, "CMA"),
    ):
        optimizer = CmaEs(separable=separable)._optimizer(dimensions, 0)
        assert type(optimizer).__name__ == expected
        assert optimizer.dim == max(2, dimensions)
        assert optimizer.population_size == 24


def test_cma_es_needs_a_vector() -> None:
    with pytest.raises(InvalidValue, match="cma-es searches vectors of numbers, and a genome of SwapEncoding is none"):
        CmaEs(encoding="swap").search(tiny.make_problem())


def log_probability(logits: Any, order: Any) -> float:
    """Of drawing units in this order, one softmax after another (Plackett-Luce)."""
    left, total = list(range(len(logits))), 0.0
    for unit in order:
        total += float(logits[unit] - np.log(np.sum(np.exp(logits[left]))))
        left.remove(unit)
    return total


def test_the_score_function_is_the_gradient_of_the_ordered_draw() -> None:
    logits = rng(1).normal(size=7)
    order = np.array([4, 0, 6])
    numeric = [
        (log_probability(logits + step, order) - log_probability(logits - step, order)) / 2e-6
        for step in 1e-6 * np.eye(7)
    ]
    assert score_function(logits, order) == pytest.approx(numeric, abs=1e-7)


def test_gumbel_top_n_draws_in_that_order_with_that_probability() -> None:
    logits, draw, count = np.array([0.5, -1.0, 1.0, 0.0]), rng(3), 20_000
    expected = {order: np.exp(log_probability(logits, order)) for order in permutations(range(4), 2)}
    assert sum(expected.values()) == pytest.approx(1)
    found = dict.fromkeys(expected, 0)
    for _ in range(count):
        keys = logits + gumbel(4, draw)
        found[tuple(np.argsort(-keys)[:2].tolist())] += 1
    for order, probability in expected.items():
        assert abs(found[order] / count - probability) < 5 * (probability / count) ** 0.5


def test_the_policy_gradient_is_that_of_the_expected_score() -> None:
    """With every order weighted by its probability, the estimator's mean is the gradient of sum p(order) f(set)."""
    logits = np.array([0.3, -0.2, 0.8, 0.0])
    value = dict(zip(map(frozenset, permutations(range(4), 2)), rng(5).normal(size=12), strict=True))

    def expected(at: Any) -> float:
        pairs = permutations(range(4), 2)
        return float(sum(np.exp(log_probability(at, pair)) * value[frozenset(pair)] for pair in pairs))

    estimate = sum(
        np.exp(log_probability(logits, order)) * value[frozenset(order)] * score_function(logits, np.array(order))
        for order in permutations(range(4), 2)
    )
    numeric = [(expected(logits + step) - expected(logits - step)) / 2e-6 for step in 1e-6 * np.eye(4)]
    assert estimate == pytest.approx(numeric, abs=1e-7)


def test_a_distribution_that_begins_at_a_mask_draws_near_it() -> None:
    problem, _ = closed_form_problem(500)
    logits = DistributionSearch(start="mask(large_init)")._first_logits(problem)
    likeliest = problem.space.top(logits, problem.n_kept)
    sizes = np.abs(problem.initial_weights().vector)
    assert np.count_nonzero(likeliest & problem.space.top(sizes, problem.n_kept)) > 0.9 * problem.n_kept
    assert not DistributionSearch()._first_logits(problem).any()


def test_hyperband_s_brackets_are_those_of_its_paper() -> None:
    """Li et al., algorithm 1 with R = eta^3: n = 27, 12, 6, 4 in the first rung, each rung a third of the last."""
    problem, _ = closed_form_problem(10_000, steps=270)
    session = problem._session
    session.fidelity = 10
    problem = MaskProblem(session)
    calls: list[tuple[int, int]] = []

    def watched(masks: Any, fidelity: int, **_: Any) -> list[Score]:
        calls.append((len(masks), fidelity))
        if len(calls) > 10:
            raise BudgetExhausted("enough")
        return [Score(float(index), 0.0) for index in range(len(masks))]

    tiny.watch(problem, "evaluate", watched)
    with pytest.raises(BudgetExhausted):
        Hyperband(levels=4, reduction=3, proposals="random").search(problem)
    assert calls[:10] == [
        (27, 10), (9, 30), (3, 90), (1, 270),
        (12, 30), (4, 90), (1, 270),
        (6, 90), (2, 270),
        (4, 270),
    ]  # fmt: skip


def test_hyperband_returns_the_best_of_the_longest_training() -> None:
    problem, _ = closed_form_problem(300)
    with pytest.raises(BudgetExhausted):
        Hyperband(levels=3).search(problem)
    best = problem.incumbent
    assert best is not None
    longest = max(trial.fidelity for trial in problem._session.replay.ledger)
    assert best.fidelity == longest > problem.fidelity


def noisy(problem: MaskProblem, means: list[float], spread: float) -> list[int]:
    """Scores with these means and independent noise in place of trainings; how many masks each call had."""
    draw, sizes = rng(8), list[int]()
    known: dict[str, float] = {}

    def evaluate(masks: Any, _fidelity: Any = None, **options: Any) -> list[Score]:
        assert options["orders"] == "fresh"
        sizes.append(len(masks))
        for mask in masks:
            known.setdefault(digest(mask), means[len(known)] if len(known) < len(means) else 0.0)
        return [Score(known[digest(mask)] + spread * draw.normal(), 0.0) for mask in masks]

    tiny.watch(problem, "evaluate", evaluate)
    return sizes


def test_a_race_drops_what_is_clearly_behind_and_keeps_the_best() -> None:
    problem = tiny.make_problem()
    masks = tiny.masks_of(problem, 6)
    sizes = noisy(problem, [0.2, 0.2, 0.9, 0.2, 0.2, 0.89], 0.02)
    left = race(problem, masks, rounds=8)
    assert digest(left[0][0]) in {digest(masks[2]), digest(masks[5])}
    assert {digest(mask) for mask, _ in left} <= {digest(masks[2]), digest(masks[5])}
    assert sizes[:5] == [6] * 5  # fewer orders cannot reach 0.05
    assert sizes[5] < 6


def test_a_race_of_equals_drops_about_as_many_as_its_level_says() -> None:
    problem = tiny.make_problem()
    masks = tiny.masks_of(problem, 200)
    noisy(problem, [0.5] * 200, 0.02)
    left = race(problem, masks, rounds=5, level=0.03)
    assert len(left) > 100  # against the luckiest of all, more than the level, but not most


def test_a_race_pays_for_every_order() -> None:
    problem, _ = closed_form_problem(40)
    masks = [problem.space.random(problem.n_kept, rng(seed)) for seed in range(4)]
    left = race(problem, masks, rounds=3)
    assert len(left) == 4
    assert problem.spent.thirds == 12 * EVALUATION_THIRDS
    with pytest.raises(InvalidValue, match="rounds 0"):
        race(problem, masks, rounds=0)
