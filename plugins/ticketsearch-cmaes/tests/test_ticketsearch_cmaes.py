from typing import Any

import pytest

from ticketsearch.testing import StrategyContract, check_strategy

from ticketsearch_cmaes import CmaEs

CHECKS = ["exact-count", "within-budget", "global-random-state", "same-seed", "failed-scores", "kill-and-replay"]
SETTINGS = [{"encoding": "seeded"}, {"encoding": "criterion-mixture", "separable": True}, {"sigma": 1.0}]


class TestCmaEs(StrategyContract):
    """Every check of the contract, a test each."""

    strategy = CmaEs


@pytest.mark.parametrize("settings", SETTINGS)
def test_other_settings_keep_the_contract_as_well(settings: dict[str, Any]) -> None:
    check_strategy(CmaEs, settings=settings, checks=CHECKS).require()
