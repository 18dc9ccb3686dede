"""Masks permuted to where the neurons' like are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import images, tiny
from tests.helpers.runs import run
from ticketsearch import Ticket, Weights
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.units import weight_units
from ticketsearch.runner.aligned import activations, aligned, matched, permuted
from ticketsearch.runner.references import confirm_with_references
from ticketsearch.runner.setup import Setup
from ticketsearch.tasks.layout import read_weights


def test_neurons_are_matched_by_correlation_whatever_their_scale() -> None:
    rng = np.random.default_rng(0)
    theirs, order = rng.standard_normal((9, 200)), rng.permutation(9)
    ours = 3 * theirs[order] + 0.1 * rng.standard_normal((9, 200)) + 7
    assert matched(theirs, ours).tolist() == order.tolist()
    ours[4] = 1.0  # a dead neuron has no like, and gets the place that is left
    assert matched(theirs, ours).tolist() == order.tolist()


@pytest.mark.parametrize("kind", ["perceptron", "convolutions"])
def test_a_permuted_mask_over_permuted_weights_is_the_same_network(kind: str) -> None:
    """Outputs of the module, with neurons of each hidden layer in another order."""
    task = tiny.make_task() if kind == "perceptron" else images.conv2()
    network, space = task.build(3).eval(), task.layout.space
    own = read_weights(network, task.layout)
    rng = np.random.default_rng(1)
    mask = rng.random(space.size) < 0.5
    places = [rng.permutation(layer.shape[0]) for layer in space.layers[:-1]]
    weights = permuted(own.vector, space, places)  # weights are moved as their bits are
    moved, other = permuted(mask, space, places), task.build(3).eval()
    vectors = {}
    for layer, (_, kept), (_, part) in zip(space.layers, space.split(moved), space.split(weights), strict=True):
        vectors[layer.name] = torch.from_numpy(np.where(kept, part, 0).astype(np.float32))
    with torch.no_grad():
        for (_, kept), layer in zip(space.split(mask), space.layers, strict=True):
            network.get_parameter(layer.name).mul_(torch.from_numpy(np.array(kept)))
            other.get_parameter(layer.name).copy_(vectors[layer.name])
        biases = [name for name, one in network.named_parameters() if one.ndim == 1]
        for name, place in zip(biases, [*places, None], strict=True):
            bias = network.get_parameter(name)
            other.get_parameter(name).copy_(bias if place is None else bias[torch.from_numpy(place)])
        inputs = task.train.inputs[:20]
        torch.testing.assert_close(other(inputs), network(inputs), rtol=1e-4, atol=1e-5)


def test_a_network_trained_from_permuted_weights_gets_its_mask_back() -> None:
    task = tiny.make_task()
    setup = Setup.of(task, tiny.dense_engine(task), seed=0)
    space, rng = setup.units.weights, np.random.default_rng(2)
    places = [rng.permutation(layer.shape[0]) for layer in space.layers[:-1]]
    drawn = permuted(setup.initial.vector, space, places)
    rest = setup.initial.rest.copy()
    rest[:12], rest[12:22] = rest[:12][places[0]], rest[12:22][places[1]]
    mask = space.random(40, rng)
    dense = confirm_with_references(setup, Ticket(np.ones(space.size, dtype=bool)), 1, lambda *_: None)[0].trained
    found = aligned(setup, Ticket(mask), Weights(dense.vector[0], dense.rest[0]), Weights(drawn, rest), 0)
    assert np.array_equal(found.mask, permuted(mask, space, places))
    assert found.weights is not None
    assert np.array_equal(found.weights.vector, drawn)


def test_activations_are_those_of_the_module() -> None:
    task = tiny.make_task()
    setup = Setup.of(task, tiny.dense_engine(task), seed=4)
    network, inputs = task.build(4), task.train.inputs[:7]
    assert isinstance(network, nn.Sequential)
    layers = [index for index, one in enumerate(network) if isinstance(one, nn.Linear)]
    first, second = activations(setup, setup.initial, inputs)
    np.testing.assert_allclose(first, network[: layers[0] + 1](inputs).detach().numpy().T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, network[: layers[1] + 1](inputs).detach().numpy().T, rtol=1e-5, atol=1e-6)


def test_as_a_control_it_starts_from_fresh_weights_and_is_refused_before_the_search(tmp_path: Path) -> None:
    result = run(tmp_path, "random", controls=["aligned", "reinitialise"], sparsity=0.5)
    assert result.references["aligned"].steps == tiny.RECIPE.steps
    assert len(set(result.references["aligned"].test_accuracies)) > 1
    for task, granularity in ((tiny.residual(), "weight"), (tiny.make_task(), "2:4")):
        with pytest.raises(InvalidValue, match="plain chain of layers"):
            run(tmp_path / "no", "random", task, controls=["aligned"], granularity=granularity, sparsity=0.5)
    assert not list((tmp_path / "no").glob("*/result.json"))


def test_a_mask_s_counts_stay() -> None:
    space = weight_units(tiny.make_task().layout.space).weights
    mask = space.random(50, np.random.default_rng(0))
    places = [np.random.default_rng(1).permutation(layer.shape[0]) for layer in space.layers[:-1]]
    assert space.counts(permuted(mask, space, places)).tolist() == space.counts(mask).tolist()
