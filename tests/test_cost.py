from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketsearch.cost import Cost, Meter, at_least, parse_epochs, parse_steps
from ticketsearch.errors import BudgetExhausted, InvalidValue

costs = st.builds(Cost, train_examples=st.integers(0, 500), forward_examples=st.integers(0, 500))


def test_costs_add_and_subtract_componentwise() -> None:
    a = Cost(1, 2, 3, 4, 5, 0.5, 0.25, 0.125, 1.0)
    b = Cost(10, 20, 30, 40, 50, 1.5, 1.25, 1.125, 2.0)
    assert a + b == Cost(11, 22, 33, 44, 55, 2.0, 1.5, 1.25, 3.0)
    assert (a + b) - b == a


def test_a_forward_example_costs_a_third_of_a_training_example() -> None:
    assert Cost(train_examples=4).thirds == 12
    assert Cost(forward_examples=12).thirds == 12
    assert Cost(train_examples=40, forward_examples=30).epochs(100) == pytest.approx(0.5)


def test_a_shared_cost_is_an_equal_part_of_the_clocks_and_no_counts() -> None:
    part = Cost(7, 7, 7, 7, 7, 4.0, 8.0, 2.0, 6.0).shared(4)
    assert part == Cost(wall_s=1.0, cpu_s=2.0, engine_s=0.5, strategy_s=1.5)


@pytest.mark.parametrize(("text", "epochs"), [("200ep", 200), (" 1.5 EP ", 1.5), ("2eps", 2), ("1e3ep", 1000)])
def test_budgets_are_written_in_epochs(text: str, epochs: float) -> None:
    assert parse_epochs(text) == epochs


@pytest.mark.parametrize(
    "text", ["", "200", "ep", "-5ep", "200 steps", "nanep", "infep", "1e400ep", "0ep", "2e9ep", "2ep 3ep"]
)
def test_other_budgets_are_refused_with_their_text(text: str) -> None:
    with pytest.raises(InvalidValue) as error:
        parse_epochs(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    ("duration", "steps"),
    [(250, 250), ("250", 250), ("250step", 250), ("250steps", 250), ("2ep", 20), ("0.25ep", 2), (0, 0), ("0.5 ep", 5)],
)
def test_durations_are_steps_or_epochs(duration: int | str, steps: int) -> None:
    assert parse_steps(duration, steps_per_epoch=10) == steps


@pytest.mark.parametrize("duration", [True, -1, "-1", "x", "", 2.5, None, "1e400ep"])
def test_other_durations_are_refused_with_their_name(duration: object) -> None:
    with pytest.raises(InvalidValue, match="rewind"):
        parse_steps(duration, 10, "rewind")  # type: ignore[arg-type]


@given(st.integers(1, 100_000), st.floats(1e-3, 1e4), st.lists(costs, max_size=30))
def test_a_budget_is_never_overdrawn(train_size: int, budget: float, wanted: list[Cost]) -> None:
    meter = Meter(train_size, budget)
    for cost in wanted:
        before = meter.spent
        left = Fraction(repr(budget)) * 3 * train_size - before.thirds
        try:
            meter.charge(cost)
        except BudgetExhausted:
            assert meter.spent == before
            assert cost.thirds > math.floor(left)
        else:
            assert meter.spent.thirds == before.thirds + cost.thirds
        assert meter.spent.thirds <= Fraction(repr(budget)) * 3 * train_size
        assert meter.remaining_thirds >= 0


def test_a_budget_can_be_spent_to_the_last_third() -> None:
    meter = Meter(train_size=10, budget_epochs=2)
    meter.charge(Cost(train_examples=19, forward_examples=3))
    assert meter.remaining_thirds == 0
    with pytest.raises(BudgetExhausted):
        meter.charge(Cost(forward_examples=1))


@pytest.mark.parametrize(("train_size", "tenths"), [(10, 7), (10, 3), (1000, 11), (300, 29)])
def test_a_decimal_budget_is_what_it_says(train_size: int, tenths: int) -> None:
    assert Meter(train_size, tenths / 10).limit_thirds == 3 * train_size * tenths // 10


def test_a_refused_charge_says_what_it_costs_and_what_is_left() -> None:
    meter = Meter(train_size=100, budget_epochs=1)
    with pytest.raises(BudgetExhausted, match=r"costs 1\.5ep, 1ep of the budget are left"):
        meter.charge(Cost(train_examples=150))


def test_an_account_without_limit_only_counts() -> None:
    meter = Meter(train_size=10)
    meter.charge(Cost(train_examples=10**12))
    assert meter.remaining_epochs == math.inf


def test_clocks_tell_the_strategy_from_the_engine() -> None:
    meter = Meter(train_size=10, budget_epochs=1)
    meter.lap(strategy=True)
    own = meter.spent.strategy_s
    with meter.engine():
        sum(range(10_000))
    meter.lap(strategy=False)
    assert 0 < own == meter.spent.strategy_s
    assert 0 < meter.spent.engine_s <= meter.spent.wall_s
    assert meter.spent.thirds == 0


@given(st.floats(1e-6, 1e9))
def test_advice_is_rounded_up_and_can_be_typed_back(epochs: float) -> None:
    text = at_least(epochs)
    assert epochs * (1 - 1e-12) <= parse_epochs(text) <= epochs * 1.0011
    assert len(text) <= 11
