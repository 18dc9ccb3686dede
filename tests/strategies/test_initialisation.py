"""Pruning at initialisation: SNIP, GraSP and SynFlow against networks written out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from ticketsearch import MaskProblem, Ticket, Weights
from ticketsearch.arrays import FloatArray
from ticketsearch.engine import Engine
from ticketsearch.masks import top_n
from ticketsearch.strategies.grasp import Grasp
from ticketsearch.strategies.snip import Snip
from ticketsearch.strategies.synflow import SynFlow
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import mlp

SHAPES = ((12, 8), (10, 12), (3, 10))
INDICES = np.arange(40, dtype=np.int64)


@pytest.fixture(params=list(tiny.ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return tiny.ENGINES[request.param](tiny.make_task())


def weights_of(engine: Engine) -> Weights:
    return read_weights(tiny.make_task().build(3), engine.layout)


def written_out(vector: Tensor, rest: Tensor, inputs: Tensor) -> Tensor:
    """The tiny perceptron as products and sums, from flat vectors: ``(B, 8) -> (B, 3)``."""
    position, offset = 0, 0
    for index, (outputs, width) in enumerate(SHAPES):
        matrix = vector[position : position + outputs * width].reshape(outputs, width)
        inputs = inputs @ matrix.T + rest[offset : offset + outputs]
        inputs = inputs if index == 2 else inputs.clamp(min=0)
        position, offset = position + outputs * width, offset + outputs
    return inputs


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
