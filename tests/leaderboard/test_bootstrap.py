from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.helpers.commands import python
from ticketsearch.leaderboard import bootstrap


def test_draws_are_the_same_in_every_process_and_differ_by_name() -> None:
    code = "from ticketsearch.leaderboard import bootstrap; print(bootstrap.resamples(7)[:2].tolist())"
    assert python("-c", code).stdout.strip() == str(bootstrap.resamples(7)[:2].tolist())
    assert (bootstrap.resamples(7, "a") != bootstrap.resamples(7, "b")).any()
    with pytest.raises(ValueError, match="read-only"):
        bootstrap.resamples(7)[0, 0] = 1


def test_counts_count_the_same_resamples() -> None:
    expected = [np.bincount(row, minlength=7) for row in bootstrap.resamples(7)[:50]]
    np.testing.assert_array_equal(bootstrap.counts(7)[:50], expected)


def test_few_seeds_widen_the_interval_to_student_s() -> None:
    """For a mean of normal values the expanded percentile interval is Student's, nearly; the plain one is not."""
    n = 8
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    samples = bootstrap.counts(n) @ values / n
    low, high = bootstrap.interval(samples, n)
    assert low is not None
    assert high is not None
    student = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    assert low == pytest.approx(-student, rel=0.06)
    assert high == pytest.approx(student, rel=0.06)
    assert np.quantile(samples, 0.975) < 0.85 * student


def test_nothing_varied_is_no_interval() -> None:
    assert bootstrap.interval(np.full(10, 0.5), 10) == (None, None)
    assert bootstrap.interval(np.array([0.5, 0.6]), 1) == (None, None)
