"""How well predictors tell tickets: rank correlation beneath its ceiling, "matches the dense network", the null.

Within each seed, Kendall's tau of a predictor's values (times the sign that it stated) with confirmed accuracies, and
the probability that a candidate that matches the dense network has a higher value than one that does not (AUC). What is
said of all seeds is the mean with its 95 % t interval. The null is the predictor ``layer-densities``; where that is the
same for all candidates it ranks nothing, and its tau counts as zero in differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.leaderboard.fidelity import tau_value
from ticketsearch.leaderboard.reliability import Components, ceiling, components
from ticketsearch.leaderboard.statistics import MARGIN, Summary, t_interval
from ticketsearch.records.study_records import PredictOutcome

NULL = "layer-densities"
"""The predictor that all others are compared with."""


@dataclass(frozen=True)
class Quality:
    """How good one predictor is in one population.

    Attributes:
        predictor: its name and settings.
        sign: 1 if higher values are to mean better candidates.
        epochs: what it costs for each candidate.
        tau: with confirmed accuracy; ``None`` if it is the same for all candidates.
        to_null: tau less that of the layers' densities, seed by seed; ``None`` of the null itself, or without a tau.
        auc: of matching the dense network; ``None`` where all candidates of every seed match, or none.
    """

    predictor: str
    sign: int
    epochs: float
    tau: Summary | None
    to_null: Summary | None
    auc: Summary | None


@dataclass(frozen=True)
class Prediction:
    """What is known of predictors on one task, population and sparsity.

    Attributes:
        task, population, counts, sparsity, granularity: about what.
        seeds: of the outcomes.
        candidates: of each seed, mean.
        mean: confirmed test accuracy of the candidates.
        dense: of the dense network.
        margin: below the dense network that still matches it.
        matching: share of the candidates that match it.
        ceiling: the highest tau that any predictor could have; ``None`` of single confirmations.
        qualities: the null first, the others best first.
    """

    task: str
    population: str
    counts: str
    sparsity: float
    granularity: str
    seeds: list[int]
    candidates: float
    mean: float
    dense: float
    margin: float
    matching: float
    ceiling: float | None
    qualities: list[Quality]

    @property
    def best(self) -> Quality | None:
        """The one of highest tau, if that is shown to be above zero."""
        found = [one for one in self.qualities if one.tau and one.tau.low is not None and one.tau.low > 0]
        return max(found, key=lambda one: one.tau.value if one.tau else -1.0, default=None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def predictions_of(outcomes: Sequence[PredictOutcome], margin: float = MARGIN) -> list[Prediction]:
    """One for each task, population and sparsity, in the order of the outcomes.

    Args:
        outcomes: of any seeds; those of one population have the same predictors.
        margin: of accuracy below the dense network that still matches it.
    """
    groups: dict[tuple[object, ...], list[PredictOutcome]] = {}
    for one in outcomes:
        key = (one.task, one.task_fingerprint, one.population, one.counts, one.sparsity, one.granularity)
        groups.setdefault(key, []).append(one)
    return [_prediction(own, margin) for own in groups.values()]


def _prediction(outcomes: Sequence[PredictOutcome], margin: float) -> Prediction:
    first = outcomes[0]
    truths = [np.array(one.truth.test_accuracies).mean(1) for one in outcomes]  # each (P,)
    dense = [float(np.mean(one.truth.dense_accuracies)) for one in outcomes]
    matches = [truth >= reached - margin - 1e-12 for truth, reached in zip(truths, dense, strict=True)]
    names = [one.predictor for one in first.predicted]
    taus = {name: [_tau(one, name, truth) for one, truth in zip(outcomes, truths, strict=True)] for name in names}
    qualities = [_quality(outcomes, name, taus, matches) for name in names]
    null = [one for one in qualities if one.predictor == NULL]
    others = [one for one in qualities if one.predictor != NULL]
    return Prediction(
        task=first.task,
        population=first.population,
        counts=first.counts,
        sparsity=first.sparsity,
        granularity=first.granularity,
        seeds=[one.seed for one in outcomes],
        candidates=float(np.mean([len(truth) for truth in truths])),
        mean=float(np.concatenate(truths).mean()),
        dense=float(np.mean(dense)),
        margin=margin,
        matching=float(np.concatenate(matches).mean()),
        ceiling=_ceiling(outcomes),
        qualities=null + sorted(others, key=lambda one: -(one.tau.value if one.tau else -math.inf)),
    )


def _values(outcome: PredictOutcome, name: str) -> ScoreArray:
    """Of one predictor, ``(P,)``; higher is better."""
    own = next(one for one in outcome.predicted if one.predictor == name)
    return own.sign * np.array(own.values)


def _tau(outcome: PredictOutcome, name: str, truth: ScoreArray) -> float | None:
    values = _values(outcome, name)
    ranks: ScoreArray = np.unique(values, return_inverse=True)[1].astype(np.float64)  # of any scale
    return tau_value(ranks.tolist(), truth.tolist())


def _quality(
    outcomes: Sequence[PredictOutcome],
    name: str,
    taus: dict[str, list[float | None]],
    matches: Sequence[BoolArray],
) -> Quality:
    records = [next(one for one in outcome.predicted if one.predictor == name) for outcome in outcomes]
    null = taus.get(NULL, [None] * len(outcomes))
    differences = [tau - (other or 0.0) for tau, other in zip(taus[name], null, strict=True) if tau is not None]
    areas = [area(_values(outcome, name), match) for outcome, match in zip(outcomes, matches, strict=True)]
    return Quality(
        predictor=name,
        sign=records[0].sign,
        epochs=float(np.mean([one.epochs for one in records])),
        tau=_summary(taus[name]),
        to_null=None if name == NULL else _summary(differences),
        auc=_summary(areas) if _summary(taus[name]) else None,
    )


def area(values: ScoreArray, match: BoolArray) -> float | None:
    """AUC: the probability that one that matches has a higher value than one that does not, ties half.

    Returns:
        ``None`` if all match, or none does.
    """
    if match.all() or not match.any():
        return None
    wins = np.sign(values[match][:, None] - values[~match][None, :])
    return float(0.5 + 0.5 * wins.mean())


def _summary(values: Sequence[float | None]) -> Summary | None:
    """Mean and t interval of those that there are."""
    found = np.array([value for value in values if value is not None])
    if not len(found):
        return None
    return Summary(len(found), float(found.mean()), *t_interval(found))


def _ceiling(outcomes: Sequence[PredictOutcome]) -> float | None:
    """From variances that are means over seeds: of a few candidates alone they are uncertain, and a root is biased."""
    tables = [one.truth.test_accuracies for one in outcomes if min(map(len, one.truth.test_accuracies)) > 1]
    found = [components(table) for table in tables]
    if not found:
        return None
    mask, order = (float(np.mean([getattr(one, name) for one in found])) for name in ("mask", "order"))
    return ceiling(Components(mask, order, min(one.orders for one in found)).reliability)
