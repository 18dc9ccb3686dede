from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import tiny
from ticketsearch import MaskProblem
from ticketsearch.errors import InvalidValue, PluginError, UnknownName
from ticketsearch.masks import MaskSpace, hamming, top_n
from ticketsearch.masks.criteria import trained_scores
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.encodings import Encoding, ScoreEncoding, Start, VectorEncoding
from ticketsearch.masks.encodings.base import threshold
from ticketsearch.masks.encodings.mixture import CriterionMixtureEncoding
from ticketsearch.masks.encodings.neurons import separate_neurons, shared_neurons
from ticketsearch.masks.ticket import Weights
from ticketsearch.records.ledger import Ledger
from ticketsearch.strategies.encoding import encoding_settings, make_encoding, make_start
from ticketsearch.testing import check_encoding
from ticketsearch.testing.closed_form import ClosedForm, closed_form_problem

NAMES = ("swap", "neurons", "degrees", "low-rank", "layer-density", "criterion-mixture", "seeded")
VECTORS = NAMES[1:]
MORE = ("neurons(alpha=gene)", "degrees(alpha=0)", "low-rank(rank=3)", "seeded(directions=3)")
STARTS = ("uniform", "erk", "smart-ratio", "counts(large_init)", "mask(snip)", "counts(synflow)", "mask(synflow)")

