"""One operation of a graph, run on tensors other than the graph's own: on constants, and on labels of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from ticketsearch.arrays import ScoreArray
from ticketsearch.compaction.tracing import DTYPE, PLAIN


def run_on(module: nn.Module, node: fx.Node, given: Mapping[fx.Node, Tensor]) -> Tensor:
    """The result of a node when the tensors it reads are the given ones."""

    def argument(other: fx.Node) -> Any:
        return given[other] if other in given else other.meta[PLAIN]

    args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), argument)
    target: Any = node.target
    with torch.no_grad():
        if node.op == "call_module":
            target = module.get_submodule(str(node.target))
        elif node.op == "call_method":
            target, args = getattr(args[0], str(node.target)), args[1:]
        result: Tensor = target(*args, **kwargs)
    return result


def filled(numbers: ScoreArray | Tensor, node: fx.Node, shape: tuple[int, ...], axis: int) -> Tensor:
    """A tensor of a shape in which each channel, along an axis, is one number; of the dtype of a node's tensor."""
    sides = [1] * len(shape)
    sides[axis] = len(numbers)
    return torch.as_tensor(numbers).to(node.meta.get(DTYPE, torch.float32)).reshape(sides).expand(shape).clone()


def labels(count: int, shape: tuple[int, ...], axis: int) -> Tensor:
    """A tensor of a shape that holds, at each place, the number of its channel along an axis."""
    sides = [1] * len(shape)
    sides[axis] = count
    return torch.arange(count).reshape(sides).expand(shape).clone()


def labels_along(result: Tensor) -> tuple[int, Tensor] | None:
    """The axis that decides all labels of a tensor, and the labels along it; ``None`` if no axis by itself does."""
    for axis, size in enumerate(result.shape):
        rows = result.movedim(axis, 0).reshape(size, -1)
        if size > 1 and rows.numel() and bool((rows == rows[:, :1]).all()) and bool((rows[0] != rows[1:]).any()):
            return axis, rows[:, 0]
    return None
