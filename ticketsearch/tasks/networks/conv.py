"""Conv-2, Conv-4 and Conv-6: Frankle & Carbin's scaled-down variants of VGG (arXiv:1803.03635, figure 2).

Pairs of 3x3 convolutions, each pair followed by max-pooling, then two hidden layers of 256. Weights are drawn from
Glorot's normal distribution, biases are zero.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.networks.mlp import times

HIDDEN = 256


def conv_2(channels: int = 3, size: int = 32, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """Convolutions of 64, 64; 4.3 million weights on images of 3x32x32.

    Args:
        channels: of an image.
        size: its height and width.
        classes: outputs.
        width: factor of all hidden widths.
    """
    return _conv((64,), channels, size, classes, width)


def conv_4(channels: int = 3, size: int = 32, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """Convolutions of 64, 64, 128, 128; 2.4 million weights. Arguments are those of :func:`conv_2`."""
    return _conv((64, 128), channels, size, classes, width)


def conv_6(channels: int = 3, size: int = 32, classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """Convolutions of 64, 64, 128, 128, 256, 256; 2.3 million weights. Arguments are those of :func:`conv_2`."""
    return _conv((64, 128, 256), channels, size, classes, width)


def _conv(widths: tuple[int, ...], channels: int, size: int, classes: int, factor: float) -> nn.Sequential:
    hidden = times(HIDDEN, factor)
    pooled = size >> len(widths)
    if pooled < 1:
        raise InvalidValue(
            f"conv-{2 * len(widths)} needs images of at least {1 << len(widths)} pixels a side, not {size}"
        )
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for pair, width in enumerate(times(width, factor) for width in widths):
        for index in (2 * pair + 1, 2 * pair + 2):
            modules[f"conv{index}"] = nn.Conv2d(channels, width, 3, padding=1)
            modules[f"relu{index}"] = nn.ReLU()
            channels = width
        modules[f"pool{pair + 1}"] = nn.MaxPool2d(2)
    modules["flatten"] = nn.Flatten()
    inputs = channels * pooled * pooled
    for index in (1, 2):
        modules[f"hidden{index}"] = nn.Linear(inputs, hidden)
        modules[f"relu{2 * len(widths) + index}"] = nn.ReLU()
        inputs = hidden
    modules["output"] = nn.Linear(inputs, classes)
    for module in modules.values():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return nn.Sequential(modules)
