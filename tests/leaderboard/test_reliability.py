"""Scores of known reliability have known ceilings; a planted score that is the answer reaches its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.ranking import Ranking
from ticketsearch.leaderboard.reliability import (
    ceiling,
    components,
    correlation,
    disattenuated,
    gain_of_selection,
    tau_of,
)
from ticketsearch.records.study_records import RankingRecord


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def noisy(truth: Any, noise: float, orders: int, seed: int) -> Any:
    return truth[:, None] + noise * rng(seed).normal(size=(truth.size, orders))


@pytest.mark.parametrize(("sd", "noise", "orders"), [(1.0, 1.0, 2), (2.0, 0.5, 4), (0.5, 2.0, 8)])
def test_known_variances_are_found(sd: float, noise: float, orders: int) -> None:
    found = components(noisy(sd * rng(1).normal(size=20_000), noise, orders, 2))
    assert found.mask == pytest.approx(sd**2, rel=0.1)
    assert found.order == pytest.approx(noise**2, rel=0.05)
    assert found.reliability == pytest.approx(sd**2 / (sd**2 + noise**2 / orders), abs=0.02)
    assert found.single == pytest.approx(sd**2 / (sd**2 + noise**2), abs=0.02)


def test_what_an_order_does_to_all_masks_is_no_noise() -> None:
    table = noisy(rng(1).normal(size=500), 0.5, 3, 2)
    shifted = components(table + np.array([0.0, 100.0, -7.0]))
    assert shifted.mask == pytest.approx(components(table).mask)
    assert shifted.order == pytest.approx(components(table).order)


def test_the_reliability_of_a_mean_is_the_correlation_of_two_such_means() -> None:
    truth = rng(3).normal(size=50_000)
    one, other = (noisy(truth, 1.5, 3, seed).mean(1) for seed in (4, 5))
    assert components(noisy(truth, 1.5, 3, 6)).reliability == pytest.approx(
        stats.pearsonr(one, other).statistic, abs=0.02
    )


@pytest.mark.parametrize(("score", "confirmed"), [(0.2, 0.9), (0.5, 0.5), (0.9, 0.3), (1.0, 0.7)])
def test_known_reliabilities_give_known_ceilings(score: float, confirmed: float) -> None:
    """The tau of two noisy measures of one thing, as scipy counts it, is the ceiling."""
    truth = rng(7).normal(size=6000)
    measured = [
        truth + math.sqrt(1 / rho - 1) * rng(seed).normal(size=truth.size) for seed, rho in ((8, score), (9, confirmed))
    ]
    found = stats.kendalltau(*measured).statistic
    assert ceiling(confirmed, score) == pytest.approx(found, abs=0.02)
    observed = correlation(*measured)
    assert observed is not None
    assert disattenuated(observed, score, confirmed) == pytest.approx(1.0, abs=0.05)


def test_extremes() -> None:
    assert tau_of(1.0) == 1
    assert tau_of(0.0) == 0
    assert ceiling(0.0) == 0
    assert disattenuated(0.3, 0.0, 1.0) is None
    assert correlation([1.0, 1.0], [0.0, 1.0]) is None
    assert components(np.ones((4, 2))).reliability == 0
    assert components([[0.0, 2.0], [2.0, 0.0]]).mask == 0  # not below zero
    for shape in ((1, 5), (5, 1), (5,)):
        with pytest.raises(InvalidValue, match="at least two masks on two orders"):
            components(np.ones(shape))


@pytest.mark.parametrize(("true", "count"), [(1.0, 10), (0.5, 100), (0.3, 2000)])
def test_the_gain_is_that_of_the_best_of_many(true: float, count: int) -> None:
    draw, found = rng(11), []
    for _ in range(2000):
        truth = draw.normal(size=count)
        score = true * truth + math.sqrt(1 - true**2) * draw.normal(size=count)
        found.append(truth[score.argmax()])
    assert gain_of_selection(true, count) == pytest.approx(np.mean(found), abs=4 * np.std(found) / 2000**0.5 + 0.02)
    assert gain_of_selection(true, 1) == 0


def record(scores: dict[int, dict[str, Any]], confirmed: Any) -> RankingRecord:
    return RankingRecord(
        task="planted",
        task_fingerprint="",
        seed=0,
        granularity="weight",
        sparsity=0.9,
        scores={steps: {k: table.tolist() for k, table in kinds.items()} for steps, kinds in scores.items()},
        evaluation_epochs={steps: steps / 40 for steps in scores},
        test_accuracies=confirmed.tolist(),
    )


def test_a_score_that_is_the_answer_reaches_its_ceiling_and_a_random_one_nothing() -> None:
    truth = 0.5 + 0.02 * rng(12).normal(size=600)
    confirmed = noisy(truth, 0.01, 3, 13)
    scores = {100: {"accuracy": noisy(truth, 0.02, 2, 14), "loss": rng(15).normal(size=(600, 2))}}
    ranking = Ranking.of(record(scores, confirmed), 2000)
    answer, chance = ranking.scores
    assert answer.tau is not None
    assert chance.tau is not None
    assert answer.tau.value == pytest.approx(answer.own_ceiling, abs=0.05)
    assert answer.own_ceiling < answer.ceiling < 1
    assert answer.disattenuated == pytest.approx(1.0, abs=0.08)
    assert abs(chance.tau.value) < 0.08
    assert chance.reliability < 0.1
    assert ranking.best == answer
    assert ranking.confirmed.mask**0.5 == pytest.approx(0.02, rel=0.1)


def test_a_cheaper_score_is_recommended_where_it_finds_more() -> None:
    truth = rng(16).normal(size=800)
    confirmed = noisy(truth, 0.3, 2, 17)
    short, long = noisy(truth, 1.5, 2, 18), noisy(truth, 1.3, 2, 19)
    ranking = Ranking.of(record({10: {"accuracy": short}, 2000: {"accuracy": long}}, confirmed), 100)
    assert ranking.best is not None
    assert ranking.best.steps == 10  # 400 evaluations of it, two of the other
    rich = Ranking.of(record({10: {"accuracy": noisy(truth, 9, 2, 20)}, 2000: {"accuracy": long}}, confirmed), 10_000)
    assert rich.best is not None
    assert rich.best.steps == 2000


def test_masks_that_do_not_differ_recommend_nothing() -> None:
    ranking = Ranking.of(record({10: {"accuracy": np.ones((5, 2))}}, np.ones((5, 2))), 100)
    assert ranking.best is None
    assert ranking.as_dict()["recommended"] is None
    diverged = record({10: {"loss": np.array([[np.nan, 1.0]] * 5)}}, noisy(rng().normal(size=5), 0.1, 2, 1))
    assert Ranking.of(diverged, 100).scores == []
