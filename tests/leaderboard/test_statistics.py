from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.statistics import (
    Paired,
    holm,
    interquartile_mean,
    paired,
    rank_intervals,
    signed_rank,
    t_interval,
)

A = [0.62, 0.58, 0.61, 0.55, 0.64, 0.60]
B = [0.60, 0.59, 0.57, 0.55, 0.58, 0.55]


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def inside(low: float | None, value: float, high: float | None) -> bool:
    assert low is not None
    assert high is not None
    return low <= value <= high


def test_the_difference_has_student_s_interval() -> None:
    found = paired(A, B)
    differences = np.subtract(A, B)
    low, high = stats.t.interval(0.95, 5, loc=differences.mean(), scale=stats.sem(differences))
    assert (found.n, found.difference) == pytest.approx((6, 0.16 / 6))
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("n", [2, 6, 10, 40])
def test_the_signed_rank_p_is_scipy_s_exact_one_without_ties(n: int) -> None:
    differences = rng(n).normal(0.2, 1, n)
    assert signed_rank(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_the_signed_rank_p_is_exact_with_ties_and_zeros() -> None:
    differences = np.array([0.01, -0.01, 0.02, 0.02, 0.0, -0.02, 0.03, 0.03])
    kept = differences[differences != 0]
    ranks = stats.rankdata(abs(kept))
    sums = np.array([ranks[np.array(signs)].sum() for signs in itertools.product([False, True], repeat=7)])
    observed = ranks[kept > 0].sum()
    assert signed_rank(differences) == pytest.approx(2 * min((sums <= observed).mean(), (sums >= observed).mean()))


def test_differences_equal_but_for_rounding_are_ties() -> None:
    assert 0.62 - 0.60 != 0.58 - 0.56
    first, last = paired([0.62, 0.56, 0.7], [0.60, 0.58, 0.6]), paired([0.58, 0.60, 0.7], [0.56, 0.62, 0.6])
    assert (first.p, last.p) == (0.75, 0.75)  # ranks 1.5, -1.5, 3: three of eight sign choices sum as high


def test_the_smallest_p_of_five_and_ten_seeds() -> None:
    assert paired([0.6] * 5, [0.5] * 5).p == pytest.approx(0.0625)
    assert paired([0.6] * 10, [0.5] * 10).p == pytest.approx(2 / 1024)


def test_identical_runs_are_equivalent_and_not_different() -> None:
    found = paired(A, A)
    assert (found.difference, found.low, found.high, found.p, found.improvement) == (0, 0, 0, 1, 0.5)
    assert found.equivalent


def test_a_single_seed_and_none() -> None:
    assert paired([0.625], [0.5]) == Paired(1, 0.125, None, None, 1.0, 1.0, None, None, None, 0.003)
    assert paired([], []) == Paired(0, None, None, None, None, None, None, None, None, 0.003)


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidValue, match="2 and 1"):
        paired([0.6, 0.5], [0.5])
    with pytest.raises(InvalidValue, match="finite"):
        paired([float("nan")], [0.5])
    with pytest.raises(InvalidValue, match="margin"):
        paired(A, B, margin=0)
    with pytest.raises(InvalidValue, match="p-values"):
        holm([0.5, 1.5])


def test_equivalence_is_two_one_sided_tests_at_5_percent() -> None:
    for seed in range(40):
        b = rng(seed).normal(0.6, 0.01, 10)
        a = b + rng(100 + seed).normal(0.001, 0.003, 10)
        above = stats.ttest_1samp(a - b, -0.003, alternative="greater").pvalue
        below = stats.ttest_1samp(a - b, 0.003, alternative="less").pvalue
        assert paired(a.tolist(), b.tolist()).equivalent == (max(above, below) < 0.05)


def test_the_probability_of_improvement_counts_all_pairs_and_halves_ties() -> None:
    found = paired(A, B)
    assert found.improvement == pytest.approx(np.mean([(x > y) + 0.5 * (x == y) for x in A for y in B]))
    assert inside(found.improvement_low, found.improvement or 0, found.improvement_high)


