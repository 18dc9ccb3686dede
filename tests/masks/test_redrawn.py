"""What is kept of a mask is kept exactly, and the rest is drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketsearch.masks import MaskSpace
from ticketsearch.masks.redrawn import REDRAWN

SPACE = MaskSpace.from_shapes({"a": (20, 30), "conv": (6, 5, 3, 3), "out": (4, 20)})


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def sums(mask: Any, axis: int) -> list[list[int]]:
    return [mask[layer.span].reshape(layer.shape[0], -1).sum(axis).tolist() for layer in SPACE.layers]


KEEPS = {"layer counts kept": (), "fan-in kept": (1,), "fan-out kept": (0,), "both degrees kept": (0, 1)}


@pytest.mark.parametrize("name", list(REDRAWN))
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), density=st.floats(0.02, 0.9))
def test_what_is_kept_is_exact(name: str, seed: int, density: float) -> None:
    mask = rng(seed).random(SPACE.size) < density * rng(seed + 1).random(SPACE.size)  # uneven degrees
    drawn = REDRAWN[name](mask, SPACE, rng(seed + 2))
    assert SPACE.counts(drawn).tolist() == SPACE.counts(mask).tolist()
    for axis in KEEPS[name]:
        assert sums(drawn, axis) == sums(mask, axis)


@pytest.mark.parametrize("name", list(REDRAWN))
def test_the_rest_is_drawn_anew(name: str) -> None:
    mask = rng(1).random(SPACE.size) < 0.15
    one, other = (REDRAWN[name](mask, SPACE, rng(seed)) for seed in (2, 3))
    for pair in ((one, mask), (one, other)):
        assert np.count_nonzero(pair[0] & pair[1]) < 0.4 * np.count_nonzero(mask)


def test_switching_reaches_all_matrices_with_these_sums_about_equally_often() -> None:
    """Three edges in 3 x 3, each row and column one: the six permutation matrices."""
    space = MaskSpace.from_shapes({"a": (3, 3)})
    found: dict[bytes, int] = {}
    for seed in range(1200):
        drawn = REDRAWN["both degrees kept"](np.eye(3, dtype=bool).reshape(-1), space, rng(seed))
        found[drawn.tobytes()] = found.get(drawn.tobytes(), 0) + 1
    assert len(found) == 6
    assert min(found.values()) > 200 - 5 * 200**0.5