every_encoding = pytest.mark.parametrize("name", NAMES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def make(name: str, sparsity: float = 0.8, start: str | None = None) -> tuple[MaskProblem, Encoding]:
    problem, _ = closed_form_problem(100, sparsity=sparsity)
    return problem, make_encoding(name, problem, start)


@pytest.mark.parametrize("name", [*NAMES, *MORE])
def test_each_encoding_keeps_the_contract(name: str) -> None:
    check_encoding(name).require()


@every_encoding
@settings(max_examples=10)
@given(sparsity=st.floats(0.05, 0.95), seed=st.integers(0, 2**32), strength=st.floats(1e-3, 3.0))
def test_every_genome_decodes_to_exactly_n(name: str, sparsity: float, seed: int, strength: float) -> None:
    problem, encoding = make(name, sparsity)
    draw = rng(seed)
    a, b = encoding.sample(draw), encoding.sample(draw)
    for genome in (a, encoding.crossover(a, b, draw), encoding.mutate(a, strength, draw)):
        mask = encoding.decode(genome)
        assert mask.shape == (problem.space.size,)
        assert np.count_nonzero(mask) == problem.n_kept


@every_encoding
def test_a_child_of_twins_is_their_twin(name: str) -> None:
    _, encoding = make(name)
    a = encoding.sample(rng(1))
    assert np.array_equal(encoding.decode(encoding.crossover(a, a, rng(2))), encoding.decode(a))


def test_a_swap_mutation_swaps_the_fraction_asked_and_at_least_one() -> None:
    problem, encoding = make("swap")
    genome, n = encoding.sample(rng()), problem.n_kept
    for strength, swaps in ((0.1, round(0.1 * n)), (0.5, round(0.5 * n)), (1e-6, 1)):
        moved = encoding.decode(encoding.mutate(genome, strength, rng(1)))
        assert np.count_nonzero(moved != encoding.decode(genome)) == 2 * swaps


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_standard_normal_and_a_child_takes_each_number_from_a_parent(name: str) -> None:
    _, encoding = make(name)
    assert isinstance(encoding, VectorEncoding)
    drawn = np.concatenate([encoding.sample(rng(seed)) for seed in range(2000 // encoding.dimensions + 1)])
    assert abs(drawn.mean()) < 4 / drawn.size**0.5
    assert abs(drawn.std() - 1) < 4 / (2 * drawn.size) ** 0.5
    a, b = encoding.sample(rng(1)), encoding.sample(rng(2))
    child = encoding.crossover(a, b, rng(3))
    assert child.shape == (encoding.dimensions,)
    assert ((child == a) | (child == b)).all()
    step = np.concatenate([encoding.mutate(a, 0.25, rng(seed)) - a for seed in range(2000 // a.size + 1)])
    assert abs(step.std() - 0.25) < 1 / (2 * step.size) ** 0.5


def by_hand(problem: MaskProblem, genome: Any, name: str, alpha: float) -> Any:
    """The score of every weight, one after another, from the formula: r_i + c_j + b + alpha log(|w|/sd)."""
    shapes = [layer.shape for layer in problem.space.layers]
    weights = problem.initial_weights().vector.astype(np.float64)
    numbers = list(genome)
    neurons = sum(o + i for o, i in shapes) if name == "degrees" else shapes[0][1] + sum(o for o, _ in shapes)
    offsets = numbers[neurons:]
    scores, first, position = [], 0, 0
    below = numbers[: shapes[0][1]]
    for layer, (outputs, inputs) in enumerate(shapes):
        if name == "degrees":
            out, into = numbers[first : first + outputs], numbers[first + outputs : first + outputs + inputs]
            first += outputs + inputs
        else:
            first = shapes[0][1] + sum(o for o, _ in shapes[:layer])
            out, into = numbers[first : first + outputs], below
            below = out
        spread = weights[position : position + outputs * inputs].std()
        for i in range(outputs):
            for j in range(inputs):
                size = np.log(abs(weights[position]) / spread)
                scores.append(out[i] + into[j] + offsets[layer] + alpha * size)
                position += 1
    return np.array(scores)


@pytest.mark.parametrize("name", ["neurons", "degrees"])
@pytest.mark.parametrize("alpha", [0.7, 0.0, 1.5])
def test_scores_of_neurons_are_those_of_the_formula(name: str, alpha: float) -> None:
    problem = tiny.make_problem()
    encoding = make_encoding(f"{name}(alpha={alpha})", problem)
    assert isinstance(encoding, ScoreEncoding)
    genome = encoding.sample(rng(5))
    expected = by_hand(problem, genome, name, alpha)
    assert np.abs(encoding.scores(genome) - expected).max() < 1e-5
    mask = encoding.decode(genome)
    assert expected[mask].min() >= expected[~mask].max() - 1e-5


def test_alpha_as_a_gene_is_one_more_number() -> None:
    problem = tiny.make_problem()
    fixed, gene = make_encoding("neurons(alpha=1.4)", problem), make_encoding("neurons(alpha=gene)", problem)
    assert isinstance(fixed, ScoreEncoding)
    assert isinstance(gene, ScoreEncoding)
    assert gene.dimensions == fixed.dimensions + 1
    genome = fixed.sample(rng())
    assert np.allclose(gene.scores(np.append(genome, 2.0)), fixed.scores(genome), atol=1e-5)  # 0.7 + 2 * 0.35


def test_the_neurons_of_a_perceptron_are_shared_and_counted() -> None:
    """40-500-500-10 has 1,050 neurons; fan-in and fan-out apart, 40-100-100-10 has 450."""
    wide = MaskSpace.from_shapes({"a": (500, 40), "b": (500, 500), "c": (10, 500)})
    ends = shared_neurons(wide)
    assert max(int(one.outputs.max()) for one in ends) + 1 == 1050
    assert np.array_equal(ends[0].outputs, ends[1].inputs)
    assert np.array_equal(ends[1].outputs, ends[2].inputs)
    narrow = separate_neurons(MaskSpace.from_shapes({"a": (100, 40), "b": (100, 100), "c": (10, 100)}))
    assert len({*np.concatenate([part for one in narrow for part in (one.outputs, one.inputs)]).tolist()}) == 450


def test_flattened_channels_are_one_neuron_and_other_widths_are_new_ones() -> None:
    space = MaskSpace.from_shapes({"conv": (8, 3, 3, 3), "fc": (10, 8 * 16), "odd": (4, 7)})
    conv, fc, odd = shared_neurons(space)
    assert np.array_equal(fc.inputs, np.repeat(conv.outputs, 16))  # channel after channel, as flattening lays them out
    assert not set(odd.inputs) & {*conv.outputs, *conv.inputs, *fc.outputs}


def test_positions_of_a_kernel_share_their_neurons() -> None:
    problem, _ = closed_form_problem(10, shapes={"conv": (4, 3, 3, 3), "out": (5, 4)})
    encoding = make_encoding("neurons(alpha=0)", problem)
    assert isinstance(encoding, ScoreEncoding)
    kernel = encoding.scores(encoding.sample(rng()))[: 4 * 3 * 9].reshape(12, 9)
    assert (kernel == kernel[:, :1]).all()
    assert np.unique(kernel[:, 0]).size == 12


def test_a_low_rank_genome_adds_a_product_to_the_weights() -> None:
    problem = tiny.make_problem()
    encoding = make_encoding("low-rank(rank=2, reach=0.5)", problem)
    assert isinstance(encoding, ScoreEncoding)
    genome = encoding.sample(rng(1))
    layers = problem.space.layers
    assert encoding.dimensions == len(layers) + 2 * sum(sum(layer.shape) for layer in layers)
    at, weights = len(layers), problem.initial_weights().vector.astype(np.float64)
    for index, layer in enumerate(layers):
        outputs, inputs = layer.shape
        u = genome[at : at + 2 * outputs].reshape(outputs, 2)
        v = genome[at + 2 * outputs : at + 2 * (outputs + inputs)].reshape(inputs, 2)
        at += 2 * (outputs + inputs)
        own = weights[layer.span].reshape(layer.shape)
        expected = np.abs(own / own.std() + 0.5 / 2**0.5 * u @ v.T) * np.exp(genome[index])
        assert np.allclose(encoding.scores(genome)[layer.span].reshape(layer.shape), expected, rtol=1e-4, atol=1e-5)


def test_layer_densities_are_proportional_over_decades() -> None:
    problem, encoding = make("layer-density(criterion=large_init)", 0.9)
    sizes = problem.space.sizes
    genome = np.linspace(-0.5, 0.5, len(sizes))
    counts = problem.space.counts(encoding.decode(genome))
    expected = 10.0 ** (0.6 * genome) * sizes
    expected *= problem.n_kept / expected.sum()
    assert (expected < sizes).all()
    assert np.abs(counts - expected).max() <= 1
    sizes_of_weights = np.abs(problem.initial_weights().vector)
    mask = encoding.decode(np.zeros(len(sizes)))
    for layer in problem.space.layers:  # within a layer the highest scores
        own, kept = sizes_of_weights[layer.span], mask[layer.span]
        assert own[kept].min() >= own[~kept].max()


def test_no_layer_is_emptied_by_layer_densities() -> None:
    problem, encoding = make("layer-density", 0.95)
    for genome in (np.eye(len(problem.space.layers))[0] * 100, np.full(len(problem.space.layers), -1e9)):
        assert problem.space.counts(encoding.decode(genome)).min() >= 1


def test_a_mixture_of_one_criterion_is_that_criterion_or_its_inverse() -> None:
    problem, _ = closed_form_problem(10, sparsity=0.8)
    scores = rng().random(problem.space.size)
    ranks = np.stack([np.argsort(np.argsort(s)) / (s.size - 1) for s in (scores, rng(1).random(scores.size))])
    encoding = CriterionMixtureEncoding(problem, ranks)
    assert np.array_equal(encoding.decode(np.array([1.0, 0.0])), top_n(scores, problem.n_kept))
    assert np.array_equal(encoding.decode(np.array([-1.0, 0.0])), top_n(-scores, problem.n_kept))


def test_the_genome_zero_of_a_seeded_encoding_is_the_seed() -> None:
    problem, encoding = make("seeded(criterion=large_init)")
    seed = top_n(np.abs(problem.initial_weights().vector), problem.n_kept)
    assert np.array_equal(encoding.decode(np.zeros(16)), seed)
    assert hamming(encoding.decode(np.ones(16)), seed) > 0


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", ["neurons", "degrees", "low-rank", "layer-density", "criterion-mixture"])
def test_a_search_begins_where_it_is_told(name: str, start: str) -> None:
    problem, encoding = make(name, 0.8, start)
    mask, wanted = encoding.decode(np.zeros(encoding.dimensions or 0)), make_start(start, problem)
    assert np.array_equal(problem.space.counts(mask), wanted.counts)
    assert wanted.counts.sum() == problem.n_kept
    if not start.endswith(")"):
        assert np.array_equal(wanted.counts, layer_counts(start, problem.space, problem.n_kept))
    if start == "mask(snip)":
        scores = np.abs(problem.gradients(None, problem.train_size) * problem.initial_weights().vector)
        assert np.array_equal(mask, problem.space.top(scores, problem.n_kept))
    away = encoding.decode(encoding.sample(rng(7)))  # it still goes anywhere
    assert hamming(away, mask) > 0.02


def test_bits_begin_at_random_with_the_counts_or_near_the_mask() -> None:
    problem, encoding = make("swap", 0.8, "erk")
    masks = [encoding.decode(encoding.sample(rng(seed))) for seed in range(5)]
    counts = layer_counts("erk", problem.space, problem.n_kept)
    assert all(np.array_equal(problem.space.counts(mask), counts) for mask in masks)
    assert hamming(masks[0], masks[1]) > 0.1
    problem, encoding = make("swap", 0.8, "mask(large_init)")
    centre = problem.space.top(np.abs(problem.initial_weights().vector), problem.n_kept)
    sample = encoding.decode(encoding.sample(rng()))
    assert np.count_nonzero(sample & centre) == problem.n_kept - problem.n_kept // 2


def test_a_threshold_lies_between_the_kept_and_the_others() -> None:
    scores = rng().normal(size=50)
    for count in (0, 1, 20, 49, 50):
        assert np.count_nonzero(scores > threshold(scores, count)) == count


@every_encoding
def test_encodings_are_built_on_a_problem_and_pay_for_what_they_need(name: str) -> None:
    problem = tiny.make_problem(40)
    text = {"layer-density": "layer-density(criterion=large_final)", "seeded": "seeded(criterion=movement)"}.get(
        name, name
    )
    encoding = make_encoding(text, problem)
    assert encoding.decode(encoding.sample(rng())).sum() == problem.n_kept
    assert (problem.spent.thirds > 0) == (name in ("layer-density", "seeded", "criterion-mixture"))
    assert problem.remaining >= 20  # half the budget is left to search with


def test_a_layer_that_begins_at_zero_is_written_down_as_well() -> None:
    session, _ = ClosedForm(10).session(Ledger())
    weights = session.initial.vector.copy()
    weights[session.units.weights.layers[1].span] = 0
    problem = MaskProblem(replace(session, initial=Weights(weights, session.initial.rest)))
    for name in ("neurons", "degrees", "low-rank"):
        encoding = make_encoding(name, problem)
        assert isinstance(encoding, ScoreEncoding)
        assert np.isfinite(encoding.scores(encoding.sample(rng()))).all()
        assert encoding.decode(encoding.sample(rng())).sum() == problem.n_kept


def test_encodings_refuse_what_they_do_not_know() -> None:
    for text, kind, words in (
        ("swop", UnknownName, "unknown encoding 'swop'; did you mean 'swap'"),
        ("neurons(alpa=1)", UnknownName, "unknown parameter of encoding 'neurons' 'alpa'; did you mean 'alpha'"),
        ("neurons(alpha=much)", InvalidValue, "encoding 'neurons': alpha = 'much'"),
        ("neurons(alpha=nan)", InvalidValue, "encoding 'neurons': alpha"),
        ("neurons(0.5)", InvalidValue, "'0.5' is not of the form KEY=VALUE"),
        ("neurons(alpha=1", InvalidValue, "not of the form NAME or NAME"),
        ("", InvalidValue, "not of the form NAME or NAME"),
        ("seeded(criterion=mvement)", UnknownName, "unknown criterion 'mvement'; did you mean 'movement'"),
        ("criterion-mixture(criteria=[])", InvalidValue, "at least one criterion"),
        ("low-rank(rank=0)", InvalidValue, "encoding 'low-rank': rank = 0"),
        ("tests.nowhere:Mine", UnknownName, "unknown module 'tests.nowhere'"),
        ("tests.helpers.tiny:make_task", PluginError, "is not a dataclass with a build"),
    ):
        with pytest.raises(kind, match=words.replace("(", r"\(").replace(")", r"\)")):
            encoding_settings(text)


def test_starts_refuse_what_they_do_not_know() -> None:
    problem = tiny.make_problem()
    for text in ("unifrm", "mask", "counts()", "uniform(snip)", "mask(snap)"):
        with pytest.raises(UnknownName, match="unknown"):
            make_start(text, problem)


def test_settings_are_read_as_toml_and_lists_keep_their_commas() -> None:
    mixture: Any = encoding_settings('criterion-mixture(criteria=["snip", "large_init"])')
    assert mixture.criteria == ("snip", "large_init")
    assert encoding_settings("low-rank( rank=2 , reach=0.5 )") == encoding_settings("low-rank(rank=2,reach=0.5)")


def test_an_encoding_without_another_start_says_so() -> None:
    class Fixed(VectorEncoding):
        dimensions = 1

        def decode(self, genome: Any) -> Any:
            return np.ones(3, dtype=bool)

    with pytest.raises(InvalidValue, match="Fixed has no other start than its own"):
        Fixed().begin_at(Start(np.array([1])))


@every_encoding
def test_fewer_weights_than_layers_are_refused(name: str) -> None:
    problem = tiny.make_problem()
    tiny.watch(problem, "_n_kept", 2)
    with pytest.raises(InvalidValue, match=f"encoding '{name}': 2 kept weights leave some of 3 layers empty"):
        make_encoding(name, problem)


def test_criteria_of_trained_weights_are_those_of_one_dense_training() -> None:
    problem = tiny.make_problem(40)
    encoding = make_encoding("seeded(criterion=large_final)", problem)
    assert problem.spent.trainings == 1
    trained = next(iter(problem.train(recipe=problem.recipe.lasting(problem.recipe.steps))))
    assert trained_scores("large_final", problem.units, problem.initial_weights(), trained.weights).shape == (
        problem.space.size,
    )
    assert encoding.decode(np.zeros(16)).sum() == problem.n_kept
