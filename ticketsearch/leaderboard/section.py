"""What a report shows of one task at one sparsity: plain records, made by :mod:`ticketsearch.leaderboard.analysis`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from ticketsearch.leaderboard.fidelity import Exploitation
from ticketsearch.leaderboard.multiples import Multiple
from ticketsearch.leaderboard.running_time import Ratio, RunningTime
from ticketsearch.leaderboard.statistics import Summary
from ticketsearch.leaderboard.table import Estimate, Row
from ticketsearch.leaderboard.verdict import CURRENCIES, Comparison, Control, Verdict

Kind = Literal["search", "hybrid", "imp", "other"]
EPOCHS, FLOPS, SECONDS = CURRENCIES


@dataclass(frozen=True)
class Point:
    """The mean of confirmed accuracies at one cost, with its 95 % interval over ``n`` seeds."""

    cost: float
    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Contender:
    """A strategy with one set of parameters, in one group.

    Attributes:
        label: unique in its group.
        key: strategy and parameters, the same in all groups whatever their neighbours and budgets.
        kind: ``search`` if it does nothing but score masks by the evaluator, ``hybrid`` if it also trains or asks for
            gradients, ``imp``, or ``other``.
        row: its line of the leaderboard.
        accuracies: confirmed, by seed.
        validation: confirmed validation accuracy, mean over seeds: what variants of a strategy are chosen by.
        curves: mean confirmed accuracy over search cost, where all seeds have one; by currency, examples as epochs.
        multiples: at which multiple of IMP's cost it reaches what it reaches, by currency; searches only, where some
            IMP ran on all of their seeds.
        to_imp, to_random: paired comparisons with the reference and with random masks of the same counts; p-values
            are adjusted among all contenders but IMPs, and among IMPs.
        rank: among the contenders that ran on the group's common seeds.
        running_times: by currency, one for each of the group's targets.
        solved: share of (run, target) pairs reached within a cost in epochs, at the costs where it rises (ECDF).
        ratios: by currency, ERT over that of the cheapest IMP for each target.
        exploitation: whether it exploits the evaluator; searches only.
        tau: of short scores with confirmed accuracies along its own trajectory, mean over seeds; searches only.
        train_size: examples in an epoch of its task.
        densities: mean density of each layer, by name.
        seconds: CPU seconds of the engine and of everything else in the search, means; wall seconds of the engine and
            of the strategy's own code.
    """

    label: str
    key: str
    kind: Kind
    row: Row
    accuracies: dict[int, float]
    validation: float
    curves: dict[str, list[Point]]
    multiples: dict[str, Multiple]
    to_imp: Comparison | None
    to_random: Comparison | None
    rank: Summary | None
    running_times: dict[str, list[RunningTime]]
    solved: list[tuple[float, float]]
    ratios: dict[str, list[Ratio]]
    exploitation: Exploitation | None
    tau: Summary | None
    train_size: float
    densities: dict[str, float]
    seconds: dict[str, float]

    @property
    def curve(self) -> list[Point]:
        """Over epochs."""
        return self.curves[EPOCHS]


@dataclass(frozen=True)
class RankCorrelation:
    """How well short scores of one length rank confirmed accuracies: Kendall's tau, mean over seeds.

    Attributes:
        population: whose: ``random masks`` or ``tickets of all strategies``.
        steps: of the short training.
        epochs: what one such evaluation costs; None if not known.
        tau: over seeds, of the tau within each seed.
        ceiling: the highest tau that any score could have, by the noise of the confirmed accuracies; mean over seeds.
            None if that noise is not on record.
        pairs: (short score, confirmed accuracy) of all seeds, for a picture.
    """

    population: str
    steps: int
    epochs: float | None
    tau: Summary | None
    ceiling: float | None
    pairs: list[tuple[float, float]]


@dataclass(frozen=True)
class Section:
    """One task at one sparsity.

    Attributes:
        task, sparsity: about what.
        contenders: best mean accuracy first.
        reference: label of the IMP that verdicts are against, the one of best mean validation accuracy: the test split
            chooses nothing; None without.
        frontier: labels of the IMPs (and one-shot magnitude) that no other beats in both cost and mean validation
            accuracy, by cost.
        fractions, targets: of the gap from random masks to the reference; no targets without a gap.
        controls: what must hold before anything is concluded.
        verdicts: for each search and currency; hybrids get none, as what they find may be SGD's doing.
        fidelity: of short scores.
        dense_budget: the dense network trained for the longest of the baselines' budgets, and how long that is in
            epochs.
    """

    task: str
    sparsity: float
    contenders: list[Contender]
    reference: str | None
    frontier: list[str]
    fractions: list[float]
    targets: list[float]
    controls: list[Control]
    verdicts: list[Verdict]
    fidelity: list[RankCorrelation]
    dense_budget: Estimate | None
    dense_budget_epochs: float | None

    def contender(self, label: str) -> Contender:
        """By label."""
        return next(one for one in self.contenders if one.label == label)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: ``"inf"``."""
        plain: dict[str, Any] = _plain(self)
        return plain


@dataclass(frozen=True)
class Aggregate:
    """A strategy over all sparsities of a task: the mean of the middle half of its runs' confirmed accuracies.

    Attributes:
        label: the shortest of its labels in the sections; budgets may differ between them.
        task: over whose sparsities.
        sparsities: strata of the interval's resampling.
        middle: the interquartile mean.
    """

    label: str
    task: str
    sparsities: list[float]
    middle: Summary


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
