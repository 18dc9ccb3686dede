from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.running_time import (
    Curve,
    RunningTime,
    ecdf,
    expected_running_time,
    first_hit,
    held,
    ratio_of_running_times,
    targets,
)

EARLY = Curve((10, 20, 40), (0.50, 0.56, 0.58), 50)
LATE = Curve((10, 30), (0.51, 0.57), 50)
NEVER = Curve((10, 20), (0.52, 0.50), 60)
BARREN = Curve((), (), 30)
RUNS = (EARLY, LATE, NEVER, BARREN)


def run(hit: float | None, spent: float = 1.0) -> Curve:
    return Curve((), (), spent) if hit is None else Curve((hit,), (1.0,), spent)


def test_the_first_checkpoint_counts_even_if_the_curve_falls_again() -> None:
    assert [first_hit(curve, 0.56) for curve in RUNS] == [20, 30, None, None]
    assert first_hit(NEVER, 0.52) == 10


def test_what_was_held_is_the_least_from_there_on() -> None:
    curve = held(Curve((1, 2, 3, 4, 5), (0.5, 0.7, 0.4, 0.6, 0.55), 6))
    assert curve == Curve((1, 2, 3, 4, 5), (0.4, 0.4, 0.4, 0.55, 0.55), 6)
    assert held(BARREN) == BARREN


def test_a_target_missed_by_rounding_is_hit() -> None:
    assert first_hit(Curve((1,), (0.3,), 1), 0.1 + 0.2) == 1
    assert first_hit(Curve((1,), (0.2999,), 1), 0.1 + 0.2) is None


def test_expected_running_time_by_hand() -> None:
    """0.56: hits at 20 and 30, censored at 60 and 30: 140 spent for 2 hits. 0.575: 40 + 50 + 60 + 30 for 1."""
    assert expected_running_time(RUNS, 0.56).ert == pytest.approx(70)
    found = expected_running_time(RUNS, 0.575)
    assert (found.ert, found.successes, found.runs) == pytest.approx((180, 1, 4))
    assert expected_running_time(RUNS, 0.9).ert == math.inf


def test_no_run_and_one_run_have_no_interval() -> None:
    assert expected_running_time([], 0.5) == RunningTime(math.inf, 0, 0, None, None)
    assert expected_running_time([EARLY], 0.56) == RunningTime(20, 1, 1, None, None)


@pytest.mark.parametrize("n", [3, 10, 40])
def test_equal_costs_give_clopper_and_pearson_s_limits(n: int) -> None:
    """At a hit cost c = 0.4 and an end at 1, ERT = c + (1 - p) / p; without hits the cheapest is taken for free."""
    for hits in (0, 1, n // 2, n - 1, n):
        found = expected_running_time([run(0.4)] * hits + [run(None)] * (n - hits), 0.5)
        limits = stats.binomtest(hits, n).proportion_ci(method="exact")
        cost = 0.4 if hits else 0.0
        assert found.low == pytest.approx(cost + (1 - limits.high) / limits.high, rel=0.05)
        assert found.high == (pytest.approx(0.4 + (1 - limits.low) / limits.low, rel=0.15) if hits else math.inf)


def test_all_misses_bound_the_running_time_from_below_only() -> None:
    found = expected_running_time([run(None)] * 10, 0.5)
    assert (found.ert, found.successes, found.high) == (math.inf, 0, math.inf)
    assert found.low == pytest.approx(2.24, abs=0.1)


@pytest.mark.parametrize(
    ("chance", "spread"), [(1.0, 0.6), (0.9, 0.6), (0.5, 0.6), (0.2, 0.6), (0.6, 0.0), (0.05, 0.0)]
)
def test_the_interval_covers_at_known_chances(chance: float, spread: float) -> None:
    """400 studies of ten runs; the truth from a million. Either end may miss in 2.5 %: 10, standard deviation 3.1."""
    rng = np.random.Generator(np.random.PCG64(5))

    def draw(n: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool]]]:
        costs = np.exp(rng.normal(-1, spread, n))
        return costs, (rng.random(n) < chance) & (costs < 1)

    costs, hit = draw(1_000_000)
    truth = np.where(hit, costs, 1).mean() / (hit.mean() if spread else chance)
    truth = truth if spread else math.exp(-1) + (1 - chance) / chance
    above = below = 0
    for _ in range(400):
        costs, hit = draw(10)
        found = expected_running_time([run(c if h else None) for c, h in zip(costs, hit, strict=True)], 0.5)
        assert found.low is not None
        assert found.high is not None
        above += found.low > truth + 1e-9
        below += found.high < truth - 1e-9
    assert above <= 20
    assert below <= 20


