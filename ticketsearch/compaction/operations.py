"""What is known of operations: which treat each channel by itself, and what their arguments say."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.compaction.tracing import PLAIN, SHAPE

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
EACH_MODULE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Softsign,
    nn.LogSigmoid,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
)
"""Number by number."""
POOLS: dict[Any, int | None] = {
    nn.MaxPool1d: 1,
    nn.MaxPool2d: 2,
    nn.MaxPool3d: 3,
    nn.AvgPool1d: 1,
    nn.AvgPool2d: 2,
    nn.AvgPool3d: 3,
    nn.AdaptiveAvgPool1d: 1,
    nn.AdaptiveAvgPool2d: 2,
    nn.AdaptiveAvgPool3d: 3,
    nn.AdaptiveMaxPool1d: 1,
    nn.AdaptiveMaxPool2d: 2,
    nn.AdaptiveMaxPool3d: 3,
    nn.ZeroPad2d: 2,
    nn.Upsample: None,
    F.max_pool1d: 1,
    F.max_pool2d: 2,
    F.max_pool3d: 3,
    torch.max_pool1d: 1,
    torch.max_pool2d: 2,
    torch.max_pool3d: 3,
    F.avg_pool1d: 1,
    F.avg_pool2d: 2,
    F.avg_pool3d: 3,
    F.adaptive_avg_pool1d: 1,
    F.adaptive_avg_pool2d: 2,
    F.adaptive_avg_pool3d: 3,
    F.interpolate: None,
}
"""Over positions, behind the channels in axis 1 -> the number of axes of positions, ``None`` = any."""
EACH_FUNCTION: set[Any] = {
    F.relu,
    F.relu_,
    torch.relu,
    F.relu6,
    F.leaky_relu,
    F.elu,
    F.selu,
    F.gelu,
    F.silu,
    F.mish,
    F.hardswish,
    F.hardsigmoid,
    F.hardtanh,
    F.sigmoid,
    torch.sigmoid,
    F.tanh,
    torch.tanh,
    F.softplus,
    torch.clamp,
    torch.abs,
    torch.exp,
    torch.sqrt,
    torch.square,
    torch.pow,
    operator.pow,
    operator.neg,
    torch.neg,
}
EACH_METHOD = {
    "relu",
    "relu_",
    "sigmoid",
    "tanh",
    "clamp",
    "clamp_",
    "neg",
    "abs",
    "exp",
    "sqrt",
    "square",
    "pow",
    "contiguous",
    "clone",
    "detach",
    "to",
    "float",
    "double",
    "half",
    "bfloat16",
}
SUMS: set[Any] = {operator.add, operator.iadd, torch.add, "add", "add_"}
PRODUCTS: set[Any] = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
PAIRS: set[Any] = (
    SUMS
    | PRODUCTS
    | {
        operator.sub,
        operator.isub,
        torch.sub,
        "sub",
        operator.truediv,
        torch.div,
        "div",
        torch.maximum,
        torch.minimum,
    }
)
RESHAPES: set[Any] = {torch.reshape, "view", "reshape"}
SPREADS: set[Any] = {"expand"}
SQUEEZES: set[Any] = {torch.squeeze, "squeeze"}
MOVES: set[Any] = (
    RESHAPES
    | SPREADS
    | SQUEEZES
    | {
        torch.flatten,
        "flatten",
        torch.permute,
        "permute",
        torch.transpose,
        "transpose",
        torch.swapaxes,
        "swapaxes",
        torch.movedim,
        "movedim",
        torch.unsqueeze,
        "unsqueeze",
        operator.getitem,
    }
)
"""Rearrangements: every number of the result is a number of the tensor."""
TRANSPOSED = ("T", "mT")
"""Attributes of a tensor that are rearrangements of it."""
REDUCTIONS: set[Any] = {
    torch.mean,
    "mean",
    torch.sum,
    "sum",
    torch.amax,
    "amax",
    torch.amin,
    "amin",
}
JOINTS: set[Any] = {torch.cat, getattr(torch, "concat", torch.cat)}
SIZES: set[Any] = {"size", "dim", getattr}
ARITHMETIC: set[Any] = {operator.add, operator.sub, operator.mul, operator.floordiv}
"""Of sizes."""


def padding_of(node: fx.Node) -> list[int] | None:
    """The amounts of a call of ``F.pad``, last dimension first."""
    pads = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    if not isinstance(pads, list | tuple) or not all(isinstance(pad, int) for pad in pads):
        return None
    return [int(pad) for pad in pads]


def has_sizes(node: fx.Node) -> bool:
    """Whether the call of a rearrangement gives the sizes of its result."""
    return node.target in RESHAPES or node.target in SPREADS


def sizes_of(node: fx.Node) -> list[Any] | None:
    """The sizes that a view or an expansion asks for, one for each axis of its result."""
    given = node.args[1:] if len(node.args) > 2 or isinstance((*node.args, 0, 0)[1], int) else (*node.args, None)[1]
    if isinstance(given, fx.Node) and isinstance(given.meta.get(PLAIN), int):
        given = (given,)
    if not isinstance(given, list | tuple) or node.kwargs or len(given) != len(shape_of(node)):
        return None
    return list(given)


def reduced_dimensions(node: fx.Node, rank: int) -> set[int] | None:
    """The axes that a reduction or a squeeze names, ``None`` if it names none."""
    given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis"))
    listed = given if isinstance(given, list | tuple) else [given]
    if not listed or not all(isinstance(one, int) for one in listed):
        return None
    return {int(one) % rank for one in listed}  # type: ignore[arg-type]


def shape_of(node: Any) -> tuple[int, ...]:
    """Of the tensor at a node, ``()`` if it has none."""
    found: tuple[int, ...] = node.meta.get(SHAPE, ()) if isinstance(node, fx.Node) else ()
    return found


def name_of(node: fx.Node) -> str:
    """What a node calls, for people."""
    if node.target is getattr:
        return str(node.args[1])
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
