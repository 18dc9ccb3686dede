"""Pruning at initialisation: SNIP, GraSP and SynFlow against networks written out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from tests.helpers.engines import SHAPES, written_out
from ticketsearch import MaskProblem, Ticket, Weights
from ticketsearch.arrays import FloatArray, IntArray
from ticketsearch.engine import Engine
from ticketsearch.masks import top_n
from ticketsearch.problem.drawing import one_of_each_in_turn
from ticketsearch.seeds import stream, torch_stream
from ticketsearch.strategies.grasp import Grasp
from ticketsearch.strategies.ntk_sap import NtkSap
from ticketsearch.strategies.snip import Snip
from ticketsearch.strategies.synflow import SynFlow
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import mlp

INDICES = np.arange(40, dtype=np.int64)


@pytest.fixture(params=list(tiny.ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return tiny.ENGINES[request.param](tiny.make_task())


def weights_of(engine: Engine) -> Weights:
    return read_weights(tiny.make_task().build(3), engine.layout)


def loss_of(weights: Weights, temperature: float = 1.0) -> Callable[[Tensor], Tensor]:
    inputs, labels = (part[:40] for part in tiny.make_task().train)
    rest = torch.from_numpy(weights.rest).double()
    return lambda vector: F.cross_entropy(written_out(vector, rest, inputs.double()) / temperature, labels)


def assert_close(found: np.ndarray, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    np.testing.assert_allclose(found / scale, expected.numpy() / scale, rtol=0, atol=1e-5)


def test_the_gradient_is_that_of_the_written_out_network(engine: Engine) -> None:
    weights = weights_of(engine)
    vector = torch.from_numpy(weights.vector).double().requires_grad_()
    [expected] = torch.autograd.grad(loss_of(weights)(vector), vector)
    assert_close(engine.gradients(weights, INDICES), expected)


def test_hessian_times_gradient_is_that_of_the_full_hessian(engine: Engine) -> None:
    weights = weights_of(engine)
    loss, vector = loss_of(weights, 200.0), torch.from_numpy(weights.vector).double()
    hessian = torch.autograd.functional.hessian(loss, vector)  # type: ignore[no-untyped-call]
    [gradient] = torch.autograd.grad(loss(vector.requires_grad_()), vector)
    assert_close(engine.hessian_gradient(weights, INDICES, 200.0), hessian @ gradient)


def test_synaptic_flow_is_the_sum_over_paths(engine: Engine) -> None:
    weights = weights_of(engine)
    first, second, third = (
        weights.vector[layer.span].reshape(layer.shape).astype(np.float64) for layer in engine.layout.space.layers
    )
    a, b, c = np.abs(first), np.abs(second), np.abs(third)
    into_b, into_c = a.sum(1), b @ a.sum(1)  # what flows into each unit from the input of ones
    out_of_b = c.sum(0)
    out_of_a = out_of_b @ b
    expected = [a * out_of_a[:, None], b * out_of_b[:, None] * into_b[None], c * into_c[None]]
    flat = np.concatenate([part.reshape(-1) for part in expected])
    np.testing.assert_allclose(engine.synaptic_flow(weights), flat, rtol=1e-6)


def test_ntk_saps_scores_are_those_of_the_written_out_network(engine: Engine) -> None:
    """Weights, inputs and perturbation drawn from the seed; the derivative by the mask, of pruned weights too."""
    task, examples, scale, seed = tiny.make_task(), 5, 0.01, 7
    mask = np.random.default_rng(0).random(tiny.SIZE) < 0.4
    weights = read_weights(task.build(int(stream(seed, "weights").integers(2**31))), engine.layout)
    generator = torch_stream(seed, torch.device("cpu"))
    inputs = torch.randn((examples, 8), generator=generator, dtype=torch.float64)
    noise = torch.cat([torch.randn(shape, generator=generator, dtype=torch.float64).flatten() for shape in SHAPES])
    w, rest = torch.from_numpy(weights.vector).double(), torch.from_numpy(weights.rest).double()

    def change(bits: Tensor) -> Tensor:
        moved = written_out((w + scale * noise) * bits, rest, inputs)
        return (written_out(w * bits, rest, inputs) - moved).square().sum()

    bits = torch.from_numpy(mask).double().requires_grad_()
    [expected] = torch.autograd.grad(change(bits), bits)
    assert_close(engine.ntk_sensitivity(mask, seed, examples, scale), expected.abs())
    assert expected.abs().numpy()[~mask].any()


def test_ntk_sap_pays_two_passes_for_each_example_and_prunes_what_scores_least() -> None:
    problem, twin = tiny.make_problem(), tiny.make_problem()
    ticket = NtkSap(rounds=1, batches=2, examples=10).search(problem)
    scores = twin.ntk_sensitivity(None, 10) + twin.ntk_sensitivity(None, 10)
    np.testing.assert_array_equal(ticket.mask, top_n(scores, problem.n_kept))
    assert problem.spent.train_examples == 2 * 2 * 10
    several = tiny.make_problem()
    mask = NtkSap(rounds=4, batches=1).search(several).mask
    assert np.count_nonzero(mask) == several.n_kept
    assert several.spent.train_examples == 4 * 2 * several.recipe.batch_size


def test_balanced_examples_go_through_the_classes_in_turn() -> None:
    labels = np.array([0] * 50 + [1] * 7 + [2] * 20)
    order = one_of_each_in_turn(labels, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(77))
    assert np.bincount(labels[order[:15]]).tolist() == [5, 5, 5]
    assert np.bincount(labels[order[:31]]).tolist() == [12, 7, 12]
    other = one_of_each_in_turn(labels, np.random.default_rng(1))
    assert set(order[:15].tolist()) != set(other[:15].tolist())


def test_grasp_takes_as_many_of_each_class() -> None:
    problem = tiny.make_problem()
    drawn = []
    engine = problem._session.engine
    own = engine.hessian_gradient

    def looked_on(weights: Weights, chosen: IntArray, temperature: float) -> FloatArray:
        drawn.append(chosen)
        return own(weights, chosen, temperature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "hessian_gradient", looked_on)
        Grasp(examples=30).search(problem)
        Grasp(examples=30, balanced=False).search(problem)
    counts = [np.bincount(tiny.make_task().train.labels.numpy()[chosen]).tolist() for chosen in drawn]
    assert counts[0] == [10, 10, 10]
    assert counts[1] != [10, 10, 10]


def searched(strategy: Snip | Grasp | SynFlow, problem: MaskProblem) -> Ticket:
    return strategy.search(problem)


def test_snip_keeps_the_largest_products_of_weight_and_gradient() -> None:
    problem, twin = tiny.make_problem(), tiny.make_problem()
    gradient = twin.gradients(None, 300)
    expected = top_n(np.abs(gradient * twin.initial_weights().vector), problem.n_kept)
    np.testing.assert_array_equal(searched(Snip(), problem).mask, expected)
    assert problem.spent.train_examples == 300


def test_grasp_removes_the_highest_minus_w_h_g_and_pays_twice() -> None:
    problem, twin = tiny.make_problem(), tiny.make_problem()
    score: FloatArray = -twin.initial_weights().vector * twin.hessian_gradient(None, 300)
    kept = searched(Grasp(), problem).mask
    assert score[kept].max() <= score[~kept].min()
    assert problem.spent.train_examples == 600


def test_synflow_pays_one_example_a_round_and_nests() -> None:
    problem = tiny.make_problem()
    mask = searched(SynFlow(rounds=7), problem).mask
    assert problem.spent.train_examples == 7
    assert np.count_nonzero(mask) == problem.n_kept


def test_synflow_keeps_every_layer_alive_where_magnitude_at_initialisation_does_not() -> None:
    task = tiny.make_task(lambda: mlp(8, 200, 200, 200, 3))
    engine = tiny.dense_engine(task)
    problem = tiny.make_problem(engine=engine, task=task, sparsity=0.998)
    space = problem.space
    assert space.counts(searched(SynFlow(), problem).mask).min() > 0
    magnitude = top_n(np.abs(problem.initial_weights().vector), problem.n_kept)
    assert space.counts(magnitude).min() == 0
