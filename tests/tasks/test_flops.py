"""FLOPs per layer, checked against PyTorch's own counter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.helpers.commands import python
from ticketsearch.cost import Cost
from ticketsearch.masks import top_n
from ticketsearch.problem.pricing import Pricing
from ticketsearch.seeds import fenced_globals
from ticketsearch.tasks.layout import layout_of
from ticketsearch.tasks.networks import network_factory


def odd() -> nn.Module:
    """Grouped, depthwise, strided, dilated and transposed convolutions, on an image that is not square."""
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 6, (3, 1), dilation=2),
        nn.ConvTranspose2d(6, 4, 3, stride=2),
        nn.ConvTranspose2d(4, 4, 2, groups=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5, bias=False),
    )


def sequence() -> nn.Module:
    """A linear layer applied at each of several places, and one used twice."""
    shared = nn.Linear(6, 6, bias=False)
    return nn.Sequential(
        nn.Linear(4, 6, bias=False), shared, nn.ReLU(), shared, nn.Flatten(), nn.Linear(42, 3, bias=False)
    )


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "odd": (odd, (4, 13, 10)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(2, 3, 4, 3), nn.Flatten(), nn.Linear(15, 2, bias=False)), (2, 18)),
    "sequence": (sequence, (7, 4)),
    "conv-2": (network_factory("conv-2", 1, 28, 10), (1, 28, 28)),
    "resnet-20": (network_factory("resnet-20", 3, 32, 10), (3, 32, 32)),
    "vgg-11-bn": (network_factory("vgg-11-bn", 3, 32, 10), (3, 32, 32)),
    "mobilenet_v3_small": (network_factory("torchvision:mobilenet_v3_small", 3, 32, 10), (3, 32, 32)),
}


@pytest.mark.parametrize(("make", "shape"), CASES.values(), ids=CASES)
def test_flops_of_each_layer_are_those_pytorch_counts(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    with fenced_globals(0):
        network = make().eval()
    example = torch.zeros(2, *shape)
    space = layout_of(network, example, torch.zeros(2).long()).space
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(example)
    counted = {name.partition(".")[2]: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    ours = space.flops_per_layer()
    for layer, flops in zip(space.layers, ours, strict=True):
        assert 2 * int(flops) == counted[layer.name.removesuffix(".weight")], layer.name
    assert 2 * space.flops_per_example() == counter.get_total_flops()


def test_a_training_pass_is_three_forward_ones_less_the_gradient_nobody_needs() -> None:
    """PyTorch computes no gradient of the images; the price has it, as every published count of 1:2 does."""
    with fenced_globals(0):
        network = network_factory("resnet-20", 3, 32, 10)()
    space = layout_of(network, torch.zeros(2, 3, 32, 32), torch.zeros(2).long()).space
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.zeros(2, 3, 32, 32)).sum().backward()
    price = Pricing(space).training(np.ones(space.size, dtype=bool), 2)
    assert price.dense_flops - 2 * int(space.flops_per_layer()[0]) == counter.get_total_flops()
    assert price.dense_flops == price.sparse_flops


def test_kept_weights_cost_what_their_layer_s_positions_are() -> None:
    space = layout_of(odd(), torch.zeros(2, 4, 13, 10), torch.zeros(2).long()).space
    mask = top_n(np.random.Generator(np.random.PCG64(0)).random(space.size), space.size // 3)
    by_hand = [2 * int(mask[layer.span].sum()) * layer.uses for layer in space.layers]
    assert space.flops_per_layer(mask).tolist() == by_hand
    assert Pricing(space).forward(mask, 7) == Cost(
        forward_examples=7, dense_flops=7 * space.flops_per_example(), sparse_flops=7 * sum(by_hand)
    )
    assert [layer.uses for layer in space.layers] == [7 * 5, 7 * 5, 3 * 5, 3 * 5, 7 * 11, 1]


def test_neither_counting_nor_a_relaxation_imports_pytorch_s_compiler() -> None:
    """It takes as long as PyTorch itself, in each process; counters of FLOPs and ``torch.optim`` would."""
    code = (
        "import sys; from tests.helpers import tiny; from ticketsearch.strategies.edge_popup import EdgePopup;"
        "EdgePopup().search(tiny.make_problem()); print('torch._dynamo' in sys.modules)"
    )
    assert python("-c", code).stdout.strip() == "False"
