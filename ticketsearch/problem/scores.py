"""What problems hand back to strategies: scores, snapshots, the incumbent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from ticketsearch.arrays import BoolArray, FloatArray, read_only
from ticketsearch.cost import Cost
from ticketsearch.masks.ticket import Weights

FAILED = -math.inf
ScoreName: TypeAlias = Literal["accuracy", "loss", "train-loss", "train-loss-last", "train-loss-ema", "basin"]
"""What of a short training is the score; see :meth:`ticketsearch.MaskProblem.evaluate`."""
BASIN: ScoreName = "basin"
"""The one that a dense training is paid for."""
Orders: TypeAlias = Literal["common", "fresh"]
"""Data orders of short trainings."""
Origin: TypeAlias = Literal["initial", "inherited"]
"""Weights that short trainings start from."""
SCORES, ORDERS, ORIGINS = get_args(ScoreName), get_args(Orders), get_args(Origin)


@dataclass(frozen=True, order=True)
class Score:
    """The result of one short training; comparable, higher is better, a failed one is lowest.

    Attributes:
        value: validation accuracy in [0, 1], minus the loss asked for, or the basin score in [-1, 1]; ``-inf`` if the
            training failed. ``float(score)`` is the same.
        tie: minus the validation loss: of two equal values the lower loss is better.
        reason: why it failed; empty otherwise.
    """

    value: float
    tie: float
    reason: str = ""

    @classmethod
    def of(cls, value: float | None, loss: float | None, reason: str = "") -> Score:
        """A score from a value and the validation loss; one that is not finite is a failure."""
        if not reason and (value is None or loss is None or not math.isfinite(loss + value)):
            reason = f"diverged: the validation loss is {loss}"
        if reason or value is None or loss is None:
            return cls(FAILED, FAILED, reason)
        return cls(value, -loss)

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """The mean of several trainings of one mask; failed if one of them is."""
        for score in scores:
            if score.failed:
                return score
        count = len(scores)
        return cls(sum(score.value for score in scores) / count, sum(score.tie for score in scores) / count)

    def __float__(self) -> float:
        return self.value

    @property
    def failed(self) -> bool:
        """Whether the training diverged."""
        return bool(self.reason)

    @property
    def loss(self) -> float:
        """Mean validation cross-entropy; ``inf`` if the training failed."""
        return -self.tie


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A training network as it stands after some steps.

    Attributes:
        step: the recipe's step reached.
        weights: vector ``(D,)`` and rest ``(R,)``; pruned weights are zero.
        train_loss: mean training loss since the last snapshot.
        trained: the trained vectors ``(D,)`` by name, under a relaxation; empty otherwise.
    """

    step: int
    weights: Weights
    train_loss: float
    trained: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrainedRound:
    """A network that an iterative search trained on its way, and will prune.

    Attributes:
        mask: of units, ``(U,)``, under which it was trained.
        step: the recipe's step reached.
        weights: vector ``(D,)`` and rest ``(R,)``.
        train_loss: mean training loss since the snapshot before the last.
    """

    mask: BoolArray
    step: int
    weights: Weights
    train_loss: float


@dataclass(frozen=True, eq=False)
class Incumbent:
    """The best mask evaluated so far, at the highest fidelity used.

    Attributes:
        mask: ``(D,)``.
        score: of its short training, or the mean of several.
        fidelity: steps of that training.
        cost: what the search had spent when it was found.
        values: of the trainings that the score is the mean of.
    """

    mask: BoolArray
    score: Score
    fidelity: int
    cost: Cost
    values: tuple[float, ...]

    def read_only(self) -> Incumbent:
        """A copy whose mask cannot be assigned to."""
        return Incumbent(read_only(self.mask), replace(self.score), self.fidelity, replace(self.cost), self.values)


@dataclass(frozen=True, eq=False)
class Belief:
    """What a search would have returned at some point, in its own opinion.

    Attributes:
        mask: of units, ``(U,)``.
        cost: what the search had spent.
    """

    mask: BoolArray
    cost: Cost
