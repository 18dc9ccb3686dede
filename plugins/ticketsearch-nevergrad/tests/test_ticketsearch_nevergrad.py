from typing import Any

import pytest

from ticketsearch.testing import StrategyContract, check_strategy

from ticketsearch_nevergrad import NevergradSearch

CHECKS = ["exact-count", "within-budget", "global-random-state", "same-seed", "failed-scores", "kill-and-replay"]
SETTINGS = [{"optimizer": name} for name in ("PSO", "DiagonalCMA", "OnePlusOne", "RandomSearch")]


class TestNevergradSearch(StrategyContract):
    """Every check of the contract, a test each."""

    strategy = NevergradSearch


@pytest.mark.parametrize("settings", SETTINGS)
def test_other_settings_keep_the_contract_as_well(settings: dict[str, Any]) -> None:
    check_strategy(NevergradSearch, settings=settings, checks=CHECKS).require()


def test_an_unknown_optimiser_is_refused_by_name() -> None:
    from ticketsearch.errors import UnknownName
    from ticketsearch.testing.closed_form import closed_form_problem

    with pytest.raises(UnknownName, match="did you mean 'TwoPointsDE'"):
        NevergradSearch(optimizer="TwoPointDE").search(closed_form_problem(5)[0])
