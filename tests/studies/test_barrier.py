"""Barriers of lines worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ticketsearch import Weights
from ticketsearch.errors import InvalidValue
from ticketsearch.studies.barrier import above_ends, barrier, interpolated


@pytest.mark.parametrize(
    ("errors", "height", "above"),
    [
        ([0.1, 0.5, 0.3], 0.3, 0.3),  # in the middle, the mean and the line are one
        ([0.1, 0.2, 0.5], 0.2, 0.0),  # a worse end is a barrier by definition, and nothing above the line
        ([0.4, 0.1, 0.4], 0.0, 0.0),  # a valley is none
        ([0.0, 0.6, 0.1, 0.3], 0.45, 0.5),  # the line is at 0.1 where the error is 0.6
        ([0.25, 0.25], 0.0, 0.0),
    ],
)
def test_cases_worked_by_hand(errors: list[float], height: float, above: float) -> None:
    assert barrier(errors) == pytest.approx(height)
    assert above_ends(errors) == pytest.approx(above)


def test_points_lie_at_equal_distances_and_the_ends_are_the_networks() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        Weights(rng.standard_normal(7).astype(np.float32), rng.standard_normal(3).astype(np.float32)) for _ in range(2)
    )
    line = interpolated(first, second, 5)
    assert np.array_equal(line.vector[0], first.vector)
    assert np.array_equal(line.rest[-1], second.rest)
    np.testing.assert_allclose(line.vector[1], 0.75 * first.vector + 0.25 * second.vector, rtol=1e-6)
    np.testing.assert_allclose(line.rest[2], (first.rest + second.rest) / 2, rtol=1e-6)
    with pytest.raises(InvalidValue, match="points 1 is less than 2"):
        interpolated(first, second, 1)
