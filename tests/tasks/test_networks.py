"""The built-in networks: sizes, shapes and initial weights as published."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.seeds import fenced_globals
from ticketsearch.tasks.layout import layout_of
from ticketsearch.tasks.networks import (
    NETWORKS,
    PaddedShortcut,
    conv_2,
    conv_4,
    conv_6,
    network_factory,
    resnet_20,
    vgg_11_bn,
)


def weights_of(network: nn.Module, size: int = 32, channels: int = 3) -> int:
    with fenced_globals(0):
        return layout_of(network, torch.zeros(2, channels, size, size), torch.zeros(2).long()).space.size


@pytest.mark.parametrize(
    ("make", "convolutions", "published"),
    [(conv_2, 38_000, 4.3e6), (conv_4, 260_000, 2.4e6), (conv_6, 1.1e6, 1.1e6 + 4096 * 256 + 256 * 266)],
)
def test_conv_networks_have_the_published_numbers_of_weights(
    make: Callable[..., nn.Module], convolutions: float, published: float
) -> None:
    """Frankle & Carbin, figure 2: "All/Conv weights" 4.3M/38K, 2.4M/260K, 1.7M/1.1M.

    The layers listed there for Conv-6 sum to 2.3M; its convolutions do to 1.1M.
    """
    network = make()
    counted = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d))
    assert counted == pytest.approx(convolutions, rel=0.05)
    assert weights_of(network) == pytest.approx(published, rel=0.05)


def test_resnet_20_has_the_published_number_of_parameters_and_layers() -> None:
    """He et al., table 6: 0.27 million parameters; option B adds what its two convolutions and their scales have."""
    network, with_b = resnet_20(), resnet_20(shortcut="B")
    assert sum(p.numel() for p in network.parameters()) == 269_722
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == 20
    added = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert sum(p.numel() for p in with_b.parameters()) == 269_722 + added
    assert network(torch.zeros(2, 3, 32, 32)).shape == with_b(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_vgg_11_bn_has_eight_convolutions_and_one_linear_layer() -> None:
    network = vgg_11_bn()
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64, 128, 256, 256, 512, 512, 512, 512]
    expected = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512) + 5120
    assert weights_of(network) == expected


def test_a_padded_shortcut_takes_every_second_pixel_between_channels_of_zeros() -> None:
    x = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4) + 1
    out = PaddedShortcut(2, 1, 3)(x).numpy()
    assert out.shape == (1, 6, 2, 2)
    np.testing.assert_array_equal(out[0, 1:3], x.numpy()[0, :, [0, 2]][:, :, [0, 2]].transpose(1, 0, 2))
    assert not out[0, [0, 3, 4, 5]].any()
    assert "before=1, after=3" in repr(resnet_20()) or "before=8, after=8" in repr(resnet_20())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_initial_weights_are_as_published(name: str) -> None:
    """Glorot's variance 2 / (fan in + fan out) for conv-2/4/6, He's 2 / fan in for the others; biases are zero."""
    with fenced_globals(1):
        network = network_factory(name, 3, 32, 10)()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach()
            fans = weight[0].numel(), weight.shape[0] * math.prod(weight.shape[2:])
            variance = 2 / sum(fans) if name.startswith("conv") else 2 / fans[0]
            tolerance = 5 / math.sqrt(2 * weight.numel())  # of a standard deviation: five standard errors
            assert float(weight.std()) == pytest.approx(math.sqrt(variance), rel=tolerance)
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("conv-2", 1, 28),
        ("conv-4", 1, 28),
        ("conv-6", 1, 28),
        ("resnet-20", 1, 28),
        ("resnet-20", 3, 15),
        ("vgg-11-bn", 1, 64),
        ("torchvision:mobilenet_v3_small", 3, 32),
    ],
)
def test_networks_take_images_of_other_sizes(name: str, channels: int, size: int) -> None:
    with fenced_globals(0):
        network = network_factory(name, channels, size, 7)().eval()
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 7)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("resnet-21", 3, 32, 10), UnknownName, "did you mean 'resnet-20'"),
        (("torchvision:mobilnet_v3_small", 3, 32, 10), UnknownName, "did you mean 'mobilenet_v3_small'"),
        (("torchvision:resnet18", 1, 32, 10), InvalidValue, "3 channels, these have 1"),
    ],
)
def test_networks_that_are_not_there_are_named(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        network_factory(*arguments)


def test_images_that_are_too_small_are_refused() -> None:
    for name, size in (("conv-6", 7), ("vgg-11-bn", 31)):
        with pytest.raises(InvalidValue, match=f"not {size}"):
            network_factory(name, 3, size, 10)()
