"""Training at low precision, and with a penalty on scales: against the formulas, written out again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import tiny
from ticketsearch import Recipe, Task, Weights
from ticketsearch.engine import Job, batch_indices
from ticketsearch.engine.dense.precision import low_precision_inputs, rounded
from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.layout import read_weights

STEP = Recipe(steps=1, batch_size=20, learning_rate=0.5)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def one_step(task: Task, recipe: Recipe) -> tuple[Weights, dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Weights after a step of the engine; the start state, the batch."""
    engine = tiny.dense_engine(task, 1)
    network = task.build(0)
    start = read_weights(network, engine.layout)
    batch = batch_indices(300, 20, 1, rng())
    job = Job(np.ones((1, engine.layout.space.size), dtype=bool), start, recipe, batch)
    [(weights, _)] = engine.train(job, (1,))
    chosen = torch.from_numpy(batch[0])
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Weights(weights.vector[0], weights.rest[0]), state, task.train.inputs[chosen], task.train.labels[chosen]


def test_values_lie_on_a_grid_of_the_largest_magnitude() -> None:
    values = torch.tensor([[-1.27, 0.004, 0.006, 1.0], [0.0, 0.3, -12.7, 0.049]])
    expected = [[-1.27, 0.0, 0.01, 1.0], [0.0, 0.3, -12.7, 0.0]]
    np.testing.assert_allclose(rounded(values, 8, per_network=True).numpy(), expected, atol=1e-6)
    assert len(torch.unique(rounded(torch.linspace(-1, 1, 1001), 4))) == 15
    assert rounded(torch.zeros(3), 8).tolist() == [0, 0, 0]


def test_gradients_pass_straight_through() -> None:
    values = torch.tensor([0.3, -0.111, 1.0], requires_grad=True)
    (rounded(values, 4) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [1, 2, 3]


def test_layers_receive_rounded_inputs_only_while_asked_to() -> None:
    layer, x = nn.Linear(4, 1, bias=False), torch.tensor([[0.333, -1.0, 0.5, 0.09]])
    nn.init.ones_(layer.weight)
    with low_precision_inputs(layer, 3):
        assert layer(x).item() == pytest.approx(
            1 / 3 - 1 + 2 / 3 + 0, abs=1e-6
        )  # a third of one is a step; 1.5 steps are two
    assert layer(x).item() == pytest.approx(float(x.sum()))


def test_a_step_at_low_precision_is_that_of_the_rounded_network() -> None:
    task = tiny.make_task()
    found, state, inputs, labels = one_step(task, replace(STEP, precision=4))

    def grid(tensor: torch.Tensor) -> torch.Tensor:
        size = tensor.detach().abs().max() / 7
        return (tensor / size).round() * size

    weights = [state[f"{name}.weight"].requires_grad_() for name in ("hidden1", "hidden2", "output")]
    biases = [state[f"{name}.bias"] for name in ("hidden1", "hidden2", "output")]
    used = [grid(w).detach().requires_grad_() for w in weights]
    x = inputs
    values = []
    for index, (w, b) in enumerate(zip(used, biases, strict=True)):
        received = grid(x).detach() + (x - x.detach())
        x = received @ w.T + b
        x = torch.relu(x) if index < 2 else x
        values.append(x)
    loss = nn.functional.cross_entropy(x, labels)
    gradients = torch.autograd.grad(loss, used)
    expected = np.concatenate(
        [(w - 0.5 * g).detach().numpy().reshape(-1) for w, g in zip(weights, gradients, strict=True)]
    )
    np.testing.assert_allclose(found.vector, expected, atol=1e-6)
    plain, *_ = one_step(task, STEP)
    assert np.abs(found.vector - plain.vector).max() > 1e-3


def test_scales_alone_are_drawn_to_zero() -> None:
    task = tiny.residual()
    plain, *_ = one_step(task, STEP)
    drawn, *_ = one_step(task, replace(STEP, scale_l1=0.01))
    names = tiny.dense_engine(task).layout.rest_shapes
    difference, offset = drawn.rest - plain.rest, 0
    for name, shape in names.items():
        size = int(np.prod(shape))
        expected = -0.5 * 0.01 if name in ("bn1.weight", "bn2.weight", "bn3.weight") else 0.0
        np.testing.assert_allclose(difference[offset : offset + size], expected, atol=1e-6)
        offset += size
    np.testing.assert_array_equal(drawn.vector, plain.vector)


def test_the_sparse_engine_refuses_low_precision() -> None:
    task = tiny.make_task()
    engine = tiny.ENGINES["sparse"](task, 1)
    start = read_weights(task.build(0), engine.layout)
    masks = np.ones((1, tiny.SIZE), dtype=bool)
    with pytest.raises(InvalidValue, match="precision 8 is simulated by the dense engine only; use --engine dense"):
        list(engine.train(Job(masks, start, replace(STEP, precision=8), batch_indices(300, 20, 1, rng())), (1,)))


def test_defaults_do_not_change_what_a_recipe_is() -> None:
    names = [name for name, _ in STEP.identity]
    assert "scale_l1" not in names
    assert "precision" not in names
    assert ("precision", 8) in replace(STEP, precision=8).identity
