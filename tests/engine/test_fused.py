"""A perceptron's loss and gradients in one go, beside autograd through the module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from ticketsearch.engine.dense.fused import FusedPerceptron
from ticketsearch.tasks.layout import unflatten

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 3)),
    "tanh": lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3)),
    "no bias": lambda: nn.Sequential(nn.Linear(8, 12, bias=False), nn.ReLU(), nn.Linear(12, 3)),
    "one layer": lambda: nn.Sequential(nn.Linear(8, 3)),
}
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "dropout": tiny.dropout_network,
    "normalised": tiny.batch_norm_network,
    "residual": tiny.Residual,
    "two activations": lambda: nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_loss_and_gradients_are_those_of_autograd(name: str, factor: float) -> None:
    task = tiny.make_task(NETWORKS[name], name=f"fused {name}")
    network, layout = task.build(1), task.layout
    plan = FusedPerceptron.of(network, layout)
    assert plan is not None
    shapes = {layer.name: layer.shape for layer in layout.space.layers}
    vector = (torch.arange(layout.space.size) * 0.37).sin().requires_grad_()
    rest = {key: (torch.arange(part.numel()) * 0.7).cos() for key, part in network.named_parameters() if part.ndim == 1}
    for bias in rest.values():
        bias.requires_grad_()
    inputs, labels = task.train.inputs[:17], task.train.labels[:17]
    parts = {key: part[0] for key, part in unflatten(vector[None], shapes).items()}
    expected = F.cross_entropy(torch.func.functional_call(network, {**parts, **rest}, (inputs,)), labels)
    found = plan.loss(vector, rest, inputs, labels)
    torch.testing.assert_close(found, expected)
    variables: list[Tensor] = [vector, *rest.values()]
    for one, other in zip(
        torch.autograd.grad(factor * found, variables), torch.autograd.grad(factor * expected, variables), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_left_to_autograd(name: str) -> None:
    task = tiny.make_task(OTHERS[name], name=f"not fused {name}")
    assert FusedPerceptron.of(task.build(1), task.layout) is None
