from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.running_time import Curve
from ticketsearch.leaderboard.statistics import MARGIN, holm
from ticketsearch.leaderboard.verdict import MIN_SEEDS, MUCH, RULE, Claim, Control, Verdict, compare, judge


def reach(own: Mapping[int, Curve], imp: Mapping[int, Curve], random: Mapping[int, float], **changes: Any) -> Verdict:
    return judge(Claim("ga", "tiny", 0.9, changes.pop("currency", "CPU seconds")), own, imp, random, **changes)


def runs(accuracy: float, cost: float, spent: float, n: int = 10) -> dict[int, Curve]:
    return dict.fromkeys(range(n), Curve((cost,), (accuracy,), spent))


IMP, RANDOM = runs(0.60, 1.0, 1.0), {seed: 0.50 + 0.001 * seed for seed in range(10)}


@pytest.mark.parametrize(
    ("accuracy", "cost", "spent", "outcome", "ratio"),
    [
        (0.55, 0.10, 1.00, "supported", math.inf),
        (0.60, 0.70, 1.00, "supported", 0.70),
        (0.5975, 0.70, 1.00, "supported", 0.70),  # within the margin of equivalence is good enough
        (0.5965, 0.70, 1.00, "supported", math.inf),
        (0.60, 0.45, 1.00, "undecided", 0.45),
        (0.60, 0.10, 0.10, "refuted", 0.10),
        (0.60, 0.10, 1.00, "refuted", 0.10),
    ],
)
def test_outcomes_by_hand(accuracy: float, cost: float, spent: float, outcome: str, ratio: float) -> None:
    """Forty hits in forty leave a chance of at least 91 %: a running time of IMP of 1.1 at most."""
    found = reach(runs(accuracy, cost, spent, 40), runs(0.60, 1.0, 1.0, 40), dict.fromkeys(range(40), 0.5))
    assert (found.outcome, found.reasons) == (outcome, ())
    assert (found.n, found.target, found.ratio) == pytest.approx((40, 0.597, ratio))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= ratio <= found.high


def test_too_few_seeds_are_counted_over_what_all_three_share() -> None:
    found = reach(runs(0.6, 1, 1, n=12), IMP, {seed: RANDOM[seed] for seed in range(1, 10)})
    assert (found.outcome, found.n) == ("none", 9)
    assert found.reasons == ("Only 9 paired seeds; a verdict takes 10.",)
    nothing = reach({}, IMP, RANDOM)
    assert (nothing.outcome, nothing.n, nothing.ratio, nothing.low, nothing.target) == ("none", 0, None, None, None)


def test_imp_no_better_than_random_is_no_reference() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    noisy = {seed: 0.59 + 0.05 * rng.normal() for seed in range(10)}
    for random, shown in (
        (noisy, "points ["),
        (dict.fromkeys(range(10), 0.7), "-10.00"),
        (dict.fromkeys(range(10), 0.598), "+0.20"),
    ):
        found = reach(runs(0.5, 0.1, 1.0), IMP, random)
        assert found.outcome == "none"
        assert len(found.reasons) == 1
        assert "not shown to be above random" in found.reasons[0]
        assert shown in found.reasons[0]


def test_a_failed_control_forbids_a_verdict_and_says_why() -> None:
    controls = [Control("order", True, "Fine."), Control("shuffle", False, "Shuffled masks do as well.")]
    found = reach(runs(0.5, 0.1, 1.0), IMP, RANDOM, controls=controls)
    assert (found.outcome, found.reasons) == ("none", ("Shuffled masks do as well.",))
    assert reach(runs(0.5, 0.1, 1.0), IMP, RANDOM, controls=controls[:1]).outcome == "supported"


def test_runs_that_missed_for_want_of_budget_support_nothing() -> None:
    short = reach(runs(0.5, 0.1, 0.5), IMP, RANDOM)
    assert short.outcome == "none"
    assert "10 runs that missed the target spent 0.5 CPU seconds on average, the reference 1 " in short.reasons[0]
    assert reach(runs(0.5, 0.1, 0.96), IMP, RANDOM).outcome == "supported"  # the next evaluation did not fit
    hits = runs(0.6, 0.1, 0.1) | {0: Curve((0.1,), (0.5,), 0.1)}
    assert reach(hits, IMP, RANDOM).outcome == "refuted"  # though one run stopped early and missed


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidValue, match="kept-weight FLOPs"):
        reach(IMP, IMP, RANDOM, currency="dollars")
    with pytest.raises(InvalidValue, match="seed 3"):
        reach(IMP, IMP | {3: Curve((), (), 1.0)}, RANDOM)


def test_the_rule_states_its_constants() -> None:
    for constant in ("2 times", "1/2", "0.3 points", "10 paired"):
        assert constant in RULE
    assert (MUCH, MIN_SEEDS, MARGIN) == (2, 10, 0.003)


