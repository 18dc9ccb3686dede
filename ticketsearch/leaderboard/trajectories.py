"""A run's checkpoints as what analysis compares: curves over cost, and short scores beside confirmed accuracies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ticketsearch.leaderboard.fidelity import Exploitation, exploitation, tau_value
from ticketsearch.leaderboard.running_time import Curve
from ticketsearch.leaderboard.section import EPOCHS, FLOPS, Point, RankCorrelation
from ticketsearch.leaderboard.statistics import Summary, t_interval
from ticketsearch.records.results import CostRecord, Result

GRID = 24
"""Costs at which mean curves are drawn."""


def curve_of(result: Result, currency: str) -> Curve:
    """A run as an anytime curve in one currency."""
    spent = spent_in(result.cost, currency)
    costs = np.minimum(np.maximum.accumulate([spent_in(point.cost, currency) for point in result.curve]), spent)
    return Curve(tuple(costs.tolist()), tuple(point.test_accuracy for point in result.curve), spent)


def spent_in(cost: CostRecord, currency: str) -> float:
    """A cost in a currency: training examples with a forward-only one as a third, FLOPs, or CPU seconds."""
    if currency == EPOCHS:
        return cost.train_examples + cost.forward_examples / 3
    return float(cost.sparse_flops) if currency == FLOPS else cost.cpu_s


def train_size(run: Result) -> float:
    """Examples in an epoch."""
    cost = run.confirmation.cost
    return (cost.train_examples + cost.forward_examples / 3) / cost.epochs if cost.epochs else 1.0


def mean_curve(curves: Sequence[Curve], unit: float) -> list[Point]:
    """Mean over seeds on a geometric grid of costs, divided by ``unit``; none before a seed's first checkpoint.

    What a search held before it had spent anything has no place on a logarithmic axis.
    """
    if not all(curve.costs for curve in curves):
        return []
    first = max(next((cost for cost in curve.costs if cost > 0), curve.costs[-1]) for curve in curves)
    last = max(curve.costs[-1] for curve in curves)
    grid = np.unique(np.geomspace(first, last, GRID)) if 0 < first < last else np.array([last])
    points = []
    for cost in grid:
        limit = cost * (1 + 1e-9)
        values = np.array([curve.values[np.searchsorted(curve.costs, limit, side="right") - 1] for curve in curves])
        low, high = t_interval(values)
        points.append(Point(float(cost) / unit, float(values.mean()), low, high, len(values)))
    return points


def scored_checkpoints(run: Result) -> list[tuple[float, float, float]]:
    """(Epochs, short score, confirmed accuracy) of a search's checkpoints.

    Scores of other fidelities than the last one's are left out: their rise with the training's length is no climb.
    """
    points = [(p.fidelity, p.cost.epochs, p.search_score, p.test_accuracy) for p in run.curve]
    return [
        (cost, score, test) for fidelity, cost, score, test in points if score is not None and fidelity == points[-1][0]
    ]


def exploitation_of(runs: Sequence[Result]) -> Exploitation | None:
    """At common checkpoints: what each seed's search held at costs doubling up to when it found its best."""
    scored = [scored_checkpoints(run) for run in runs]
    if not all(scored) or any(points[0][0] <= 0 for points in scored):
        return None
    count = min(math.floor(math.log2(points[-1][0] / points[0][0])) for points in scored) + 1
    trajectories = []
    for points in scored:
        costs = [points[-1][0] / 2**back for back in range(count - 1, -1, -1)]
        incumbents = [[point for point in points if point[0] <= cost * (1 + 1e-9)][-1] for cost in costs]
        trajectories.append([(cost, *point[1:]) for cost, point in zip(costs, incumbents, strict=True)])
    return exploitation(trajectories)


def mean_tau(pairs: Sequence[Sequence[tuple[float, float]]]) -> Summary | None:
    """Tau within each seed, its mean over seeds with Student's interval; seeds without an order are left out."""
    found = [tau_value([a for a, _ in own], [b for _, b in own]) for own in pairs]
    values = np.array([one for one in found if one is not None])
    low, high = t_interval(values)
    if low is not None and high is not None:
        low, high = max(low, -1.0), min(high, 1.0)
    return Summary(len(values), float(values.mean()), low, high) if len(values) else None


def rank_correlation(
    population: str,
    steps: int,
    epochs: float | None,
    pairs: list[list[tuple[float, float]]],
    ceiling: float | None = None,
) -> RankCorrelation:
    """Of (short score, confirmed accuracy) pairs, seed by seed, beneath a ceiling."""
    everything = [pair for own in pairs for pair in own]
    return RankCorrelation(population, steps, epochs, mean_tau(pairs), ceiling, everything)
