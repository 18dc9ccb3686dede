from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.fidelity import Exploitation, exploitation, tau

STEPS = np.arange(8)


def judge(rng: np.random.Generator, confirmed: object, short: object, n: int = 10, noise: float = 0.01) -> Exploitation:
    """A study of ``n`` seeds around mean curves, a seed's level and each checkpoint's value varying by ``noise``."""
    curves = [
        np.asarray(mean) + rng.normal(0, noise, (n, 1)) + rng.normal(0, noise, (n, len(STEPS)))
        for mean in (short, confirmed)
    ]
    costs = np.broadcast_to(10.0 + 10 * STEPS, curves[0].shape)
    found = exploitation(np.stack([costs, *curves], axis=-1).tolist())
    assert found is not None
    return found


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_tau_is_scipy_s_and_its_draws_are_tau_of_resampled_pairs(digits: int) -> None:
    rng = np.random.Generator(np.random.PCG64(digits))
    x = rng.normal(0, 0.3, 12)
    y = np.round(x + rng.normal(0, 0.3, 12), digits)
    x = np.round(x, digits)
    found = tau(x.tolist(), y.tolist())
    assert found is not None
    assert found.value == pytest.approx(stats.kendalltau(x, y).statistic)
    again = [stats.kendalltau(x[i], y[i]).statistic for i in rng.integers(0, 12, (2000, 12))]
    assert found.low is not None
    assert found.high is not None
    # n = 12 reads the quantiles at 1.1 % instead of 2.5 %
    low, high = np.quantile(again, [0.0108, 1 - 0.0108])
    assert found.low == pytest.approx(low, abs=0.06)
    assert found.high == pytest.approx(high, abs=0.06)


def test_tau_of_too_little_is_none() -> None:
    assert tau([0.1, 0.2], [0.3, 0.4]) is None
    assert tau([], []) is None
    assert tau([0.1, 0.2, 0.3], [0.5, 0.5, 0.5]) is None
    assert tau([0.3, 0.1 + 0.2, 0.3], [0.1, 0.2, 0.3]) is None  # constant but for rounding
    perfect = tau([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    assert perfect is not None
    assert (perfect.n, perfect.value, perfect.low, perfect.high) == (3, 1.0, None, None)
    with pytest.raises(InvalidValue, match="pairs"):
        tau([0.1, 0.2, 0.3], [0.1, 0.2])


def test_tau_s_interval_covers_at_least_as_often_as_it_says() -> None:
    rng, missed = np.random.Generator(np.random.PCG64(3)), 0
    for _ in range(200):
        x = rng.normal(size=20)
        found = tau(x.tolist(), (0.5 * x + np.sqrt(0.75) * rng.normal(size=20)).tolist())
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 1 / 3 <= found.high  # tau of a normal pair: 2 / pi * asin(0.5)
    assert missed <= 18


def test_exploitation_by_hand() -> None:
    """Three seeds, three checkpoints: best at the second, from cost 21 on; then -3, -4, -5 points, short +5, +6, +7."""
    seeds = [
        [(10, 0.40, 0.50), (20, 0.45, 0.55), (30, 0.50, 0.52)],
        [(10, 0.40, 0.51), (21, 0.45, 0.56), (31, 0.51, 0.52)],
        [(10, 0.40, 0.49), (22, 0.45, 0.54), (32, 0.52, 0.49)],
    ]
    found = exploitation(seeds)
    assert found is not None
    assert (found.exploits, found.falls, found.looks) == (True, True, 2)
    assert found.cost == pytest.approx(21)
    half = stats.t.ppf(1 - 0.05 / 2 / 2, 2) * 0.01 / np.sqrt(3)  # two looks
    assert (found.confirmed.value, found.confirmed.low, found.confirmed.high) == pytest.approx(
        (-0.04, -0.04 - half, -0.04 + half)
    )
    assert (found.short.value, found.short.low, found.short.high) == pytest.approx((0.06, 0.06 - half, 0.06 + half))


def test_a_rise_that_the_seeds_do_not_exclude_is_no_exploitation() -> None:
    """Changes of -2, 0 and +1 points: -0.33 on average, but a rise of more than 0.3 points would look like that too."""
    ends = (0.48, 0.50, 0.51)
    seeds = [[(10, 0.40, 0.50), (20, 0.60 + 0.01 * i, end)] for i, end in enumerate(ends)]
    found = exploitation(seeds)
    assert found is not None
    assert found.short.low is not None
    assert found.short.low > 0
    assert (found.cost, found.exploits, found.falls) == (10, False, False)
    wide = exploitation(seeds, margin=0.05)
    assert wide is not None
    assert (wide.exploits, wide.falls) == (True, False)


def test_a_best_last_checkpoint_is_no_exploitation() -> None:
    found = exploitation([[(1, 0.4, 0.5), (2, 0.6, 0.5)], [(1, 0.4, 0.5), (2, 0.7, 0.5)]])
    assert found is not None
    assert (found.exploits, found.falls, found.cost, found.confirmed.low) == (False, False, 2, None)


def test_too_little_is_none_and_unequal_checkpoints_are_an_error() -> None:
    point = (1.0, 0.5, 0.5)
    assert exploitation([]) is None
    assert exploitation([[point, point]]) is None
    assert exploitation([[point], [point]]) is None
    with pytest.raises(InvalidValue, match=r"\[2, 1\]"):
        exploitation([[point, point], [point]])


def test_a_search_that_overfits_its_evaluator_is_found() -> None:
    """Confirmed accuracy rises to cost 40, then loses three points, at noise of one point; the short score climbs."""
    rng = np.random.Generator(np.random.PCG64(11))
    found = [
        judge(rng, 0.55 - 0.01 * np.where(STEPS > 3, 0.75 * (STEPS - 3), 3 - STEPS), 0.4 + 0.02 * STEPS)
        for _ in range(100)
    ]
    assert sum(one.exploits for one in found) >= 90
    assert sum(one.falls for one in found) >= 90
    assert np.median([one.cost for one in found]) == 40


@pytest.mark.parametrize(
    ("confirmed", "short"),
    [
        (0.50 + 0 * STEPS, 0.40 + 0 * STEPS),  # nothing happens
        (0.50 + 0.01 * STEPS, 0.40 + 0.02 * STEPS),  # what the evaluator promises arrives, half of it
        (0.55 - 0.05 * np.exp(-STEPS / 2), 0.50 - 0.10 * np.exp(-STEPS / 2)),  # both level out
    ],
)
def test_a_search_that_does_not_is_not_accused(confirmed: object, short: object) -> None:
    rng = np.random.Generator(np.random.PCG64(12))
    found = [judge(rng, confirmed, short) for _ in range(200)]
    assert sum(one.exploits for one in found) <= 10
    assert sum(one.falls for one in found) <= 10


def test_a_plateau_is_not_called_a_fall_though_its_best_checkpoint_is_picked() -> None:
    rng = np.random.Generator(np.random.PCG64(13))
    found = [judge(rng, 0.50 + 0 * STEPS, 0.40 + 0.02 * STEPS) for _ in range(200)]
    assert sum(one.falls for one in found) <= 10
