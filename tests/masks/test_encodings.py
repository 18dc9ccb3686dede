from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import tiny
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks import MaskSpace, hamming, top_n
from ticketsearch.masks.encodings import (
    NAMES,
    CriterionMixtureEncoding,
    Encoding,
    LayerDensityEncoding,
    SeededEncoding,
    SwapEncoding,
    UnitCubeEncoding,
    make_encoding,
)

SPACE = MaskSpace.from_shapes({"a": (10, 12), "b": (5, 10), "c": (3, 5)})


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


SCORES = rng(9).normal(size=SPACE.size)


def make(name: str, n: int = 40) -> Encoding:
    made: dict[str, Any] = {
        "swap": lambda: SwapEncoding(SPACE, n),
        "layer-density": lambda: LayerDensityEncoding(SPACE, n, SCORES),
        "criterion-mixture": lambda: CriterionMixtureEncoding(SPACE, n, rng(3).random((4, SPACE.size))),
        "seeded": lambda: SeededEncoding(SPACE, n, SCORES, 0.1, rng(4)),
    }
    encoding: Encoding = made[name]()
    return encoding


every_encoding = pytest.mark.parametrize("name", NAMES)


@every_encoding
@given(n=st.integers(3, 185), seed=st.integers(0, 2**32), strength=st.floats(1e-3, 1.0))
def test_every_genome_decodes_to_exactly_n(name: str, n: int, seed: int, strength: float) -> None:
    encoding, draw = make(name, n), rng(seed)
    a, b = encoding.sample(draw), encoding.sample(draw)
    for genome in (a, encoding.crossover(a, b, draw), encoding.mutate(a, strength, draw)):
        mask = encoding.decode(genome)
        assert mask.shape == (SPACE.size,)
        assert mask.dtype == np.bool_
        assert np.count_nonzero(mask) == n


@every_encoding
def test_operators_change_no_argument_and_depend_on_the_stream_alone(name: str) -> None:
    encoding = make(name)
    a, b = encoding.sample(rng(1)), encoding.sample(rng(2))
    before = a.copy(), b.copy()
    children = [(encoding.crossover(a, b, rng(3)), encoding.mutate(a, 0.1, rng(3))) for _ in range(2)]
    assert np.array_equal(a, before[0])
    assert np.array_equal(b, before[1])
    assert all(np.array_equal(x, y) for x, y in zip(*children, strict=True))


@every_encoding
def test_a_child_of_twins_is_their_twin(name: str) -> None:
    encoding = make(name)
    a = encoding.sample(rng(1))
    assert np.array_equal(encoding.decode(encoding.crossover(a, a, rng(2))), encoding.decode(a))


@every_encoding
def test_a_stronger_mutation_goes_farther(name: str) -> None:
    encoding = make(name)
    distances = []
    for strength in (0.02, 0.5):
        pairs = [(encoding.sample(rng(seed)), seed) for seed in range(40)]
        moved = [hamming(encoding.decode(g), encoding.decode(encoding.mutate(g, strength, rng(s)))) for g, s in pairs]
        distances.append(np.mean(moved))
    assert distances[0] < distances[1]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "swap"])
@given(seed=st.integers(0, 2**32), strength=st.floats(1e-3, 1.0))
def test_points_stay_in_the_unit_cube(name: str, seed: int, strength: float) -> None:
    encoding, draw = make(name), rng(seed)
    assert encoding.dimensions is not None
    point = encoding.sample(draw)
    for genome in (point, encoding.mutate(point, strength, draw), encoding.mutate(np.ones_like(point), strength, draw)):
        assert genome.shape == (encoding.dimensions,)
        assert ((genome >= 0) & (genome <= 1)).all()


def test_a_swap_mutation_swaps_the_fraction_asked_and_at_least_one() -> None:
    encoding = make("swap")
    genome = encoding.sample(rng())
    for strength, swaps in ((0.1, 4), (0.5, 20), (0.001, 1)):
        moved = encoding.decode(encoding.mutate(genome, strength, rng(1)))
        assert np.count_nonzero(moved != encoding.decode(genome)) == 2 * swaps