def test_complete_separation_keeps_an_open_end() -> None:
    """Ten wins in ten: Clopper and Pearson's lower limit of the chance is 0.025 ** (1 / 10)."""
    limit = stats.binomtest(10, 10).proportion_ci(method="exact").low
    up, down = paired([0.6] * 10, [0.5] * 10), paired([0.5] * 10, [0.6] * 10)
    assert (up.improvement, up.improvement_low, up.improvement_high) == pytest.approx((1, limit, 1))
    assert (down.improvement, down.improvement_low, down.improvement_high) == pytest.approx((0, 0, 1 - limit))


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.4 times 4, 3, 2, 1, never falling."""
    assert holm([0.03, 0.01, 0.4, 0.02]) == pytest.approx([0.06, 0.04, 0.4, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interquartile_mean_is_scipy_s_trimmed_mean_and_ignores_a_broken_run() -> None:
    strata = rng(0).normal(0.6, 0.02, (3, 10))
    found = interquartile_mean(strata.tolist())
    assert found is not None
    assert found.value == pytest.approx(stats.trim_mean(strata, 0.25, axis=None))
    strata[0, strata[0].argmin()] = 0.0
    broken = interquartile_mean(strata.tolist())
    assert broken is not None
    assert broken.value == pytest.approx(found.value)
    assert interquartile_mean([]) is None


def test_strata_are_resampled_apart() -> None:
    """Seeds of one stratum never stand in for another's: far-apart strata do not widen the interval."""
    near = rng(1).normal(0.5, 0.001, (2, 10))
    near[1] += 0.4
    found = interquartile_mean(near.tolist())
    assert found is not None
    assert found.high is not None
    assert found.low is not None
    assert found.high - found.low < 0.01
    alone = interquartile_mean([[0.5, 0.6], [0.7]])
    assert alone is not None
    assert (alone.n, alone.low, alone.high) == (3, None, None)


def test_the_order_of_seeds_in_a_stratum_does_not_matter() -> None:
    """Seeds of two strata are not paired: were both resampled alike, opposite orders would cancel."""
    values = rng(2).normal(0.6, 0.02, 20).tolist()
    alike, opposite = (interquartile_mean([values, other]) for other in (values, sorted(values)[::-1]))
    ordered = interquartile_mean([sorted(values), sorted(values)[::-1]])
    widths = [one.high - one.low for one in (alike, opposite, ordered) if one and one.high and one.low]
    assert len(widths) == 3
    assert widths == pytest.approx([widths[0]] * 3, rel=0.06)


def test_ranks_by_hand() -> None:
    """Seed 1: a > b = c; seed 2: a = b = c, but for rounding; seed 3: c > b > a."""
    ranks = rank_intervals([[0.53, 0.1 + 0.2, 0.48], [0.52, 0.3, 0.49], [0.52, 0.3, 0.51]])
    assert [r.value for r in ranks] == pytest.approx([(1 + 2 + 3) / 3, (2.5 + 2 + 2) / 3, (2.5 + 2 + 1) / 3])
    assert all(inside(r.low, r.value, r.high) for r in ranks)
    assert rank_intervals([]) == []
    assert [r.low for r in rank_intervals([[0.6, 0.7], [0.5, 0.5]])] == [None, None]  # all seeds agree
    assert [r.low for r in rank_intervals([[0.6], [0.5]])] == [None, None]
    with pytest.raises(InvalidValue, match="same seeds"):
        rank_intervals([[0.6], [0.5, 0.4]])


def test_intervals_cover_as_often_as_they_say() -> None:
    """300 studies of ten seeds. Binomial noise of the count at 95 %: standard deviation 3.8."""
    draw, missed = rng(7), {"t": 0, "improvement": 0, "middle": 0, "rank": 0}
    chance = stats.norm.cdf(0.5 / np.sqrt(2))
    for _ in range(300):
        a, b = draw.normal(0.5, 1, 10), draw.normal(0, 1, 10)
        found = paired(a.tolist(), b.tolist())
        middle = interquartile_mean([draw.normal(0, 1, 10).tolist()])
        rank = rank_intervals(draw.normal(0, 1, (4, 10)).tolist())[0]
        assert middle is not None
        missed["t"] += not inside(found.low, 0.5, found.high)
        missed["improvement"] += not inside(found.improvement_low, chance, found.improvement_high)
        missed["middle"] += not inside(middle.low, 0, middle.high)
        missed["rank"] += not inside(rank.low, 2.5, rank.high)
    assert all(1 <= count <= 27 for count in missed.values()), missed


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert t_interval(np.full(5, 0.25)) == (0.25, 0.25)
