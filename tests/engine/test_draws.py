"""What is drawn in a training step depends on the step and its examples, and on nothing else."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from tests.helpers.convolutions import RECIPE, batches, make_engine, make_task, stacked
from tests.helpers.engines import hold, load, start_of, train
from ticketsearch import Task
from ticketsearch.arrays import IntArray
from ticketsearch.engine import Job
from ticketsearch.engine import make_engine as chosen_engine
from ticketsearch.engine.dense.draws import augmented, draws_at
from ticketsearch.engine.relaxation import Relaxation, Trainable
from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.augmentation import CropFlip

CPU = torch.device("cpu")
SOME: IntArray = np.arange(7)


class Noisy(nn.Module):
    """A linear layer behind whatever a test draws."""

    def __init__(self, draw: object, training_only: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(tiny.INPUTS, tiny.CLASSES)
        self._draw, self._training_only = draw, training_only

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self._training_only:
            x = self._draw(x)  # type: ignore[operator]
        result: Tensor = self.linear(x)
        return result


@pytest.mark.parametrize("function", [F.dropout, F.dropout1d, F.dropout2d, F.dropout3d])
@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_is_torch_s_by_a_stream_of_its_own(function: object, inplace: bool) -> None:
    shape = {F.dropout: (50, 40), F.dropout1d: (50, 40, 3), F.dropout2d: (50, 40, 2, 2), F.dropout3d: (50, 40, 2, 1, 2)}
    ones, state = torch.ones(shape[function]), torch.random.get_rng_state()  # type: ignore[index]
    with draws_at(3, SOME, CPU):
        dropped = function(ones.clone(), 0.3, True, inplace)  # type: ignore[operator]
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    channels = dropped.reshape(2000, -1)
    assert bool((channels == channels[:, :1]).all())  # whole channels, where that is what is dropped
    assert float((channels[:, 0] == 0).double().mean()) == pytest.approx(0.3, abs=0.03)
    with draws_at(3, SOME, CPU):
        assert torch.equal(function(ones.clone(), 0.3, True), dropped)  # type: ignore[operator]
        assert not torch.equal(function(ones.clone(), 0.3, True), dropped)  # type: ignore[operator]
        assert torch.equal(function(ones, 0.3, False), ones)  # type: ignore[operator]
    for other in (draws_at(4, SOME, CPU), draws_at(3, SOME[::-1], CPU)):
        with other:
            assert not torch.equal(function(ones.clone(), 0.3, True), dropped)  # type: ignore[operator]
    assert torch.equal(state, torch.random.get_rng_state())


def test_networks_with_dropout_train_like_a_loop_with_the_same_draws() -> None:
    task = tiny.make_task(tiny.dropout_network)
    engine = tiny.dense_engine(task)
    masks = np.stack([np.ones(engine.layout.space.size, dtype=bool)] * 3)
    masks[2, ::2] = False
    order = np.arange(300).reshape(10, 30)
    job = Job(masks, start_of(task, engine), replace(tiny.RECIPE, steps=10), order)
    state = torch.random.get_rng_state()
    weights = train(engine, job)
    assert torch.equal(state, torch.random.get_rng_state())
    assert np.array_equal(weights.vector[0], weights.vector[1])  # the same draws for every mask
    network = task.build(0)
    kept = load(network, engine, job.start, masks[2])
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, momentum=0.9, weight_decay=5e-4)
    for step, chosen in enumerate(order):
        optimizer.param_groups[0]["lr"] = job.recipe.learning_rate_at(step)
        optimizer.zero_grad()
        hidden = network[0](task.train.inputs[chosen])  # type: ignore[index]
        with draws_at(step, chosen, CPU):
            noise = F.dropout(torch.ones_like(hidden), 0.5)
        F.cross_entropy(network[2](hidden * noise), task.train.labels[chosen]).backward()  # type: ignore[index, no-untyped-call]
        for name, parameter in network.named_parameters():
            if name in kept and parameter.grad is not None:
                parameter.grad *= kept[name]
        optimizer.step()
    hold(network, kept, {})
    expected = np.concatenate(
        [network.get_parameter(layer.name).detach().numpy().ravel() for layer in engine.layout.space.layers]
    )
    np.testing.assert_allclose(weights.vector[2], expected, rtol=1e-4, atol=1e-6)
    no_dropout = tiny.dense_engine(
        tiny.make_task(lambda: nn.Sequential(nn.Linear(8, 6), nn.Identity(), nn.Linear(6, 3)))
    )
    assert np.abs(train(no_dropout, job).vector[2] - weights.vector[2]).max() > 0.01


def test_gradients_of_a_network_with_dropout_can_be_repeated() -> None:
    task = tiny.make_task(tiny.dropout_network)
    engine = tiny.dense_engine(task)
    start, state = start_of(task, engine), torch.random.get_rng_state()
    first, other = engine.gradients(start, np.arange(40)), engine.gradients(start, np.arange(1, 41))
    assert np.array_equal(first, engine.gradients(start, np.arange(40)))
    assert not np.array_equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: x + torch.randn(x.shape),
        lambda x: x * torch.empty(len(x), 1).bernoulli_(0.5),
        lambda x: x + torch.normal(0.0, 1.0, (8,)),
    ],
    ids=["randn", "bernoulli_", "normal"],
)
def test_other_random_functions_draw_from_the_stream_too(draw: object) -> None:
    task = tiny.make_task(lambda: Noisy(draw))
    engine = tiny.dense_engine(task)
    masks = np.ones((2, engine.layout.space.size), dtype=bool)
    job = Job(masks, start_of(task, engine), tiny.RECIPE, np.arange(60).reshape(2, 30))
    state = torch.random.get_rng_state()
    weights = train(engine, job)
    assert torch.equal(state, torch.random.get_rng_state())
    assert np.array_equal(weights.vector[0], weights.vector[1])
    assert np.array_equal(train(engine, job).vector, weights.vector)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: x * torch.rand_like(x),
        lambda x: F.alpha_dropout(x, 0.5, True),
        lambda x: x * np.random.rand(),  # noqa: NPY002 - a user's network
        lambda x: x * random.random(),
    ],
    ids=["rand_like", "alpha_dropout", "numpy", "python"],
)
def test_what_draws_from_global_generators_is_repeatable_and_leaves_them_alone(draw: object) -> None:
    task = tiny.make_task(lambda: Noisy(draw))
    masks = np.ones((4, 8 * 3), dtype=bool)
    states = torch.random.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    found = []
    for workers in (1, 2):  # threads share the global generators
        engine = tiny.dense_engine(task, workers)
        job = Job(masks, start_of(task, engine), tiny.RECIPE, np.arange(120).reshape(4, 30))
        found.append(train(engine, job).vector)
    assert np.array_equal(found[0], found[1])
    assert all(np.array_equal(row, found[0][0]) for row in found[0])
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert (repr(np.random.get_state()), random.getstate()) == states[1:]  # noqa: NPY002
    other = Job(masks, start_of(task, engine), tiny.RECIPE, np.arange(120, 240).reshape(4, 30))
    assert not np.array_equal(train(engine, other).vector[0], found[0][0])


def test_networks_that_draw_in_evaluation_are_refused() -> None:
    with pytest.raises(InvalidValue, match="in evaluation"):
        tiny.dense_engine(tiny.make_task(lambda: Noisy(lambda x: F.dropout(x, 0.5, True), training_only=False)))


def test_networks_with_auxiliary_outputs_in_training_are_refused() -> None:
    class Auxiliary(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            scores = super().forward(x)
            return (scores, scores) if self.training else scores

    with pytest.raises(InvalidValue, match="returns tuple, not class scores"):
        tiny.dense_engine(tiny.make_task(lambda: Auxiliary(tiny.INPUTS, tiny.CLASSES)))


def test_crops_are_those_of_the_padded_image_and_all_of_them_occur() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    image = torch.from_numpy(rng.normal(size=(2, 5, 6)).astype(np.float32))
    padded = np.zeros((2, 9, 10), dtype=np.float32)
    padded[:, 2:-2, 2:-2] = image
    crops = {
        crop.tobytes(): (down, right, flipped)
        for down in range(5)
        for right in range(5)
        for flipped in (False, True)
        for window in [padded[:, down : down + 5, right : right + 6]]
        for crop in [np.ascontiguousarray(window[:, :, ::-1] if flipped else window)]
    }
    assert len(crops) == 50
    inputs = image.expand(1000, -1, -1, -1).contiguous()
    found = [crops[row.tobytes()] for row in CropFlip(padding=2)(inputs, rng).numpy().copy()]
    assert set(found) == set(crops.values())
    plain = CropFlip(padding=0, flip=False)(inputs[:3], rng)
    assert torch.equal(plain, inputs[:3])
    assert torch.equal(inputs[0], image)
    with pytest.raises(InvalidValue, match="padding -1"):
        CropFlip(-1)


def test_augmentation_is_drawn_for_a_step_and_its_examples() -> None:
    task = make_task(augment=CropFlip(1))
    assert task.fingerprint != make_task().fingerprint != make_task(augment=CropFlip(2)).fingerprint
    inputs = task.train.inputs[SOME]
    seen = augmented(task, inputs, 3, SOME)
    assert torch.equal(seen, augmented(task, inputs, 3, SOME.copy()))
    assert not torch.equal(seen, augmented(task, inputs, 4, SOME))
    assert not torch.equal(seen, augmented(task, task.train.inputs[SOME + 1], 3, SOME + 1))
    rows = np.stack([SOME, SOME + 1])
    both = augmented(task, task.train.inputs[rows], 3, rows)
    assert torch.equal(both[0], seen)
    assert torch.equal(augmented(make_task(), inputs, 3, SOME), inputs)


@pytest.mark.parametrize("rows", [0, 3], ids=["one order", "an order each"])
def test_every_mask_of_a_run_sees_the_same_augmented_images(rows: int) -> None:
    task = make_task(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(196, 3)), augment=CropFlip(2))
    one, two, batch = make_engine(task), make_engine(task, 2), stacked(task)
    masks = np.ones((3, one.layout.space.size), dtype=bool)
    masks[1, ::2] = False
    job = Job(masks, start_of(task, one), RECIPE, batches(4, rows))
    weights = train(one, job)
    assert np.array_equal(weights.vector[0], weights.vector[2]) == (rows == 0)
    assert np.array_equal(weights.vector, train(two, job).vector)
    np.testing.assert_allclose(weights.vector, train(batch, job).vector, rtol=1e-3, atol=1e-5)
    alone = train(one, job.only(slice(1, 2)))
    assert np.array_equal(alone.vector[0], weights.vector[1])
    plain = make_task(task.network)
    assert np.abs(train(make_engine(plain), job).vector - weights.vector).max() > 1e-3
    first, later = (train(one, replace(job, first_step=step)).vector[0] for step in (0, 1))
    assert not np.array_equal(first, later)  # the draws are the step's


def test_a_relaxation_sees_the_same_draws_as_a_training() -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.3), nn.Flatten(), nn.Linear(196, 3))

    task = make_task(network, augment=CropFlip(2))
    engine = make_engine(task)
    start = start_of(task, engine)
    job = Job(np.ones((1, engine.layout.space.size), dtype=bool), start, RECIPE, batches(4), first_step=1)
    identity = Relaxation({"w": Trainable(start.vector)}, lambda trained, _step, _generator: trained["w"])
    [(relaxed, _, _)] = engine.train_relaxed(job, identity, (4,), seed=0)
    np.testing.assert_allclose(relaxed.vector, train(engine, job).vector, rtol=1e-4, atol=1e-6)


def test_the_sparse_engine_leaves_augmented_tasks_to_the_dense_one(tiny_task: Task) -> None:
    augmented_task = replace(tiny_task, augment=CropFlip())
    assert chosen_engine(tiny_task).name == "sparse"
    assert chosen_engine(augmented_task).name == "dense"
    with pytest.raises(InvalidValue, match=r"does not augment.*--engine dense"):
        chosen_engine(augmented_task, engine="sparse")
