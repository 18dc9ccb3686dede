"""Dynamic sparse training beside a loop over PyTorch's own modules and optimisers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import images, tiny
from tests.helpers.engines import backward, torch_training
from tests.helpers.runs import run
from ticketsearch import MaskProblem, Ticket
from ticketsearch.engine import Job, batch_indices
from ticketsearch.errors import InvalidValue
from ticketsearch.seeds import stream
from ticketsearch.strategies.dynamic import RigL, SparseEvolution, changed
from ticketsearch.tasks.layout import read_weights

EVERY, BATCH, TRAIN = 7, 30, 300


def expected_mask(mask: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor, count: int) -> torch.Tensor:
    """One layer of RigL, by ``torch.sort``; of equal values, which dead neurons have, the first."""
    flat, kept = weight.flatten().abs(), mask.flatten().clone()
    kept[torch.sort(torch.where(kept, flat, torch.inf), stable=True).indices[:count]] = False
    grown = torch.where(kept, -torch.inf, gradient.flatten().abs())
    kept[torch.sort(grown, stable=True, descending=True).indices[:count]] = True
    return kept.reshape(mask.shape)


@pytest.mark.parametrize("name", list(tiny.ENGINES))
def test_rigl_is_the_published_algorithm(name: str) -> None:
    task = tiny.make_task()
    engine = tiny.ENGINES[name](task)
    problem = tiny.make_problem(1000.0, engine=engine)
    steps = task.recipe.steps
    ticket = RigL(every=EVERY, start="draw").search(problem)
    mask = first_mask(problem)
    weights = read_weights(task.build(0), engine.layout)
    changes = [step for step in range(EVERY, steps, EVERY) if step < 0.75 * steps]
    assert len(changes) > 3
    bounds = [0, *changes, steps]
    for number, (begin, end) in enumerate(pairwise(bounds)):
        order = batch_indices(TRAIN, BATCH, steps, stream(0, "train", number))[begin:end]
        job = Job(mask[None], weights, task.recipe, order, first_step=begin)
        network = torch_training(task, engine, job, 0)
        weights = read_weights(network, engine.layout)
        if end == steps:
            break
        chosen = stream(0, "gradients", number).choice(TRAIN, BATCH, replace=False)
        network.zero_grad()
        backward(network, task.train, chosen)
        share = 0.3 / 2 * (1 + np.cos(np.pi * end / (0.75 * steps)))
        parts = []
        for layer, own in engine.layout.space.split(mask):
            parameter, kept = network.get_parameter(layer.name), torch.from_numpy(np.array(own))
            assert parameter.grad is not None
            moved = round(float(share) * int(kept.sum()))
            parts.append(expected_mask(kept, parameter.detach(), parameter.grad, moved).flatten())
        mask = torch.cat(parts).numpy()
    assert np.array_equal(ticket.mask, mask)
    assert ticket.weights is not None
    np.testing.assert_allclose(np.where(mask, ticket.weights.vector, 0), weights.vector, atol=1e-4)
    assert ticket.step == steps


def first_mask(problem: MaskProblem) -> Any:
    """What the search began with: its training left alone."""
    other = tiny.make_problem(1000.0)
    return RigL(every=10_000).search(other).mask


def test_each_layer_keeps_its_number_and_erdos_renyi_densities() -> None:
    problem = tiny.make_problem(1000.0)
    for strategy in (SparseEvolution(every="5step"), RigL(every="5step")):
        mask = strategy.search(problem).mask
        counts = problem.space.counts(mask)
        assert counts.tolist() == problem.space.counts(first_mask(problem)).tolist()
        shares = [sum(layer.shape) for layer in problem.space.layers]  # kept weights go with fan-in plus fan-out
        assert counts == pytest.approx(np.array(shares) * problem.n_kept / sum(shares), abs=1)


def test_what_sets_grow_is_random_and_as_many_as_published() -> None:
    space = tiny.make_problem().space
    rng = np.random.default_rng(0)
    mask = space.random(20, rng)
    sizes, growth = rng.random(space.size), rng.random(space.size)
    new = changed(space, mask, sizes, growth, 0.3)
    for layer in space.layers:
        kept = np.count_nonzero(mask[layer.span])
        dropped = np.flatnonzero((mask & ~new)[layer.span])
        stayed = np.flatnonzero((mask & new)[layer.span])
        assert dropped.size <= round(0.3 * kept)
        assert np.count_nonzero(new[layer.span]) == kept
        if dropped.size and stayed.size:
            assert np.sort(sizes[layer.span][mask[layer.span]])[dropped.size - 1] >= sizes[layer.span][dropped].max()
    assert np.array_equal(changed(space, mask, sizes, growth, 0.0), mask)


def test_a_constant_decay_moves_the_same_fraction_to_the_end() -> None:
    """Mocanu et al. move it after each epoch; Evci et al. less and less, and nothing after three quarters."""
    moved = []
    for options in ({"decay": "constant", "stop": 1.0}, {}):
        problem = tiny.make_problem(1000.0)
        SparseEvolution(every=10, **options).search(problem)  # type: ignore[arg-type]
        moved.append((problem.notes["changes"], problem.notes["moved"]))
    steps = tiny.RECIPE.steps
    assert moved[0][0] == (steps - 1) // 10
    assert moved[1][0] == len([step for step in range(10, steps, 10) if step < 0.75 * steps])
    assert moved[0][1] > moved[1][1]


def test_blocks_keep_two_of_four_and_move_within() -> None:
    problem = tiny.make_problem(1000.0, granularity="2:4", sparsity=0.5)
    ticket = RigL(every="5step").search(problem)
    assert (ticket.mask.reshape(-1, 4).sum(1) == 2).all()
    assert problem.notes["moved"] > 0
    mask = np.array([1, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    sizes = np.array([0.5, 0.2, 0, 0, 0.1, 0.9, 0, 0])
    growth = np.array([9, 0.9, 0.3, 0.8, 0.2, 9, 0.7, 0.1])
    space = replace(problem.space, layers=(replace(problem.space.layers[0], shape=(1, 8), offset=0),))
    quarter = changed(space, mask, sizes, growth, 0.25)  # one of the four kept
    assert quarter.tolist() == [1, 1, 0, 0, 0, 1, 1, 0]
    half = changed(space, mask, sizes, growth, 0.5)
    assert half.tolist() == [1, 1, 0, 0, 0, 1, 1, 0]  # in the first block the dropped one has the highest growth


def test_channels_are_refused_with_the_reason() -> None:
    problem = tiny.make_problem(1000.0, task=images.resnet(), granularity="channel", sparsity=0.5)
    with pytest.raises(InvalidValue, match="no gradient comes back"):
        RigL().search(problem)


@pytest.mark.parametrize(("strategy", "gradients"), [(SparseEvolution(every=5), 0), (RigL(every=5, examples=50), 50)])
def test_the_cost_is_that_of_the_kept_weights_and_of_the_gradients(strategy: Any, gradients: int) -> None:
    problem = tiny.make_problem(1000.0)
    strategy.search(problem)
    spent, space, recipe = problem.spent, problem.space, problem.recipe
    changes = problem.notes["changes"]
    assert changes > 3
    assert spent.train_examples == recipe.steps * recipe.batch_size + changes * gradients
    dense, sparse = space.flops_per_example(), space.flops_per_example(first_mask(problem))
    # a gradient by all weights: forward and backward through the kept ones, and a dense product for the weights
    expected = 3 * recipe.steps * recipe.batch_size * sparse + changes * gradients * (2 * sparse + dense)
    assert spent.sparse_flops == expected


@pytest.mark.parametrize("budget", [0.5, 1.0, 3.3])
def test_a_small_budget_is_a_shorter_training(budget: float) -> None:
    problem = tiny.make_problem(budget)
    ticket = RigL(every=4).search(problem)
    assert isinstance(ticket, Ticket)
    assert 0 <= problem.remaining < 0.5


def test_a_longer_training_starts_the_ticket_within_the_recipe() -> None:
    problem = tiny.make_problem(1000.0)
    ticket = SparseEvolution(length=2, start="draw").search(problem)
    assert problem.spent.train_examples == 2 * problem.recipe.steps * BATCH
    assert ticket.step == problem.recipe.steps


@pytest.mark.parametrize("start", ["init", "draw"])
def test_runs_confirm_either_claim(start: str, tmp_path: Any) -> None:
    result = run(tmp_path, "rigl", settings={"start": start}, budget="40ep")
    assert result.start == ("initial" if start == "init" else "trained")
    assert result.confirmation.steps == (tiny.RECIPE.steps if start == "init" else 0)


def test_less_than_a_step_between_changes_is_refused() -> None:
    with pytest.raises(InvalidValue, match="every"):
        RigL(every="0.01ep").search(tiny.make_problem(100.0))
