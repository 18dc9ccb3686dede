"""The contract of every engine, checked against plain PyTorch loops and ``torch.optim``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import tiny
from tests.helpers.engines import backward, batches, load, rng, start_of, torch_training, train
from ticketsearch import Recipe, Split, Task, Weights
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Engine, Job, batch_indices
from ticketsearch.tasks.layout import read_weights

Maker = Callable[..., Engine]
SGD = Recipe(steps=50, batch_size=30, learning_rate=0.05)
RECIPES = {
    "sgd": SGD,
    "momentum": replace(SGD, momentum=0.9, schedule="linear"),
    "nesterov": replace(SGD, momentum=0.9, nesterov=True, warmup_steps=7),
    "weight-decay": replace(SGD, momentum=0.8, weight_decay=0.05, schedule="cosine"),
    "adam": replace(SGD, optimizer="adam", learning_rate=0.01),
    "adamw": replace(SGD, optimizer="adamw", learning_rate=0.01, weight_decay=0.3, schedule="cosine"),
    "l1": replace(SGD, momentum=0.9, l1=0.01),
    "hoyer": replace(SGD, optimizer="adam", learning_rate=0.01, hoyer=0.003, l1=0.001),
    "adam-decay": replace(
        SGD, optimizer="adam", learning_rate=0.01, weight_decay=0.02, betas=(0.8, 0.95), epsilon=1e-6
    ),
}


@pytest.fixture(params=list(tiny.ENGINES))
def make(request: pytest.FixtureRequest) -> Maker:
    return tiny.ENGINES[request.param]


def some_masks(count: int, density: float = 0.3, seed: int = 0) -> BoolArray:
    return rng(seed).random((count, tiny.SIZE)) < density


def assert_close(weights: Weights, row: int, network: nn.Module, engine: Engine) -> None:
    expected = read_weights(network, engine.layout)
    np.testing.assert_allclose(weights.vector[row], expected.vector, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(weights.rest[row], expected.rest, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_training_is_that_of_torch_optim(make: Maker, tiny_task: Task, recipe: Recipe) -> None:
    engine = make(tiny_task)
    job = Job(some_masks(3), start_of(tiny_task, engine), recipe, batches(50))
    weights = train(engine, job)
    assert np.abs(weights.vector - job.start.vector * job.masks).max() > 0.05  # it did train
    for row in range(3):
        assert_close(weights, row, torch_training(tiny_task, engine, job, row), engine)


def test_a_training_begun_late_goes_on_in_the_schedule(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    recipe = replace(SGD, schedule="linear")
    job = Job(some_masks(1), start_of(tiny_task, engine), recipe, batches(30), first_step=20)
    assert_close(train(engine, job), 0, torch_training(tiny_task, engine, job, 0), engine)


def test_each_mask_may_have_its_own_start_and_its_own_batches(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    starts = [start_of(tiny_task, engine, seed) for seed in range(3)]
    together = Weights(np.stack([w.vector for w in starts]), np.stack([w.rest for w in starts]))
    orders = np.stack([batches(20, seed) for seed in range(3)])
    masks = some_masks(3)
    weights = train(engine, Job(masks, together, SGD, orders))
    for row in range(3):
        single = Job(masks[row : row + 1], starts[row], SGD, orders[row])
        assert_close(weights, row, torch_training(tiny_task, engine, single, 0), engine)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_pruned_weights_are_exactly_zero_after_every_step(make: Maker, tiny_task: Task, recipe: Recipe) -> None:
    engine = make(tiny_task)
    job = Job(some_masks(4), start_of(tiny_task, engine), recipe, batches(50))
    seen = 0
    for weights, _ in engine.train(job, tuple(range(1, 51))):
        assert np.count_nonzero(weights.vector[~job.masks]) == 0
        assert np.count_nonzero(weights.vector[job.masks]) == job.masks.sum()
        seen += 1
    assert seen == 50


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("shared", [True, False])
def test_pruned_weights_stay_where_they_are_held(make: Maker, tiny_task: Task, recipe: Recipe, shared: bool) -> None:
    engine, masks = make(tiny_task), some_masks(2)
    held = rng(3).normal(0, 0.2, masks.shape).astype(np.float32)
    held[:, engine.layout.space.layers[-1].span] = 0  # a layer that holds nothing keeps its sparse form
    job = Job(masks, start_of(tiny_task, engine), recipe, batches(50), held=held[0] if shared else held)
    for weights, _ in engine.train(job, (1, 17, 50)):
        expected = np.broadcast_to(held[0] if shared else held, masks.shape)
        np.testing.assert_array_equal(weights.vector[~masks], expected[~masks])
    for row in range(2):
        assert_close(weights, row, torch_training(tiny_task, engine, job, row), engine)
    scored = engine.evaluate(job, tiny_task.validation)
    measured = engine.measure(weights, tiny_task.validation)
    np.testing.assert_allclose(scored.loss, measured.loss, rtol=1e-5)


def test_stops_change_nothing(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    job = Job(some_masks(2), start_of(tiny_task, engine), RECIPES["momentum"], batches(30))
    plain, stopped = train(engine, job), train(engine, job, (1, 2, 11, 30))
    assert np.array_equal(plain.vector, stopped.vector)
    assert np.array_equal(plain.rest, stopped.rest)


def test_weights_handed_out_do_not_change_as_training_goes_on(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    job = Job(some_masks(2), start_of(tiny_task, engine), SGD, batches(20))
    training = engine.train(job, (10, 20))
    first, _ = next(training)
    vector, rest = first.vector.copy(), first.rest.copy()
    next(training)
    assert np.array_equal(first.vector, vector)
    assert np.array_equal(first.rest, rest)


def test_training_losses_are_means_since_the_stop_before(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    job = Job(some_masks(2), start_of(tiny_task, engine), SGD, batches(10))
    each = np.stack([losses for _, losses in engine.train(job, tuple(range(1, 11)))])
    coarse = np.stack([losses for _, losses in engine.train(job, (4, 10))])
    np.testing.assert_allclose(coarse[0], each[:4].mean(0), rtol=1e-5)
    np.testing.assert_allclose(coarse[1], each[4:].mean(0), rtol=1e-5)
    network = tiny_task.build(0)
    load(network, engine, job.start, job.masks[1])
    chosen = job.batches[0]
    first = tiny.cross_entropy(network(tiny_task.train.inputs[chosen]), tiny_task.train.labels[chosen])
    assert each[0, 1] == pytest.approx(first, rel=1e-5)


def test_breaking_off_computes_no_further_step(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    bad = batches(20)
    bad[10:] = 10**9  # a step from here on would fail
    training = engine.train(Job(some_masks(2), start_of(tiny_task, engine), SGD, bad), (5, 10, 20))
    assert len(list(itertools.islice(training, 2))) == 2


def test_arguments_are_not_changed(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    start = start_of(tiny_task, engine)
    job = Job(some_masks(3), start, RECIPES["adam"], batches(10))
    arrays: list[np.ndarray] = [job.masks, start.vector, start.rest, job.batches]
    before = [array.copy() for array in arrays]
    train(engine, job)
    engine.evaluate(job, tiny_task.validation)
    engine.gradients(start, np.arange(10))
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays, strict=True))


def test_arguments_may_be_read_only(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    start = start_of(tiny_task, engine)
    job = Job(some_masks(2), start, SGD, batches(5))

    def results() -> list[np.ndarray]:
        trained = train(engine, job)
        measured = engine.measure(Weights(start.vector[None], start.rest[None]), tiny_task.test)
        return [trained.vector, trained.rest, measured.loss, engine.gradients(start, np.arange(10))]

    writable = results()
    for array in (job.masks, start.vector, start.rest):
        array.flags.writeable = False
    for before, after in zip(writable, results(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_evaluation_is_training_and_measuring(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    job = Job(some_masks(5), start_of(tiny_task, engine), SGD, batches(10))
    measures = engine.evaluate(job, tiny_task.validation)
    again = engine.measure(train(engine, job), tiny_task.validation)
    np.testing.assert_allclose(measures.loss, again.loss, rtol=1e-5)
    np.testing.assert_array_equal(measures.accuracy, again.accuracy)


def test_an_evaluation_of_no_steps_measures_the_start(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    start, masks = start_of(tiny_task, engine), some_masks(2)
    measures = engine.evaluate(Job(masks, start, SGD, batches(0)), tiny_task.validation)
    for row, mask in enumerate(masks):
        network = tiny_task.build(0)
        load(network, engine, start, mask)
        inputs, labels = tiny_task.validation
        assert measures.loss[row] == pytest.approx(tiny.cross_entropy(network(inputs), labels), rel=1e-5)


def test_measures_are_cross_entropy_and_accuracy(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    split = tiny.blobs(2345, 7)  # more than an engine may measure at once, and no round number
    weights = train(engine, Job(some_masks(3, 0.6), start_of(tiny_task, engine), SGD, batches(50)))
    measures = engine.measure(weights, split)
    for row in range(3):
        network = tiny_task.build(0)
        load(network, engine, Weights(weights.vector[row], weights.rest[row]), np.ones(tiny.SIZE, dtype=bool))
        logits = network(split.inputs)
        assert measures.loss[row] == pytest.approx(tiny.cross_entropy(logits, split.labels), rel=1e-5)
        right = int((logits.argmax(1) == split.labels).sum())
        assert measures.accuracy[row] == pytest.approx(right / 2345, abs=1 / 2345)
    assert measures.accuracy.min() > 0.5


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_scores_do_not_depend_on_neighbours_order_or_chunks(make: Maker, tiny_task: Task, optimizer: str) -> None:
    engine = make(tiny_task)
    masks, start = some_masks(21), start_of(tiny_task, engine)
    recipe = replace(tiny.RECIPE, optimizer=optimizer, learning_rate=0.01)  # type: ignore[arg-type]

    def loss(rows: list[int]) -> list[float]:
        measures = engine.evaluate(Job(masks[rows], start, recipe, batches(20)), tiny_task.validation)
        losses: list[float] = measures.loss.tolist()
        return losses

    together = loss(list(range(21)))
    assert loss(list(range(20, -1, -1)))[::-1] == together
    assert [loss([row])[0] for row in range(21)] == together


def test_scores_do_not_depend_on_the_number_of_threads(make: Maker, tiny_task: Task) -> None:
    masks = some_masks(21)
    results = []
    for workers in (1, 3):
        engine = make(tiny_task, workers)
        job = Job(masks, start_of(tiny_task, engine), tiny.RECIPE, batches(20))
        results.append((engine.evaluate(job, tiny_task.validation).loss.tolist(), train(engine, job).vector.tolist()))
    assert results[0] == results[1]


def test_a_diverging_network_leaves_its_neighbours_alone(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    masks, start = some_masks(4), start_of(tiny_task, engine)
    vectors = np.repeat(start.vector[None], 4, axis=0)
    together = Weights(vectors, np.repeat(start.rest[None], 4, axis=0))
    alone = train(engine, Job(masks, together, SGD, batches(20)))
    vectors = vectors.copy()
    vectors[1] = np.where(masks[1], 1e30, 0)
    mixed = Weights(vectors, together.rest)
    weights = train(engine, Job(masks, mixed, SGD, batches(20)))
    measures = engine.evaluate(Job(masks, mixed, SGD, batches(20)), tiny_task.validation)
    healthy = [0, 2, 3]
    assert not np.isfinite(measures.loss[1])
    assert np.isfinite(measures.loss[healthy]).all()
    assert np.array_equal(weights.vector[healthy], alone.vector[healthy])
    assert np.array_equal(weights.rest[healthy], alone.rest[healthy])
    assert np.count_nonzero(weights.vector[1][~masks[1]]) == 0


def test_a_network_that_diverges_in_training_has_a_loss_that_is_not_finite(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    wild = replace(SGD, learning_rate=1e20)
    job = Job(some_masks(2, 0.9), start_of(tiny_task, engine), wild, batches(20))
    measures = engine.evaluate(job, tiny_task.validation)
    assert not np.isfinite(measures.loss).any()
    assert ((measures.accuracy >= 0) & (measures.accuracy <= 1)).all()
    weights = train(engine, job)
    assert np.count_nonzero(weights.vector[~job.masks]) == 0


def test_gradients_are_those_of_autograd_pruned_weights_included(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    start, mask = start_of(tiny_task, engine), some_masks(1)[0]
    network = tiny_task.build(0)
    load(network, engine, start, mask)
    chosen = rng(5).permutation(300)[:77]
    backward(network, tiny_task.train, chosen)
    grads = dict(network.named_parameters())
    expected = np.concatenate([grads[layer.name].grad.numpy().ravel() for layer in engine.layout.space.layers])  # type: ignore[union-attr]
    gradient = engine.gradients(Weights(np.where(mask, start.vector, 0).astype(np.float32), start.rest), chosen)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(gradient[~mask]).max() > 0


def test_a_network_without_biases_can_be_trained(make: Maker) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(tiny.INPUTS, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False))

    task = tiny.make_task(network)
    engine = make(task)
    masks = rng().random((2, 66)) < 0.5
    job = Job(masks, start_of(task, engine), SGD, batches(20))
    weights = train(engine, job)
    assert weights.rest.shape == (2, 0)
    assert_close(weights, 1, torch_training(task, engine, job, 1), engine)


def test_an_empty_mask_scores_what_its_biases_say(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    masks = np.zeros((1, tiny.SIZE), dtype=bool)
    measures = engine.evaluate(Job(masks, start_of(tiny_task, engine), SGD, batches(0)), tiny_task.validation)
    assert measures.loss[0] == pytest.approx(np.log(tiny.CLASSES))  # zero biases: uniform


def test_global_generators_and_the_thread_count_are_left_alone(make: Maker, tiny_task: Task) -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    engine = make(tiny_task)
    engine.evaluate(Job(some_masks(2), start_of(tiny_task, engine), SGD, batches(5)), tiny_task.validation)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_splits_of_any_size_can_be_measured(make: Maker, tiny_task: Task) -> None:
    engine = make(tiny_task)
    start = start_of(tiny_task, engine)
    weights = Weights(start.vector[None], start.rest[None])
    whole = engine.measure(weights, tiny_task.test)
    parts = [
        engine.measure(weights, Split(tiny_task.test.inputs[i : i + 1], tiny_task.test.labels[i : i + 1]))
        for i in range(100)
    ]
    assert whole.loss[0] == pytest.approx(float(np.mean([p.loss[0] for p in parts])), rel=1e-5)
    assert whole.accuracy[0] == pytest.approx(float(np.mean([p.accuracy[0] for p in parts])))


def test_batches_are_whole_epochs_each_example_at_most_once() -> None:
    order = batch_indices(100, 30, 7, rng())
    assert order.shape == (7, 30)
    for first in (0, 3):
        epoch = order[first : first + 3].ravel()
        assert len(set(epoch.tolist())) == 90
    assert not np.array_equal(order[:3], order[3:6])
    assert batch_indices(100, 30, 0, rng()).shape == (0, 30)
    assert np.array_equal(batch_indices(100, 30, 4, rng()), order[:4])  # more steps never change the first ones
