"""Layer-wise densities against the formulas of their papers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks import MaskSpace, random_per_layer
from ticketsearch.masks.densities import NAMES, layer_counts

LENET = MaskSpace.from_shapes({"a": (300, 784), "b": (100, 300), "c": (10, 100)})


def erk_by_search(space: MaskSpace, n_kept: int) -> np.ndarray:
    """Kept weights per layer, found by bisecting the scale instead of by solving again and again."""
    raw = np.array([sum(layer.shape) / np.prod(layer.shape) for layer in space.layers])
    low, high = 0.0, 1e9
    for _ in range(200):
        scale = (low + high) / 2
        total = (np.minimum(1, scale * raw) * space.sizes).sum()
        low, high = (scale, high) if total < n_kept else (low, scale)
    return np.minimum(1, low * raw) * space.sizes


@pytest.mark.parametrize("density", [0.01, 0.1, 0.3, 0.6, 0.95])
def test_erk_is_its_formula_with_no_layer_beyond_full(density: float) -> None:
    n = round(density * LENET.size)
    counts = layer_counts("erk", LENET, n)
    assert np.abs(counts - erk_by_search(LENET, n)).max() < 1
    assert (counts <= LENET.sizes).all()


def test_erk_fills_a_small_layer_and_shares_the_rest_anew() -> None:
    counts = layer_counts("erk", LENET, LENET.size // 5)
    assert counts[2] == 1000  # the output layer is full
    densities = counts[:2] / LENET.sizes[:2]
    expected = [(300 + 784) / (300 * 784), (100 + 300) / (100 * 300)]
    assert densities[0] / densities[1] == pytest.approx(expected[0] / expected[1], rel=1e-3)


def test_smart_ratio_falls_with_depth_as_its_formula_says() -> None:
    counts = layer_counts("smart-ratio", LENET, round(0.1 * LENET.size))
    densities = counts / LENET.sizes
    assert densities[2] == pytest.approx(0.3)
    assert densities[0] / densities[1] == pytest.approx((3**2 + 3) / (2**2 + 2), rel=1e-3)


def test_uniform_is_the_same_density_everywhere() -> None:
    assert layer_counts("uniform", LENET, LENET.size // 10).tolist() == [23520, 3000, 100]


@given(name=st.sampled_from(NAMES), n=st.integers(3, LENET.size))
def test_counts_sum_exactly_and_leave_no_layer_empty(name: str, n: int) -> None:
    counts = layer_counts(name, LENET, n)
    assert counts.sum() == n
    assert ((counts >= 1) & (counts <= LENET.sizes)).all()


def test_random_masks_keep_the_counts_asked_for() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    counts = layer_counts("erk", LENET, 5000)
    assert LENET.counts(random_per_layer(LENET, counts, rng)).tolist() == counts.tolist()


def test_unknown_densities_and_too_few_weights_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'erk'"):
        layer_counts("erks", LENET, 5000)
    with pytest.raises(InvalidValue, match=r"at least \[1, 1, 1\] in each"):
        layer_counts("uniform", LENET, 2)