def test_compare_adjusts_over_all_strategies() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    imp = {seed: 0.6 + 0.01 * rng.normal() for seed in range(10)}
    others = {
        name: {s: a + shift + 0.01 * rng.normal() for s, a in imp.items()}
        for name, shift in zip("abc", (0.03, 0.0, -0.006), strict=True)
    }
    found = compare(others | {"absent": {77: 0.5}}, imp)
    own = [
        float(stats.wilcoxon([values[s] - imp[s] for s in imp], method="exact").pvalue) for values in others.values()
    ]
    assert [one.strategy for one in found] == ["a", "b", "c", "absent"]
    assert [one.p_holm for one in found] == [*(pytest.approx(p) for p in holm(own)), None]
    assert [one.separated for one in found] == [True, False, False, False]


def test_a_mean_that_hangs_on_one_seed_does_not_separate() -> None:
    """Better on every seed, so the ranks are sure; but the mean comes from one of them and its interval holds 0."""
    imp = dict.fromkeys(range(10), 0.5)
    found = compare({"lucky": {seed: 0.501 + 0.1 * (seed == 3) for seed in range(10)}}, imp)[0]
    assert (found.p_holm, found.separated) == (2 / 1024, False)


def test_identical_strategies_are_not_separated_and_two_points_are() -> None:
    """200 studies: five strategies against IMP over ten paired seeds, one point of noise each, the last 2 points up."""
    rng = np.random.Generator(np.random.PCG64(2))
    errors = found = 0
    for _ in range(200):
        level = 0.6 + rng.normal(0, 0.01, 10)
        imp, *same = (dict(enumerate(level + rng.normal(0, 0.01, 10))) for _ in range(6))
        better = dict(enumerate(level + 0.02 + rng.normal(0, 0.01, 10)))
        errors += any(one.separated for one in compare(dict(zip("abcde", same, strict=True)), imp))
        found += compare({"better": better}, imp)[0].separated
    assert errors <= 10
    assert found >= 180


def studies(mean: float, cost: float, n: int = 10, count: int = 200) -> Counter[str]:
    """Outcomes of studies with the target set anew by each one's IMP: 0.6 at cost 1, random 0.5, 1 point of noise."""
    rng, outcomes = np.random.Generator(np.random.PCG64(3)), Counter[str]()
    for _ in range(count):
        imp, own, random = (centre + rng.normal(0, 0.01, n) for centre in (0.6, mean, 0.5))
        found = reach(
            {seed: Curve((cost,), (value,), 1.0) for seed, value in enumerate(own)},
            {seed: Curve((1.0,), (value,), 1.0) for seed, value in enumerate(imp)},
            dict(enumerate(random)),
        )
        outcomes[found.outcome] += 1
    return outcomes


def test_a_strategy_identical_to_imp_is_not_found_much_better() -> None:
    assert studies(0.6, 1.0)["refuted"] <= 10


def test_a_strategy_exactly_twice_as_cheap_is_seldom_judged_either_way() -> None:
    """IMP: 1 / P(z > -0.3) = 1.62. A strategy that hits in 80 %, at cost c, takes c + 0.25: c = 0.56 makes R = 1/2."""
    half = 0.5 / stats.norm.cdf(0.3)
    outcomes = studies(0.597 + 0.01 * stats.norm.ppf(0.8), half - 0.25)
    assert outcomes["refuted"] <= 10
    assert outcomes["supported"] <= 10


def test_clear_cases_are_decided() -> None:
    assert studies(0.53, 0.1)["supported"] >= 180
    assert studies(0.63, 0.05)["refuted"] >= 160


def test_many_noisy_checkpoints_do_not_pass_for_a_cheap_search() -> None:
    """A point below IMP at ten checkpoints of one point of noise: nearly every run has a lucky one, few hold it."""
    rng, outcomes = np.random.Generator(np.random.PCG64(4)), Counter[str]()
    costs = tuple(0.1 * step for step in range(1, 11))
    imp = runs(0.6, 1.0, 1.0)
    for _ in range(50):
        own = {seed: Curve(costs, tuple(0.59 + 0.01 * rng.normal(size=10)), 1.0) for seed in range(10)}
        found = reach(own, imp, RANDOM)
        assert found.ratio is not None
        assert found.ratio < 1
        outcomes[found.outcome] += 1
    assert outcomes["refuted"] == 0


def test_a_hit_that_is_lost_again_refutes_nothing_and_supports_nothing() -> None:
    lost = dict.fromkeys(range(10), Curve((0.1, 0.9), (0.62, 0.50), 1.0))
    found = reach(lost, IMP, RANDOM)
    assert (found.outcome, found.high) == ("undecided", math.inf)
    assert found.ratio == pytest.approx(0.1)
    kept = dict.fromkeys(range(10), Curve((0.1, 0.2), (0.62, 0.60), 0.2))
    assert reach(kept, IMP, RANDOM).outcome == "refuted"
