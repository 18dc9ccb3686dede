from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import (
    MaskSpace,
    apportion,
    digest,
    fill_densities,
    hamming,
    pack,
    random_like,
    swap,
    top_n,
    top_per_layer,
    unpack,
)

SPACE = MaskSpace.from_shapes({"a": (6, 8), "b": (5, 6), "c": (3, 5)})
bits = hnp.arrays(np.bool_, st.integers(1, 70))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_layers_lie_one_after_another() -> None:
    assert [layer.offset for layer in SPACE.layers] == [0, 48, 78]
    assert SPACE.size == 93
    vector = np.arange(93.0)
    parts = {layer.name: part for layer, part in SPACE.split(vector)}
    assert parts["b"].shape == (5, 6)
    assert np.array_equal(np.concatenate([part.ravel() for part in parts.values()]), vector)


def test_counts_of_a_population_are_counts_of_its_masks() -> None:
    masks = SPACE.random(SPACE.n_kept(0.5), rng(), 3)
    expected = [[mask[:48].sum(), mask[48:78].sum(), mask[78:].sum()] for mask in masks]
    assert SPACE.counts(masks).tolist() == expected


@pytest.mark.parametrize(("sparsity", "kept"), [(0.0, 93), (0.5, 93 - 46), (0.9, 93 - 84)])
def test_sparsity_is_the_fraction_pruned(sparsity: float, kept: int) -> None:
    assert SPACE.n_kept(sparsity) == kept


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_sparsity_outside_zero_to_one_is_refused(sparsity: float) -> None:
    with pytest.raises(InvalidValue, match=r"outside \[0, 1\)"):
        SPACE.n_kept(sparsity)


def test_sparsity_that_empties_a_layer_names_it_and_the_limit_it_names_works() -> None:
    with pytest.raises(InvalidValue, match="'c' \\(15 weights\\) empty") as error:
        SPACE.n_kept(0.97)
    limit = float(str(error.value).split("at most ")[1].split()[0])
    assert SPACE.n_kept(limit) == 93 - round(limit * 93)


@given(
    hnp.arrays(np.float32, 40, elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, float("inf"), float("-inf")])),
    st.integers(0, 40),
)
def test_top_n_is_a_stable_sort_from_the_top(scores: ScoreArray, n: int) -> None:
    best = np.argsort(-scores, kind="stable")[:n]
    assert np.flatnonzero(top_n(scores, n)).tolist() == sorted(best.tolist())


def test_ties_go_to_the_lower_index() -> None:
    assert top_n(np.array([1.0, 2.0, 1.0, 1.0]), 3).tolist() == [True, True, True, False]


def test_nan_is_the_lowest_score() -> None:
    assert top_n(np.array([np.nan, -np.inf, -5.0, np.nan]), 1).tolist() == [False, False, True, False]
    assert top_n(np.array([np.nan, 3.0, np.nan]), 2).tolist() == [True, True, False]


@pytest.mark.parametrize("n", [-1, 4])
def test_top_n_refuses_more_than_there_are(n: int) -> None:
    with pytest.raises(InvalidValue, match=f"cannot keep {n} of 3"):
        top_n(np.zeros(3), n)


def test_top_n_does_not_change_its_argument() -> None:
    scores = np.array([np.nan, 1.0, 2.0])
    top_n(scores, 1)
    assert np.isnan(scores[0])


def test_top_per_layer_keeps_the_counts() -> None:
    mask = top_per_layer(rng().normal(size=93), [7, 0, 15], SPACE)
    assert SPACE.counts(mask).tolist() == [7, 0, 15]


