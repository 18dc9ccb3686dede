from __future__ import annotations

import numpy as np
import pytest

from ticketsearch.leaderboard.overlap import overlaps
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.overlap import normalised

SPACE = MaskSpace.from_shapes({"a": (4,), "b": (2, 2)})


def mask(bits: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([bit == "1" for bit in bits])


def test_hand_worked_cases() -> None:
    masks = np.stack([mask("11001000"), mask("10101000"), mask("00110111")])
    table = normalised(masks, SPACE)
    # 0 and 1: share 1 + 1; chance 2 * 2 / 4 + 1 * 1 / 4 = 1.25; most 2 + 1
    assert table[0, 1] == pytest.approx((2 - 1.25) / (3 - 1.25))
    # 0 and 2: share nothing; chance 1 + 3 / 4; most 2 + 1
    assert table[0, 2] == pytest.approx((0 - 1.75) / (3 - 1.75))
    assert np.diag(table) == pytest.approx([1, 1, 1])
    assert table == pytest.approx(table.T)


def test_random_masks_of_the_same_counts_overlap_by_nothing_on_average() -> None:
    space = MaskSpace.from_shapes({"dense": (20,), "sparse": (500,)})
    rng = np.random.Generator(np.random.PCG64(0))

    def drawn() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.concatenate([rng.permutation(np.arange(20) < 18), rng.permutation(np.arange(500) < 25)])

    found = overlaps({"x": {s: drawn() for s in range(300)}, "y": {s: drawn() for s in range(300)}}, space)["x", "y"]
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.04


def test_only_common_seeds_count_and_full_masks_say_nothing() -> None:
    one, other, full = mask("11001000"), mask("11001000"), mask("11111111")
    found = overlaps({"x": {0: one, 1: one}, "y": {1: other}, "z": {2: one}, "full": {0: full, 1: full}}, SPACE)
    assert {pair: (value.n, value.value) for pair, value in found.items()} == {("x", "y"): (1, 1.0)}
