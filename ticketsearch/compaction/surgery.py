"""Cutting: a graph and its layers narrowed to the channels that live, constants of the others taken into biases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.arrays import IntArray
from ticketsearch.compaction.analysis import Analysis
from ticketsearch.compaction.classes import Mixer
from ticketsearch.compaction.mixing import share_of
from ticketsearch.compaction.operations import has_sizes, padding_of
from ticketsearch.compaction.sizes import size_left
from ticketsearch.compaction.tracing import SHAPE, UNSAFE, Traced, in_place
from ticketsearch.compaction.widening import narrowings, widen


@dataclass(eq=False)
class Cut:
    """What was cut.

    Attributes:
        inputs: layer -> channels it still reads, of those it read.
        outputs: layer -> channels it still writes.
        index: parameter or buffer -> for each leading dimension that was cut, the indices that are left.
        folded: layers whose bias took constants in.
        widened: layer -> channels there are once its outputs are back among zeros.
    """

    inputs: dict[str, IntArray] = field(default_factory=dict)
    outputs: dict[str, IntArray] = field(default_factory=dict)
    index: dict[str, tuple[IntArray, ...]] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    widened: dict[str, int] = field(default_factory=dict)


def dissolve(traced: Traced, total: fx.Node, left: fx.Node) -> None:
    """Replace a sum by the operand that is not zero, and drop what computed the other one."""
    graph, dropped = traced.graph, [node for node in total.all_input_nodes if node is not left]
    whole = left
    if any(in_place(node, traced.module) for node in graph.nodes):  # the sum was a tensor of its own
        with graph.inserting_before(total):
            whole = graph.call_method("clone", (left,))
            whole.meta[SHAPE] = left.meta[SHAPE]
    total.replace_all_uses_with(whole)
    graph.erase_node(total)
    while dropped:
        node = dropped.pop()
        if node.users or node.op == "placeholder" or node.meta.get(UNSAFE):
            continue
        dropped.extend(node.all_input_nodes)
        graph.erase_node(node)


def cut(analysis: Analysis) -> Cut:
    """Narrow the module and the graph of an analysis, in place."""
    result, module, narrowed = Cut(), analysis.traced.module, narrowings(analysis)
    outputs = {node: one.outputs for one in narrowed for node in one.chain}
    inputs = {node: one.outputs for one in narrowed for node in one.direct}
    for mixer in analysis.mixers:
        _cut_mixer(analysis, mixer, result, inputs.get(mixer.node), outputs.get(mixer.node))
    for node in analysis.scales:
        name = str(node.target)
        if name not in result.outputs:
            kept = outputs.get(node)
            if kept is None:
                kept = np.flatnonzero(analysis.keeps(analysis.values[node].ids))
            part = module.get_submodule(name)
            part.num_features = len(kept)  # type: ignore[assignment]
            for key, tensor in (*part.named_parameters(), *part.named_buffers()):
                if tensor.ndim == 1:
                    _narrow(part, name, key, (kept,), result)
            result.inputs[name] = result.outputs[name] = kept
    for node in list(analysis.traced.graph.nodes):
        if node.target is F.pad and node in analysis.values:
            _narrow_padding(analysis, node)
    for node, axis in analysis.moved.items():
        if has_sizes(node):
            left = int(analysis.keeps(analysis.values[node].ids).sum())
            node.args = (node.args[0], tuple(size_left(node, axis, left)))
    widen(analysis, narrowed)
    result.widened = {str(one.chain[0].target): one.width for one in narrowed}
    return result


def _cut_mixer(
    analysis: Analysis, mixer: Mixer, result: Cut, inputs: IntArray | None, outputs: IntArray | None
) -> None:
    """Keep the given channels, or all that live."""
    name = str(mixer.node.target)
    part = analysis.traced.module.get_submodule(name)
    if name in result.outputs:
        return
    stays = analysis.keeps(mixer.source.ids)
    inputs = np.flatnonzero(stays) if inputs is None else inputs
    outputs = np.flatnonzero(analysis.keeps(mixer.result.ids)) if outputs is None else outputs
    constants = mixer.source.constants
    read = mixer.reads[outputs].any(0)
    gone = np.flatnonzero(~stays & read & np.isfinite(constants) & (constants != 0))
    share = share_of(part, gone, constants, constants.size)[outputs] if gone.size else np.zeros(outputs.size)
    groups = int(getattr(part, "groups", 1))
    sides = (outputs, inputs) if groups == 1 else (outputs,)
    _narrow(part, name, "weight", sides, result)
    if part.bias is not None:
        _narrow(part, name, "bias", (outputs,), result)
    if gone.size:
        weight: Any = part.weight
        total = torch.from_numpy(share).to(weight)
        part.bias = nn.Parameter(total if part.bias is None else part.bias.detach() + total)  # type: ignore[operator]
        result.folded.append(name)
    if isinstance(part, nn.Linear):
        part.in_features, part.out_features = len(inputs), len(outputs)
    else:
        part.groups = groups if groups == 1 else groups * len(outputs) // len(mixer.reads)  # type: ignore[assignment]
        part.in_channels, part.out_channels = len(inputs), len(outputs)  # type: ignore[assignment]
    result.inputs[name], result.outputs[name] = inputs, outputs


def _narrow(part: nn.Module, name: str, key: str, sides: tuple[IntArray, ...], result: Cut) -> None:
    """Keep the given indices of a parameter's or buffer's leading dimensions."""
    tensor = getattr(part, key)
    narrowed = tensor.detach()
    for dimension, kept in enumerate(sides):
        narrowed = narrowed.index_select(dimension, torch.from_numpy(kept))
    if isinstance(tensor, nn.Parameter):
        setattr(part, key, nn.Parameter(narrowed, requires_grad=tensor.requires_grad))
    else:
        setattr(part, key, narrowed)
    result.index[f"{name}.{key}" if name else key] = sides


def _narrow_padding(analysis: Analysis, node: fx.Node) -> None:
    """As much padding of channels as the channels that are left of it."""
    pads, value, source = padding_of(node), analysis.values[node], analysis.values.get(node.args[0])  # type: ignore[arg-type]
    place = 2 * (len(node.meta[SHAPE]) - 1 - value.axis)
    if pads is None or source is None or len(pads) <= place or value.ids.size == source.ids.size:
        return
    low = pads[place]
    stays = analysis.keeps(value.ids)
    pads[place : place + 2] = int(stays[:low].sum()), int(stays[low + source.ids.size :].sum())
    if len(node.args) > 1:
        node.update_arg(1, tuple(pads))
    else:
        node.update_kwarg("pad", tuple(pads))
