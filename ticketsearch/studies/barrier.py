"""Lines between two trained networks, and the barrier on them; what is measured of them, as records. No torch.

Linear mode connectivity (Frankle et al., "Linear mode connectivity and the lottery ticket hypothesis",
arXiv:1912.05671): the barrier is the largest error on the line a W1 + (1 - a) W2, a in [0, 1], minus the mean of the
errors of its ends; two networks are connected where that is below two points. Where the ends differ, half of their
difference is in it; so the height above the straight line between the ends' errors (Entezari et al., arXiv:2110.06296)
is told beside it, which is zero if nothing on the way is worse than the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Weights
from ticketsearch.records.record import StrictRecord

Comparison = Literal["orders", "dense", "rounds", "tickets"]
POINTS = 30
STABLE = 0.02
"""A barrier of the error below which two networks count as connected (arXiv:1912.05671, section 2)."""


def interpolated(first: Weights, second: Weights, points: int) -> Weights:
    """Weights ``(points, D)``, ``(points, R)`` at equal distances on the line from one network to the other.

    Raises:
        InvalidValue: fewer than two points; the ends are two.
    """
    if points < 2:
        raise InvalidValue(f"points {points} is less than 2: the ends of a line are two")
    share = np.linspace(0, 1, points)[:, None]  # of the second; exactly 0 and 1 at the ends

    def between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray((1 - share) * one + share * other, dtype=np.float32)

    return Weights(between(first.vector, second.vector), between(first.rest, second.rest))


def barrier(values: Sequence[float]) -> float:
    """The largest value on a line minus the mean of its ends'; at least 0."""
    return max(values) - (values[0] + values[-1]) / 2


def above_ends(values: Sequence[float]) -> float:
    """How far values on a line rise above the straight line between its ends' values; at least 0."""
    return float(np.max(np.asarray(values) - np.linspace(values[0], values[-1], len(values))))


class Profile(StrictRecord):
    """Errors and mean losses at the points of a line, from the first network to the second."""

    error: list[float]
    loss: list[float]


class Line(StrictRecord):
    """Two trained networks, and all that lies between them.

    ``place`` is the step from which two data orders part, or the number of the first of two rounds; ``sparsities`` are
    those of the two networks; ``matched`` says whether the neurons of the first were permuted to those of the second.
    """

    comparison: Comparison
    first: str
    second: str
    place: int | None = None
    sparsities: tuple[float, float]
    matched: bool = False
    test: Profile
    train: Profile


class Overlap(StrictRecord):
    """What two masks have in common; 0 is what chance gives masks of the same counts, 1 the most that counts allow.

    ``plain`` is that of the masks as they are, ``matched`` that of the first one permuted to the second one's neurons.
    ``degrees`` is that of the permuted one with the second one drawn anew, each neuron keeping as many inputs and
    outputs: what agrees because busy neurons were matched with busy ones.
    """

    plain: float
    matched: float
    degrees: float


class ConnectOutcome(StrictRecord):
    """Lines of one run; or of two, of two strategies or of two seeds.

    ``strategies`` and ``seeds`` have one value, or two, first and second. ``tickets`` are digests of the ticket files.
    """

    kind: Literal["connect"] = "connect"
    task: str
    task_fingerprint: str
    strategies: list[str]
    seeds: list[int]
    sparsity: float
    dense_test_accuracy: float
    tickets: list[str]
    lines: list[Line] = Field(default_factory=list)
    overlap: Overlap | None = None