def test_a_child_takes_each_coordinate_from_a_parent() -> None:
    encoding = make("seeded")
    a, b = encoding.sample(rng(1)), encoding.sample(rng(2))
    child = encoding.crossover(a, b, rng(3))
    assert ((child == a) | (child == b)).all()
    assert (child == a).any()
    assert (child == b).any()


def test_layer_densities_are_proportional_over_two_decades() -> None:
    encoding = make("layer-density", 30)
    counts = SPACE.counts(encoding.decode(np.array([0.25, 0.5, 0.75])))
    expected = np.array([10**0.5, 10, 10**1.5]) * SPACE.sizes
    expected *= 30 / expected.sum()
    assert (expected < SPACE.sizes).all()
    assert np.abs(counts - expected).max() <= 1
    for layer in SPACE.layers:  # within a layer the highest scores
        mask = encoding.decode(np.full(3, 0.5))[layer.span]
        assert SCORES[layer.span][mask].min() > SCORES[layer.span][~mask].max()


def test_no_layer_is_emptied_by_layer_densities() -> None:
    encoding = make("layer-density", 3)
    for genome in (np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.zeros(3)):
        assert SPACE.counts(encoding.decode(genome)).min() >= 1


def test_a_mixture_of_one_criterion_is_that_criterion_or_its_inverse() -> None:
    ranks = np.stack([np.argsort(np.argsort(s)) / (SPACE.size - 1) for s in (SCORES, rng(1).random(SPACE.size))])
    encoding = CriterionMixtureEncoding(SPACE, 40, ranks)
    assert np.array_equal(encoding.decode(np.array([1.0, 0.5])), top_n(SCORES, 40))
    assert np.array_equal(encoding.decode(np.array([0.0, 0.5])), top_n(-SCORES, 40))


def test_the_centre_of_the_seeded_cube_is_the_seed() -> None:
    encoding = make("seeded")
    assert np.array_equal(encoding.decode(np.full(16, 0.5)), top_n(SCORES, 40))
    corner = encoding.decode(np.ones(16))
    assert hamming(corner, top_n(SCORES, 40)) > 0


@every_encoding
def test_encodings_are_built_on_a_problem(name: str) -> None:
    problem = tiny.make_problem(40)
    encoding = make_encoding(name, problem, criterion="large_final")
    assert encoding.name == name
    assert isinstance(encoding, UnitCubeEncoding) == (name != "swap")
    assert encoding.decode(encoding.sample(rng())).sum() == problem.n_kept
    assert (problem.spent.thirds == 0) == (name == "swap")
    assert problem.remaining >= 20  # half the budget is left to search with


def test_an_untrained_criterion_costs_nothing() -> None:
    problem = tiny.make_problem()
    make_encoding("layer-density", problem, criterion="large_init")
    make_encoding("seeded", problem, criterion="random")
    assert problem.spent.thirds == 0


def test_encodings_refuse_what_they_do_not_know() -> None:
    problem = tiny.make_problem()
    with pytest.raises(UnknownName, match="unknown encoding 'swop'; did you mean 'swap'"):
        make_encoding("swop", problem)
    with pytest.raises(UnknownName, match="unknown criterion 'mvement'; did you mean 'movement'"):
        make_encoding("swap", problem, criterion="mvement")
    with pytest.raises(InvalidValue, match="at least one criterion"):
        make_encoding("criterion-mixture", problem, criteria=())


@every_encoding
def test_fewer_weights_than_layers_are_refused(name: str) -> None:
    problem = tiny.make_problem()
    tiny.watch(problem, "_n_kept", 2)
    with pytest.raises(InvalidValue, match=f"encoding '{name}': 2 kept weights leave some of 3 layers empty"):
        make_encoding(name, problem)
