"""What is made of predictors beside the truth: planted answers, chance, and numbers by SciPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ticketsearch.arrays import ScoreArray
from ticketsearch.leaderboard.prediction import Prediction, area, predictions_of
from ticketsearch.records.outcomes import write_outcomes
from ticketsearch.records.study_records import PredictedRecord, PredictOutcome, TruthRecord
from ticketsearch.report.beside import chapter_of

SEEDS, CANDIDATES, ORDERS = 20, 60, 3
Values = Callable[[ScoreArray, np.random.Generator], ScoreArray]


def outcomes(
    predictors: dict[str, tuple[int, Values]], *, noise: float = 1.0, dense: float = 9.0, seeds: int = SEEDS
) -> list[PredictOutcome]:
    """Accuracies are a true value, drawn from a normal distribution, and the noise of each data order."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        true = rng.normal(size=CANDIDATES)
        orders = rng.normal(size=ORDERS)  # what an order does to all alike ranks nothing
        table = true[:, None] + orders + noise * rng.normal(size=(CANDIDATES, ORDERS))
        found.append(
            PredictOutcome(
                task="simulated",
                task_fingerprint="",
                seed=seed,
                population="masks",
                counts="erk",
                sparsity=0.9,
                granularity="weight",
                truth=TruthRecord(
                    names=["x"] * CANDIDATES,
                    test_accuracies=table.tolist(),
                    dense_accuracies=(dense + orders).tolist(),
                ),
                predicted=[
                    PredictedRecord(predictor=name, sign=sign, values=values(true, rng).tolist(), epochs=1.0)
                    for name, (sign, values) in predictors.items()
                ],
            )
        )
    return found


def answer(true: ScoreArray, _: np.random.Generator) -> ScoreArray:
    return true


def chance(true: ScoreArray, rng: np.random.Generator) -> ScoreArray:
    return rng.normal(size=len(true))


def constant(true: ScoreArray, _: np.random.Generator) -> ScoreArray:
    return np.zeros(len(true))


def of(names: Sequence[str], prediction: Prediction) -> list[tuple[float, float, float]]:
    """Taus and their intervals."""
    found = []
    for name in names:
        [tau] = [one.tau for one in prediction.qualities if one.predictor == name]
        assert tau is not None
        assert tau.low is not None
        assert tau.high is not None
        found.append((tau.low, tau.value, tau.high))
    return found


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_the_answer_has_a_tau_at_the_ceiling_and_chance_has_none(noise: float) -> None:
    predictors: dict[str, tuple[int, Values]] = {
        "answer": (1, answer),
        "backwards": (-1, answer),
        "random": (1, chance),
    }
    [found] = predictions_of(outcomes(predictors, noise=noise))
    (low, _, high), (_, backwards, _), (below, _, above) = of(("answer", "backwards", "random"), found)
    assert found.ceiling is not None
    reliability = 1 / (1 + noise**2 / ORDERS)
    assert found.ceiling == pytest.approx(2 / np.pi * np.arcsin(np.sqrt(reliability)), abs=0.04)
    assert low < found.ceiling < high
    assert below < 0 < above
    assert backwards < -0.4  # no sign is fitted
    assert found.best is not None
    assert found.best.predictor == "answer"


def test_numbers_are_those_of_scipy() -> None:
    made = outcomes({"layer-densities": (1, chance), "other": (-1, chance)}, dense=0.5)
    [found] = predictions_of(made, margin=0.1)
    taus: dict[str, list[float]] = {"layer-densities": [], "other": []}
    areas = []
    for one in made:
        truth = np.array(one.truth.test_accuracies).mean(1)
        match = truth >= np.mean(one.truth.dense_accuracies) - 0.1
        for record in one.predicted:
            taus[record.predictor].append(stats.kendalltau(record.sign * np.array(record.values), truth).statistic)
        values = -np.array(one.predicted[1].values)
        areas.append(stats.mannwhitneyu(values[match], values[~match]).statistic / match.sum() / (~match).sum())
    null, other = found.qualities
    assert (null.predictor, null.to_null) == ("layer-densities", None)
    assert other.tau is not None
    assert other.to_null is not None
    assert other.auc is not None
    assert other.tau.value == pytest.approx(np.mean(taus["other"]))
    assert other.auc.value == pytest.approx(np.mean(areas))
    differences = np.subtract(taus["other"], taus["layer-densities"])
    assert other.to_null.value == pytest.approx(differences.mean())
    interval = stats.t.interval(0.95, SEEDS - 1, differences.mean(), stats.sem(differences))
    assert (other.to_null.low, other.to_null.high) == pytest.approx(interval)


def test_a_null_that_is_constant_counts_as_zero_and_who_matches_alone_has_no_area() -> None:
    [found] = predictions_of(outcomes({"layer-densities": (1, constant), "answer": (1, answer)}))
    null, quality = found.qualities
    assert (null.tau, null.auc) == (None, None)
    assert quality.tau is not None
    assert quality.to_null == quality.tau
    assert quality.auc is None  # none comes near 9
    assert found.matching == 0
    [one] = predictions_of(outcomes({"answer": (1, answer)}, seeds=1))
    assert one.qualities[0].tau is not None
    assert one.qualities[0].tau.low is None
    assert one.best is None


def test_ties_count_half() -> None:
    match = np.array([True, True, False])
    assert area(np.array([1.0, 0.0, 0.0]), match) == 0.75
    assert area(np.array([1.0, 0.0, 0.0]), ~match) == 0.25
    assert area(np.zeros(3), np.ones(3, dtype=bool)) is None


def test_values_of_any_scale_are_ranked() -> None:
    [found] = predictions_of(outcomes({"tiny": (1, lambda true, _: 1e-20 * true), "answer": (1, answer)}))
    assert len({tuple(one) for one in of(("tiny", "answer"), found)}) == 1


def test_an_archive_of_them_is_a_chapter_of_the_report(tmp_path: Path) -> None:
    write_outcomes(tmp_path / "predict.json.gz", outcomes({"answer": (1, answer), "constant": (1, constant)}, seeds=4))
    chapter = chapter_of(tmp_path / "predict.json.gz")
    assert chapter.title == "Predictors of tickets, simulated"
    assert [row[1] for row in chapter.table.rows] == ["answer", "constant"]
    [figure] = chapter.figures
    [trace] = figure.plots["tau"]["data"]
    [prediction] = predictions_of(outcomes({"answer": (1, answer)}, seeds=4))
    assert prediction.qualities[0].tau is not None
    assert trace["x"] == [pytest.approx(prediction.qualities[0].tau.value, abs=1e-4)]  # a constant has none
    ceiling, zero = (one["x0"] for one in figure.plots["tau"]["layout"]["shapes"])
    assert (ceiling, zero) == (prediction.ceiling, 0.0)