def test_the_ratio_by_hand() -> None:
    a = {0: run(0.2), 1: run(0.4), 2: run(None)}  # 1.6 for 2 hits
    b = {0: run(1.0), 1: run(None), 3: run(1.0), 4: run(None)}  # 4 for 2 hits
    found = ratio_of_running_times(a, b, 0.5)
    assert (found.value, found.seeds) == pytest.approx((0.4, 2))
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.4 < found.high < math.inf


def test_the_ratio_of_what_is_never_hit() -> None:
    hit, miss = dict.fromkeys(range(10), run(1.0)), dict.fromkeys(range(10), run(None))
    dear, cheap = ratio_of_running_times(miss, hit, 0.5), ratio_of_running_times(hit, miss, 0.5)
    assert (dear.value, dear.high) == (math.inf, math.inf)
    assert dear.low is not None
    rng = np.random.Generator(np.random.PCG64(0))
    real, own, other = rng.gamma(10, size=100_000), rng.exponential(size=100_000), rng.exponential(size=100_000)
    draws = (real / own) / ((real + other) / real)  # weights of the ten seeds, and of each strategy's imaginary run
    assert dear.low == pytest.approx(np.quantile(draws, 0.025), rel=0.06)
    assert (cheap.value, cheap.low) == (0, 0)
    assert cheap.high is not None
    assert 1 / 2.24 < cheap.high < 1
    neither = ratio_of_running_times(miss, miss, 0.5)
    assert (neither.value, neither.low, neither.high) == (None, 0, math.inf)
    alone = ratio_of_running_times({0: run(1.0)}, hit, 0.5)
    assert (alone.value, alone.low, alone.high) == (1, None, None)


def test_pairing_by_seed_narrows_the_ratio() -> None:
    """Seeds that are hard for both: half the cost on each seed is a ratio of one half, whatever the seeds cost."""
    costs = np.exp(np.random.Generator(np.random.PCG64(0)).normal(0, 1, 200))
    a = {seed: run(cost / 2, cost) for seed, cost in enumerate(costs)}
    same = {seed: run(cost, cost) for seed, cost in enumerate(costs)}
    other = {seed + 1000: curve for seed, curve in same.items()}
    narrow, wide = ratio_of_running_times(a, same, 0.5), ratio_of_running_times(a, other, 0.5)
    assert narrow.value == wide.value == pytest.approx(0.5)
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low is not None
    assert wide.high is not None
    assert narrow.high - narrow.low < 0.75 * (wide.high - wide.low)


def test_the_ecdf_by_hand() -> None:
    """Targets 0.52, 0.56, 0.575. Hits: 20, 20, 40 (early), 30, 30 (late), 10 (never); six of twelve pairs."""
    found = ecdf(RUNS, (0.52, 0.56, 0.575), (0, 10, 20, 29, 30, 40, 1000))
    np.testing.assert_allclose(found * 12, [0, 1, 3, 3, 5, 6, 6])
    with pytest.raises(InvalidValue, match="at least one"):
        ecdf([], [0.5], [1])


def test_targets_share_out_the_gap() -> None:
    found = targets([0.4, 0.5], [0.6, 0.8])
    assert found == pytest.approx([0.45 + 0.025 * step for step in range(1, 11)])
    assert targets([0.1], [0.7], (1.0,)) == (0.7,)
    with pytest.raises(InvalidValue, match="no gap"):
        targets([0.5, 0.5], [0.4, 0.6])
    with pytest.raises(InvalidValue, match="2 and 1"):
        targets([0.5, 0.5], [0.4])


@pytest.mark.parametrize(
    ("costs", "values", "spent", "message"),
    [
        ((1, 2), (0.5,), 3, "one value for each"),
        ((2, 1), (0.5, 0.6), 3, "ascend"),
        ((1, 2), (0.5, 0.6), 1.5, "ascend"),
        ((-1,), (0.5,), 1, "ascend"),
        ((1,), (math.nan,), 1, "finite"),
        ((1,), (0.5,), math.inf, "finite"),
    ],
)
def test_impossible_curves_are_refused(
    costs: tuple[float, ...], values: tuple[float, ...], spent: float, message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        Curve(costs, values, spent)