@given(bits)
def test_packing_can_be_undone(mask: BoolArray) -> None:
    packed = pack(mask)
    assert packed.size == -(-mask.size // 8)
    assert np.array_equal(unpack(packed, mask.size), mask)


@given(bits, st.data())
def test_digest_tells_masks_apart(mask: BoolArray, data: st.DataObject) -> None:
    other = mask.copy()
    other[data.draw(st.integers(0, mask.size - 1))] ^= True
    assert digest(mask) == digest(mask.copy())
    assert digest(mask) != digest(other)
    assert len(digest(mask)) == 16


def test_digest_knows_the_size() -> None:
    assert digest(np.zeros(3, dtype=bool)) != digest(np.zeros(4, dtype=bool))


@given(st.integers(0, 93), st.integers(0, 2**32))
def test_random_masks_keep_exactly_n(n: int, seed: int) -> None:
    assert SPACE.random(n, rng(seed)).sum() == n


def test_random_masks_are_uniform() -> None:
    share = np.mean([SPACE.random(9, rng(seed)) for seed in range(2000)], axis=0)
    assert np.abs(share - 9 / 93).max() < 5 * np.sqrt(9 / 93 * (1 - 9 / 93) / 2000)


@given(st.integers(1, 92), st.integers(1, 100), st.integers(0, 2**32))
def test_swap_keeps_the_count_and_changes_two_bits_a_swap(n: int, swaps: int, seed: int) -> None:
    mask = SPACE.random(n, rng(seed))
    before = mask.copy()
    child = swap(mask, swaps, rng(seed + 1))
    assert child.sum() == n
    assert np.count_nonzero(child != mask) == 2 * min(swaps, n, 93 - n)
    assert np.array_equal(mask, before)


def test_swap_reaches_every_kept_and_every_pruned_weight_alike() -> None:
    mask = SPACE.random(30, rng())
    changed = np.mean([swap(mask, 2, rng(seed)) != mask for seed in range(3000)], axis=0)
    assert np.abs(changed[mask] - 2 / 30).max() < 5 * np.sqrt(2 / 30 / 3000)
    assert np.abs(changed[~mask] - 2 / 63).max() < 5 * np.sqrt(2 / 63 / 3000)


def test_random_like_keeps_the_counts_of_every_layer_and_shuffles() -> None:
    mask = SPACE.random(40, rng())
    other = random_like(mask, SPACE, rng(1))
    assert SPACE.counts(other).tolist() == SPACE.counts(mask).tolist()
    assert not np.array_equal(other, mask)


sizes = st.lists(st.integers(1, 500), min_size=1, max_size=6).map(lambda n: np.array(n, dtype=np.int64))


@given(sizes, st.data())
def test_apportion_sums_to_the_total_within_the_limits(sizes: IntArray, data: st.DataObject) -> None:
    total = data.draw(st.integers(sizes.size, int(sizes.sum())))
    shares = np.array(data.draw(st.lists(st.floats(0, 600), min_size=sizes.size, max_size=sizes.size)))
    counts = apportion(shares, total, sizes)
    assert counts.sum() == total
    assert (counts >= 1).all()
    assert (counts <= sizes).all()


def test_apportion_rounds_by_largest_remainder() -> None:
    assert apportion(np.array([2.6, 3.3, 4.1]), 10, np.array([9, 9, 9])).tolist() == [3, 3, 4]


@pytest.mark.parametrize("total", [2, 31])
def test_apportion_refuses_the_impossible(total: int) -> None:
    with pytest.raises(InvalidValue, match=f"cannot keep {total} weights"):
        apportion(np.full(3, total / 3), total, np.array([10, 10, 10]))


@given(sizes, st.data())
def test_filled_densities_sum_to_the_total_and_none_exceeds_one(sizes: IntArray, data: st.DataObject) -> None:
    total = data.draw(st.integers(1, int(sizes.sum())))
    weights = np.array(data.draw(st.lists(st.floats(0.01, 100), min_size=sizes.size, max_size=sizes.size)))
    shares = fill_densities(weights, total, sizes)
    assert shares.sum() == pytest.approx(total)
    assert (shares <= sizes).all()
    free = shares < sizes * (1 - 1e-9)
    ratios = (shares / sizes / weights)[free]
    assert ratios == pytest.approx(ratios[:1].repeat(ratios.size))  # proportional wherever not full


def test_two_random_masks_are_at_normalised_distance_one() -> None:
    space = MaskSpace.from_shapes({"w": (20_000,)})
    for n in (400, 2_000, 10_000):
        a, b = (space.random(n, rng(seed)) for seed in (n, n + 1))
        rho = n / 20_000
        assert hamming(a, b) == pytest.approx(2 * rho * (1 - rho), rel=0.1)
        assert hamming(a, b, normalised=True) == pytest.approx(1, rel=0.1)


def test_equal_masks_are_at_distance_zero_even_when_nothing_is_pruned() -> None:
    for mask in (np.ones(9, dtype=bool), SPACE.random(9, rng())):
        assert hamming(mask, mask) == 0
        assert hamming(mask, mask, normalised=True) == 0


def test_flops_count_two_for_each_use_of_a_kept_weight() -> None:
    space = MaskSpace.from_shapes({"conv": (4, 2, 3), "fc": (3, 16)}, {"conv": 4})
    assert space.flops_per_example() == 2 * (4 * 24 + 48)
    mask = np.zeros(72, dtype=bool)
    mask[[0, 5, 30]] = True
    assert space.flops_per_example(mask) == 2 * (4 * 2 + 1)
