"""Producers that write zeros into a sum: cut to what they do write, which is added where it belongs.

A residual stream keeps a channel that any branch writes, and the branches that do not write it compute zeros for it. A
chain of a convolution or linear layer, normalisation and rectifier loses those outputs; :class:`Widen` adds the others
into the stream by index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.arrays import IntArray
from ticketsearch.compaction.analysis import Analysis
from ticketsearch.compaction.classes import Mixer
from ticketsearch.compaction.operations import SUMS, shape_of
from ticketsearch.compaction.tracing import UNSAFE

WORTH = 4
"""One in so many of the outputs has to go; fewer would not pay for the indices."""
_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # the former from 2.7 on
_RECTIFIERS: set[Any] = {F.relu, F.relu_, torch.relu, "relu", "relu_"}


class Widen(nn.Module):
    """Channels put at their indices among ``width`` along an axis, or added there to a tensor of that many."""

    indices: Tensor
    places: Tensor

    def __init__(self, indices: IntArray, width: int, axis: int) -> None:
        super().__init__()
        self.width, self.axis = width, axis
        places = np.full(width, len(indices), dtype=np.int64)
        places[indices] = np.arange(len(indices))
        self.register_buffer("indices", torch.from_numpy(indices), persistent=False)
        self.register_buffer("places", torch.from_numpy(places), persistent=False)

    def forward(self, narrow: Tensor, wide: Tensor | None = None) -> Tensor:
        """``(..., C, ...)`` and ``(..., width, ...)``, zeros if not given, to ``(..., width, ...)``."""
        axis = self.axis
        if _is_exporting():  # gathering is fast in ONNX Runtime, scattering is not
            whole = F.pad(narrow, [0, 0] * (narrow.ndim - 1 - axis) + [0, 1]).index_select(axis, self.places)
            return whole if wide is None else wide + whole
        if wide is None:
            wide = narrow.new_zeros((*narrow.shape[:axis], self.width, *narrow.shape[axis + 1 :]))
        return wide.index_add(axis, self.indices, narrow)


@dataclass(frozen=True, eq=False)
class Narrowed:
    """A producer whose zero outputs go.

    Attributes:
        chain: its calls; the last one's result is widened.
        outputs: the channels that are left, of all.
        indices: the same, among those that the others who share them keep.
        width: how many these are.
        axis: along which they lie.
        direct: layers that read the narrow result as it is.
    """

    chain: tuple[fx.Node, ...]
    outputs: IntArray
    indices: IntArray
    width: int
    axis: int
    direct: tuple[fx.Node, ...]


def narrowings(analysis: Analysis) -> list[Narrowed]:
    """Where it saves something."""
    readers = {mixer.node: mixer for mixer in analysis.mixers if _is_plain(analysis, mixer)}
    found = []
    for node in readers:
        chain = _chain(analysis, node)
        end = chain[-1]
        value = analysis.values[end]
        stays = analysis.keeps(value.ids)
        left = stays & (value.constants != 0)
        width, count = int(stays.sum()), int(left.sum())
        if not count or (width - count) * WORTH < width or any(one.meta.get(UNSAFE) for one in chain):
            continue
        if any(_takes(user, end) or _leads(analysis, user) for user in end.users):
            direct = tuple(
                user for user in end.users if user in readers and np.array_equal(readers[user].source.ids, value.ids)
            )
            outputs, indices = np.flatnonzero(left), np.flatnonzero(left[stays])
            found.append(Narrowed(chain, outputs, indices, width, value.axis, direct))
    return found


def widen(analysis: Analysis, narrowed: list[Narrowed]) -> None:
    """Put the narrow results where they belong, in the graph."""
    module, graph = analysis.traced.module, analysis.traced.graph
    for one in narrowed:
        end = one.chain[-1]
        name = f"{str(one.chain[0].target).replace('.', '_')}_widen"
        while hasattr(module, name):
            name += "_"
        module.add_module(name, Widen(one.indices, one.width, one.axis))
        others = []
        for user in list(end.users):
            if _takes(user, end):
                [wide] = [other for other in user.args if other is not end]
                user.op, user.target, user.args = "call_module", name, (end, wide)
            elif user not in one.direct:
                others.append(user)
        if others:
            with graph.inserting_after(end):
                whole = graph.create_node("call_module", name, (end,))
            for user in others:
                user.replace_input_with(end, whole)


def _is_plain(analysis: Analysis, mixer: Mixer) -> bool:
    """Called once, and every output reads every input."""
    part = analysis.traced.module.get_submodule(str(mixer.node.target))
    return getattr(part, "groups", 1) == 1 and str(mixer.node.target) not in analysis.repeated


def _chain(analysis: Analysis, node: fx.Node) -> tuple[fx.Node, ...]:
    """A layer, its normalisation and its rectifier, as long as nothing else reads what is between."""
    chain = [node]
    while len(chain[-1].users) == 1:
        [user] = chain[-1].users
        if user not in analysis.values or not np.array_equal(analysis.values[user].ids, analysis.values[node].ids):
            break
        scaled = user in analysis.scales and str(user.target) not in analysis.repeated
        part = analysis.traced.module.get_submodule(str(user.target)) if user.op == "call_module" else None
        if not scaled and not isinstance(part, nn.ReLU) and user.target not in _RECTIFIERS:
            break
        chain.append(user)
    return tuple(chain)


def _leads(analysis: Analysis, node: fx.Node) -> bool:
    """Whether a node is a shortcut that hands a tensor on to a sum."""
    same = node.op == "call_module" and type(analysis.traced.module.get_submodule(str(node.target))) is nn.Identity
    return same and any(_takes(user, node) for user in node.users)


def _takes(node: fx.Node, operand: fx.Node) -> bool:
    """Whether a node is the sum of an operand and another tensor of its shape, and could be one of its own."""
    if node.target not in SUMS or len(node.args) != 2 or node.kwargs or node.meta.get(UNSAFE):
        return False
    others = [other for other in node.args if other is not operand]
    return len(others) == 1 and shape_of(others[0]) == shape_of(operand) == shape_of(node)
