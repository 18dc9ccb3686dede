"""Perceptrons."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import nn

Init: TypeAlias = Literal["kaiming", "glorot", "torch"]


def scaled_mlp(widths: tuple[int, ...], factor: float, init: Init = "kaiming") -> nn.Sequential:
    """The perceptron of :func:`mlp` with its hidden widths times a factor, none below 1."""
    return mlp(widths[0], *(times(width, factor) for width in widths[1:-1]), widths[-1], init=init)


def times(width: int, factor: float) -> int:
    """A width times a factor, rounded, at least 1."""
    return max(1, round(width * factor))


def mlp(*widths: int, init: Init = "kaiming") -> nn.Sequential:
    """A multilayer perceptron with ReLU: ``mlp(784, 300, 100, 10)`` is LeNet-300-100.

    Args:
        *widths: inputs, hidden layers, classes.
        init: normal weights scaled by He et al. (``kaiming``) or by Glorot & Bengio (``glorot``, Frankle & Carbin's
            choice), with biases of zero; or PyTorch's own (``torch``), uniform and a third as large in variance: with
            SGD it does not train at 90 % sparsity, with Adam it does.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    last = len(widths) - 2
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        linear = nn.Linear(inputs, outputs)
        if init == "kaiming":
            nn.init.kaiming_normal_(linear.weight)
        elif init == "glorot":
            nn.init.xavier_normal_(linear.weight)
        if init != "torch":
            nn.init.zeros_(linear.bias)
        modules["output" if index == last else f"hidden{index + 1}"] = linear
        if index != last:
            modules[f"relu{index + 1}"] = nn.ReLU()
    return nn.Sequential(modules)
