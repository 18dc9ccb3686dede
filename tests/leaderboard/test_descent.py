"""What curves over capacity say, on curves that can be read by eye."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tests.helpers.descents import made_up, outcome, point
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.descent import Descents, Place, analysed
from ticketsearch.studies.capacity import DENSE, IMP, RANDOM, DescentOutcome


def place(found: Descents, curve: str, weights: int) -> Place:
    width = 0.0 if curve == DENSE else 1.0
    [one] = [one for one in found.curves[curve, width] if one.first.n_weights == weights]
    return one


def weights(one: Place | None) -> int | None:
    return None if one is None else one.first.n_weights


def test_curves_go_from_large_to_small_and_have_means_with_t_intervals() -> None:
    found = analysed(made_up())
    assert [one.first.n_weights for one in found.curves[DENSE, 0.0]] == [1000, 100, 10]
    assert [one.first.n_weights for one in found.curves[IMP, 1.0]] == [500, 250, 100, 5]
    test = place(found, IMP, 500).test
    assert test.mean == pytest.approx(0.5)
    assert test.half_width == pytest.approx(4.302652729911275 * 0.02 / math.sqrt(3))  # t of two degrees of freedom


def test_tickets_stand_beside_dense_networks_of_as_many_weights() -> None:
    """Straight over the logarithm: 250 weights are log10(2.5) of the way from 100 to 1,000."""
    found = analysed(made_up())
    beside = place(found, IMP, 250)
    assert beside.as_dense is not None
    assert beside.to_dense is not None
    assert beside.as_dense.mean == pytest.approx(0.4 + 0.2 * math.log10(2.5))
    assert beside.to_dense.mean == pytest.approx(0.59 - 0.4 - 0.2 * math.log10(2.5))
    assert beside.to_dense.half_width == pytest.approx(0.0, abs=1e-12)  # paired: seeds shift both alike
    outside = place(found, IMP, 5)
    assert (outside.as_dense, outside.to_dense) == (None, None)
    assert place(found, DENSE, 100).as_dense is None


def test_tickets_are_compared_with_random_masks_of_as_many_weights() -> None:
    found = analysed(made_up())
    beside = place(found, IMP, 100).to_random
    assert beside is not None
    assert beside.mean == pytest.approx(0.4)
    assert beside.half_width == pytest.approx(4.302652729911275 * 0.02 / math.sqrt(3))
    assert place(found, RANDOM, 100).to_random is None
    assert place(found, DENSE, 100).to_random is None


def test_thresholds_are_the_smallest_networks_that_fit_all_training_examples() -> None:
    found = {one.curve: one for one in analysed(made_up()).thresholds}
    for curve, reached, below in ((DENSE, 100, 10), (IMP, 250, 100)):
        assert (weights(found[curve].reached), weights(found[curve].below)) == (reached, below)
    assert weights(found[RANDOM].reached) == 1000  # the dense network itself, at which masks begin
    strict = {one.curve: one for one in analysed(made_up(), tolerance=0.0).thresholds}
    assert weights(strict[IMP].reached) == 500
    never = analysed([outcome(0, [point(DENSE, n, 0.5, 0.6 + n / 10_000) for n in (10, 100, 1000)])])
    [threshold] = never.thresholds
    assert (threshold.reached, threshold.below) == (None, None)
    assert threshold.best.first.n_weights == 1000


def test_a_descent_is_a_fall_and_the_largest_rise_after_it() -> None:
    found = {one.curve: one for one in analysed(made_up()).descents}
    assert set(found) == {IMP}  # the others only fall
    better = [point(DENSE, 1000, 0.6), point(IMP, 500, 0.7), point(IMP, 100, 0.5)]
    assert analysed([outcome(0, better)]).descents == []  # nothing falls before it rises
    imp = found[IMP]
    assert (imp.trough.first.n_weights, imp.peak.first.n_weights) == (500, 100)
    assert imp.fall.mean == pytest.approx(0.1)
    assert imp.rise.mean == pytest.approx(0.2)
    assert imp.told_apart
    assert not {one.curve: one for one in analysed(made_up(1)).descents}[IMP].told_apart


def test_the_size_of_a_ticket_is_that_of_the_sparsest_that_matches() -> None:
    [size] = analysed(made_up()).sizes
    assert size.ticket is not None
    assert (size.dense.first.n_weights, size.ticket.first.n_weights, size.last) == (1000, 100, False)
    [loose] = analysed(made_up(), margin=0.5).sizes
    assert loose.ticket is not None
    assert (loose.ticket.first.n_weights, loose.last) == (5, True)
    [none] = analysed([outcome(0, [point(DENSE, 1000, 0.9), point(IMP, 500, 0.5)])]).sizes
    assert none.ticket is None


def twice(outcomes: list[DescentOutcome]) -> list[DescentOutcome]:
    return [outcomes[0], outcomes[0]]


def another_task(outcomes: list[DescentOutcome]) -> list[DescentOutcome]:
    return [outcomes[0], outcomes[1].model_copy(update={"task_fingerprint": "f2"})]


def another_plan(outcomes: list[DescentOutcome]) -> list[DescentOutcome]:
    return [outcomes[0], outcomes[1].model_copy(update={"points": outcomes[1].points[1:]})]


@pytest.mark.parametrize("mixed", [twice, another_task, another_plan])
def test_what_does_not_belong_together_is_refused(
    mixed: Callable[[list[DescentOutcome]], list[DescentOutcome]],
) -> None:
    with pytest.raises(InvalidValue, match="name those of one command"):
        analysed(mixed(made_up()))


@pytest.mark.parametrize("limits", [{"tolerance": 1.0}, {"margin": -0.1}])
def test_limits_are_fractions(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="not a fraction"):
        analysed(made_up(), **limits)
