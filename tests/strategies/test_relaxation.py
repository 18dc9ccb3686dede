"""Training through a relaxation: what is trained, what it costs, and the strategies that live by it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import tiny
from ticketsearch import MaskProblem
from ticketsearch.arrays import FloatArray
from ticketsearch.engine.gates import Tensors
from ticketsearch.engine.relaxation import Relaxation, Trainable
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import top_n
from ticketsearch.masks.densities import layer_counts
from ticketsearch.strategies.continuous_sparsification import ContinuousSparsification
from ticketsearch.strategies.edge_popup import EdgePopup
from ticketsearch.strategies.hard_concrete import HardConcrete
from ticketsearch.strategies.supermask import Supermask

if TYPE_CHECKING:
    from ticketsearch.problem.scores import Snapshot


def identity(trained: Tensors, _step: int, _generator: torch.Generator) -> Tensor:
    return trained["w"]


def last(problem: MaskProblem, relaxation: Relaxation, **options: object) -> Snapshot:
    return list(problem.train_relaxed(relaxation, **options))[-1]  # type: ignore[arg-type]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_identity_trains_the_dense_network(optimizer: str) -> None:
    recipe = replace(tiny.RECIPE, optimizer=optimizer, learning_rate=0.01)  # type: ignore[arg-type]
    relaxed, plain = tiny.make_problem(), tiny.make_problem()
    start = relaxed.initial_weights().vector
    snapshot = last(relaxed, Relaxation({"w": Trainable(start)}, identity), recipe=recipe)
    [reference] = plain.train(recipe=recipe)
    np.testing.assert_allclose(snapshot.weights.vector, reference.weights.vector, rtol=0, atol=2e-5)
    np.testing.assert_allclose(snapshot.weights.rest, reference.weights.rest, rtol=0, atol=2e-5)
    assert snapshot.train_loss == pytest.approx(reference.train_loss, abs=1e-5)
    assert relaxed.spent.thirds == plain.spent.thirds
    assert relaxed.spent.dense_flops == plain.spent.dense_flops


def test_what_is_frozen_stays_and_what_is_trained_is_handed_out(problem: MaskProblem) -> None:
    start = problem.initial_weights()
    constant = torch.from_numpy(start.vector.copy())
    scores = np.zeros(problem.space.size, dtype=np.float32)
    relaxation = Relaxation(
        {"s": Trainable(scores)}, lambda t, _step, _g: constant * torch.sigmoid(t["s"]), train_rest=False
    )
    snapshot = last(problem, relaxation)
    np.testing.assert_array_equal(snapshot.weights.rest, start.rest)
    moved = snapshot.trained["s"]
    assert moved.any()
    np.testing.assert_allclose(snapshot.weights.vector, start.vector / (1 + np.exp(-moved)), rtol=1e-5, atol=1e-7)
    assert not scores.any()  # the argument is not what is trained


def test_a_penalty_and_a_rate_of_its_own_act(problem: MaskProblem) -> None:
    ones = np.ones(problem.space.size, dtype=np.float32)
    zero = Relaxation(
        {"w": Trainable(ones, rate=0.5, decay=0.0)},
        lambda t, _step, _g: 0 * t["w"],
        penalty=lambda t, _step: t["w"].sum(),
    )
    recipe = replace(tiny.RECIPE, momentum=0.0, schedule="constant", steps=10, learning_rate=0.1)
    np.testing.assert_allclose(last(problem, zero, recipe=recipe).trained["w"], 1 - 10 * 0.05, rtol=1e-5)


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_training_that_diverges_says_so_and_not_what_broke_of_it(problem: MaskProblem, slope: float) -> None:
    """A penalty that is no number; and one that is, whose gradient is none: then nothing can be drawn any more."""

    def drawn(trained: Tensors, _step: int, generator: torch.Generator) -> Tensor:
        return trained["w"] * torch.bernoulli(torch.sigmoid(trained["w"]), generator=generator)

    def penalty(trained: Tensors, _step: int) -> Tensor:
        return trained["w"].sum() * slope if slope != slope else (0 * trained["w"]).sqrt().sum()

    relaxation = Relaxation({"w": Trainable(problem.initial_weights().vector)}, drawn, penalty=penalty)
    with pytest.raises(StrategyError, match=r"^training diverged before step \d+; lower the rate$"):
        last(problem, relaxation)
    assert [trial.state for trial in problem._session.replay.ledger] == ["failed"]


def test_breaking_off_stops_paying(problem: MaskProblem) -> None:
    relaxation = Relaxation({"w": Trainable(problem.initial_weights().vector)}, identity)
    for snapshot in problem.train_relaxed(relaxation, every=7):
        if snapshot.step == 14:
            break
    assert problem.spent.train_examples == 14 * 30


def test_randomness_comes_from_the_run_and_leaves_the_global_generator_alone() -> None:
    def noisy(trained: Tensors, _step: int, generator: torch.Generator) -> Tensor:
        return trained["w"] * torch.rand(tiny.SIZE, generator=generator)

    def trained(seed: int) -> FloatArray:
        problem = tiny.make_problem(seed=seed)
        return last(problem, Relaxation({"w": Trainable(np.ones(tiny.SIZE, np.float32))}, noisy)).trained["w"]

    state = torch.random.get_rng_state()
    first, again, other = trained(0), trained(0), trained(1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert torch.equal(state, torch.random.get_rng_state())


def test_edge_popup_and_supermask_start_their_tickets_from_signed_constants(problem: MaskProblem) -> None:
    initial = problem.initial_weights().vector
    for strategy in (EdgePopup(), Supermask()):
        ticket = strategy.search(tiny.make_problem())
        assert ticket.weights is not None
        counts = problem.space.counts(ticket.mask)
        assert counts.tolist() == layer_counts("uniform", problem.space, problem.n_kept).tolist()
        for layer in problem.space.layers:
            part, own = ticket.weights.vector[layer.span], initial[layer.span]
            fan_in = layer.shape[1]
            expected = np.sqrt(2 / fan_in) if isinstance(strategy, EdgePopup) else own.std()
            np.testing.assert_allclose(part, np.sign(own) * expected, rtol=1e-5)


@pytest.mark.parametrize("strategy", [ContinuousSparsification(pull=3.0), HardConcrete(pull=1.0)], ids=["cs", "l0"])
def test_gates_find_better_masks_than_chance(strategy: ContinuousSparsification | HardConcrete) -> None:
    recipe = replace(tiny.RECIPE, steps=300)
    problem = tiny.make_problem(2000.0, task=tiny.make_task(recipe=recipe))
    ticket = strategy.search(problem)
    rng = np.random.Generator(np.random.PCG64(0))
    others = [top_n(rng.random(tiny.SIZE), problem.n_kept) for _ in range(12)]
    found, *random = problem.evaluate([ticket.mask, *others], fidelity=300)
    assert float(found) > np.mean([float(score) for score in random])


def test_a_recipe_with_terms_of_its_own_is_refused(problem: MaskProblem) -> None:
    relaxation = Relaxation({"w": Trainable(problem.initial_weights().vector)}, identity)
    with pytest.raises(InvalidValue, match="without l1, hoyer"):
        last(problem, relaxation, recipe=replace(tiny.RECIPE, l1=0.1))


def test_to_be_looked_at_changes_nothing() -> None:
    """What is drawn at a snapshot is not drawn from what the training draws from."""
    ends = []
    for every in (None, "7step"):
        problem = tiny.make_problem(1000.0)
        scores = Trainable(np.zeros(problem.space.size, dtype=np.float32))

        def noisy(trained: Tensors, _step: int, generator: torch.Generator) -> Tensor:
            return trained["s"] + 0.1 * torch.rand(trained["s"].numel(), generator=generator)

        snapshots = list(problem.train_relaxed(Relaxation({"s": scores}, noisy), every=every))
        ends.append(snapshots[-1].trained["s"])
    np.testing.assert_array_equal(ends[0], ends[1])
