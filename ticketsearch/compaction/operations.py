"""What is known of operations: which treat each channel by itself, and what their arguments say."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.compaction.tracing import SHAPE

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
EACH_MODULE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid,
    nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Identity, nn.Dropout, nn.Dropout1d,
    nn.Dropout2d, nn.Dropout3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
    nn.ZeroPad2d, nn.Upsample,
)  # fmt: skip
EACH_FUNCTION: set[Any] = {
    F.relu, F.relu_, torch.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.mish, F.hardswish,
    F.hardsigmoid, F.hardtanh, F.sigmoid, torch.sigmoid, F.tanh, torch.tanh, F.softplus, torch.clamp, torch.abs,
    F.max_pool1d, F.max_pool2d, F.max_pool3d, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, torch.max_pool2d,
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d, F.interpolate, operator.neg, torch.neg,
}  # fmt: skip
SUMS: set[Any] = {operator.add, operator.iadd, torch.add, "add", "add_"}
PRODUCTS: set[Any] = {operator.mul, operator.imul, torch.mul, "mul"}
PAIRS: set[Any] = SUMS | PRODUCTS | {operator.sub, operator.isub, torch.sub, "sub", operator.truediv, torch.div, "div"}
EACH_METHOD = {"relu", "relu_", "sigmoid", "tanh", "clamp", "clamp_", "contiguous", "clone", "neg", "abs"}
RESHAPES: set[Any] = {torch.reshape, "view", "reshape"}
FLATTENING: set[Any] = RESHAPES | {torch.flatten, "flatten"}
MEANS: set[Any] = {torch.mean, "mean"}
JOINTS: set[Any] = {torch.cat, getattr(torch, "concat", torch.cat)}
SIZES: set[Any] = {"size", getattr}


def padding_of(node: fx.Node) -> list[int] | None:
    """The amounts of a call of ``F.pad``, last dimension first."""
    pads = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    if not isinstance(pads, list | tuple) or not all(isinstance(pad, int) for pad in pads):
        return None
    return [int(pad) for pad in pads]


def is_flattening(node: fx.Node) -> bool:
    """All but the batch dimension made one."""
    shape, before = shape_of(node), shape_of(node.args[0])
    return len(before) >= 2 and len(shape) == 2 and shape[0] == before[0]


def is_spatial(node: fx.Node) -> bool:
    """A mean over positions, every so manieth position, or a dimension of positions squeezed."""
    rank = len(shape_of(node.args[0]))
    if node.target in MEANS:
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        listed = dims if isinstance(dims, list | tuple) else [dims]
        return all(isinstance(one, int) and one % rank >= 2 for one in listed)
    if node.target in ("squeeze", torch.squeeze):
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return isinstance(dims, int) and dims % rank >= 2
    if node.target is operator.getitem and isinstance(node.args[1], tuple):
        whole = [one == slice(None) for one in node.args[1][:2]]
        return whole == [True, True] and all(isinstance(one, slice | int) for one in node.args[1])
    return False


def shape_of(node: Any) -> tuple[int, ...]:
    """Of the tensor at a node, ``()`` if it has none."""
    found: tuple[int, ...] = node.meta.get(SHAPE, ()) if isinstance(node, fx.Node) else ()
    return found


def name_of(target: Any) -> str:
    """Of a function or a method, for people."""
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))
