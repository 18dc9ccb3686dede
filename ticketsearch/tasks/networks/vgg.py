"""VGG-11 with batch normalisation, sized for images of 32x32.

Configuration A of Simonyan & Zisserman (arXiv:1409.1556, table 1) in the form usual on CIFAR since: batch
normalisation after each convolution, which then needs no bias, and one linear layer in place of three. Weights are
drawn from He's normal distribution (arXiv:1502.01852, eq. 10).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.networks.mlp import times

WIDTHS = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Convolutions between one pooling and the next."""


def vgg_11_bn(channels: int = 3, size: int = 32, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """VGG-11 with batch normalisation, 9.2 million weights.

    Args:
        channels: of an image.
        size: its height and width, at least 32; what is left of a larger image is averaged.
        classes: outputs.
        width: factor of all hidden widths.
    """
    if size < 1 << len(WIDTHS):
        raise InvalidValue(f"vgg-11-bn needs images of at least {1 << len(WIDTHS)} pixels a side, not {size}")
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    index = 0
    for stage, widths in enumerate(WIDTHS, start=1):
        for outputs in (times(whole, width) for whole in widths):
            index += 1
            modules[f"conv{index}"] = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
            modules[f"bn{index}"] = nn.BatchNorm2d(outputs)
            modules[f"relu{index}"] = nn.ReLU()
            channels = outputs
        modules[f"pool{stage}"] = nn.MaxPool2d(2)
    modules["average"], modules["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    modules["output"] = nn.Linear(channels, classes)
    for module in modules.values():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return nn.Sequential(modules)
