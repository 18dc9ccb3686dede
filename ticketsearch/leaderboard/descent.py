"""What curves over capacity say: interpolation thresholds, double descents, tickets beside dense networks, their sizes.

A curve is read from the largest network to the smallest. Everything is paired by seed; intervals are Student's t.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.studies.capacity import DENSE, IMP, RANDOM, DescentOutcome, Point

TOLERANCE = 0.01
"""Training error that counts as zero."""
MARGIN = 0.01
"""Test accuracy by which a ticket may be below its own dense network and still matches it."""


@dataclass(frozen=True)
class Place:
    """One network of a curve, over all seeds.

    Attributes:
        points: of each seed, in order; they differ in what was measured.
        as_dense: test accuracy of a dense network of as many weights, interpolated; ``None`` outside their range.
        to_dense: the network's less that one's.
        to_random: the network's less that of the random mask of as many weights; ``None`` if there is none.
    """

    points: tuple[Point, ...]
    as_dense: Estimate | None
    to_dense: Estimate | None
    to_random: Estimate | None

    @property
    def first(self) -> Point:
        """What is the same in all seeds: curve, width, numbers of weights."""
        return self.points[0]

    def over(self, value: Callable[[Point], float]) -> Estimate:
        """Of some measured value."""
        return Estimate.of([value(point) for point in self.points])

    @property
    def test(self) -> Estimate:
        """Test accuracy."""
        return self.over(lambda point: point.test_accuracy)

    @property
    def train_error(self) -> float:
        """Mean training error."""
        return 1 - self.over(lambda point: point.train_accuracy).mean


@dataclass(frozen=True)
class Threshold:
    """Where the training error first reaches zero as a network grows.

    Attributes:
        curve: of which.
        reached: the smallest network whose mean training error is within the tolerance; ``None`` = none is.
        below: the largest one smaller than that.
        best: the network of least training error.
    """

    curve: str
    reached: Place | None
    below: Place | None
    best: Place


@dataclass(frozen=True)
class Descent:
    """A fall and a second rise of the test accuracy, from large networks to small ones.

    The two places are those between which mean accuracy rises most, chosen after the fact: intervals do not know that.

    Attributes:
        curve: of which.
        trough: where accuracy is lowest before it rises.
        peak: where it is highest after that.
        fall: accuracy of the largest network less that of the trough.
        rise: that of the peak less that of the trough.
    """

    curve: str
    trough: Place
    peak: Place
    fall: Estimate
    rise: Estimate

    @property
    def told_apart(self) -> bool:
        """Whether the interval of the rise lies above zero."""
        return self.rise.half_width is not None and self.rise.mean > self.rise.half_width


@dataclass(frozen=True)
class Size:
    """The sparsest ticket of one width that matches its own dense network on average.

    Attributes:
        dense: that network.
        ticket: ``None`` = none does.
        last: whether there was no sparser one.
    """

    dense: Place
    ticket: Place | None
    last: bool


@dataclass(frozen=True)
class Descents:
    """The whole analysis.

    Attributes:
        outcomes: what it is of.
        curves: (name, width) -> places, from the largest network; dense networks are one curve, of width 0.
        tolerance: see :data:`TOLERANCE`.
        margin: see :data:`MARGIN`.
    """

    outcomes: tuple[DescentOutcome, ...]
    curves: dict[tuple[str, float], list[Place]]
    tolerance: float
    margin: float

    @property
    def thresholds(self) -> list[Threshold]:
        """Of each curve of several networks."""
        return [
            self._threshold(name, self.whole(name, width)) for (name, width) in self.curves if self._long(name, width)
        ]

    @property
    def descents(self) -> list[Descent]:
        """Of each curve that has one."""
        found = [_descent(name, self.whole(name, width)) for name, width in self.curves if self._long(name, width)]
        return [one for one in found if one is not None]

    @property
    def sizes(self) -> list[Size]:
        """Of each width that IMP pruned."""
        found = []
        for name, width in self.curves:
            if name == IMP:
                dense, *tickets = self.whole(name, width)
                matching = [one for one in tickets if _paired(one, dense).mean >= -self.margin]
                found.append(Size(dense, matching[-1] if matching else None, matching[-1:] == tickets[-1:]))
        return found

    def whole(self, name: str, width: float) -> list[Place]:
        """A curve with the dense network that it begins at."""
        own = self.curves[name, width]
        if name == DENSE:
            return own
        return [*(one for one in self.curves.get((DENSE, 0.0), []) if one.first.width == width), *own]

    def _long(self, name: str, width: float) -> bool:
        return len(self.whole(name, width)) > 2 and (name == DENSE or width == 1)

    def _threshold(self, name: str, places: Sequence[Place]) -> Threshold:
        growing = places[::-1]
        index = next((i for i, one in enumerate(growing) if one.train_error <= self.tolerance), None)
        best = min(growing, key=lambda one: one.train_error)
        if index is None:
            return Threshold(name, None, None, best)
        return Threshold(name, growing[index], growing[index - 1] if index else None, best)


def analysed(outcomes: Sequence[DescentOutcome], tolerance: float = TOLERANCE, margin: float = MARGIN) -> Descents:
    """The analysis of outcomes of one task, a seed each.

    Raises:
        InvalidValue: they are of several tasks, recipes or plans, or a seed is there twice.
    """
    check_limits(tolerance, margin)
    plans = {(one.task, one.task_fingerprint, one.steps, tuple(map(_key, one.points))) for one in outcomes}
    if len(plans) != 1 or len({one.seed for one in outcomes}) < len(outcomes):
        raise InvalidValue(
            "outcomes of several tasks, recipes or plans, or of one seed twice; name those of one command"
        )
    dense = [_dense_curve(one) for one in outcomes]
    randoms = [{p.n_kept: p for p in one.points if p.curve == RANDOM} for one in outcomes]
    curves: dict[tuple[str, float], list[Place]] = defaultdict(list)
    for points in zip(*(one.points for one in outcomes), strict=True):
        first = points[0]
        as_many = [curve(point.n_weights) for curve, point in zip(dense, points, strict=True)]
        inside = [value for value in as_many if value is not None] if first.curve != DENSE else []
        own = [point.test_accuracy for point in points]
        beside = [random.get(first.n_kept) for random in randoms] if (first.curve, first.width) != (RANDOM, 1) else []
        theirs = [point.test_accuracy for point in beside if point is not None] if first.width == 1 else []
        place = Place(
            points,
            Estimate.of(inside) if inside else None,
            _difference(own, inside),
            _difference(own, theirs),
        )
        curves[first.curve, 0.0 if first.curve == DENSE else first.width].append(place)
    for places in curves.values():
        places.sort(key=lambda place: -place.first.n_weights)
    order = sorted(curves, key=lambda key: (DENSE, IMP, RANDOM).index(key[0]) if key[0] in (DENSE, IMP, RANDOM) else 3)
    return Descents(tuple(outcomes), {key: curves[key] for key in order}, tolerance, margin)


def check_limits(tolerance: float, margin: float) -> None:
    """Refuse what is no tolerance and no margin.

    Raises:
        InvalidValue: says which.
    """
    for name, value in (("tolerance", tolerance), ("margin", margin)):
        if not 0 <= value < 1:
            raise InvalidValue(f"{name} {value:g} is not a fraction in [0, 1)")


def _key(point: Point) -> tuple[str, float, int]:
    return point.curve, point.width, point.n_kept


def _difference(own: Sequence[float], theirs: Sequence[float]) -> Estimate | None:
    return Estimate.of([a - b for a, b in zip(own, theirs, strict=True)]) if theirs else None


def _dense_curve(outcome: DescentOutcome) -> Callable[[int], float | None]:
    """Weights -> test accuracy of a dense network, straight between neighbours over the logarithm of weights."""
    points = sorted((p for p in outcome.points if p.curve == DENSE), key=lambda point: point.n_weights)
    sizes, accuracies = [p.n_weights for p in points], [p.test_accuracy for p in points]

    def at(weights: int) -> float | None:
        if not sizes or not sizes[0] <= weights <= sizes[-1]:
            return None
        return float(np.interp(math.log(weights), np.log(sizes), accuracies))

    return at


def _paired(one: Place, other: Place) -> Estimate:
    return Estimate.of([a.test_accuracy - b.test_accuracy for a, b in zip(one.points, other.points, strict=True)])


def _descent(name: str, places: Sequence[Place]) -> Descent | None:
    """The largest rise of mean accuracy towards smaller networks after a fall, if there is any."""
    means = [one.test.mean for one in places]
    fallen = [index for index, mean in enumerate(means) if mean < means[0]]
    rises = [(means[j] - means[i], i, j) for i in fallen for j in range(i + 1, len(means))]
    rise, i, j = max(rises, default=(0.0, 0, 0))
    if rise <= 0:
        return None
    return Descent(name, places[i], places[j], _paired(places[0], places[i]), _paired(places[j], places[i]))
