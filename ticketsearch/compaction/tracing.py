"""The graph of a module: one of evaluation that also holds in training, shapes noted at its nodes.

Symbolic tracing takes a module's ``training`` flag for a constant. Functional dropout, where that matters most, becomes
``nn.Dropout``, which obeys the flag; whatever else differs between the two modes makes a graph good for one of them.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.utils import prune

from ticketsearch.applying.names import aliases

SHAPE, DTYPE, PLAIN = "ticketsearch_shape", "ticketsearch_dtype", "ticketsearch_plain"
"""In a node's ``meta``: shape and dtype of its tensor, or its value if that is no tensor."""
UNSAFE = "ticketsearch_unsafe"
"""In a node's ``meta``: whether its tensor changes under its readers."""
_CONSTANT = "_tensor_constant"
_DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.dropout3d: nn.Dropout3d,
}
_IN_PLACE = {operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.setitem, F.relu_}
_FRESH = {
    "add",
    "sub",
    "mul",
    "truediv",
    "cat",
    "concat",
    "mean",
    "sum",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "sigmoid",
    "tanh",
    "softmax",
    "log_softmax",
    "pad",
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "batch_norm",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "boolean_dispatch",
    "fn",
    "interpolate",
}
"""Functions whose result never shares memory with their argument; any other may."""
_SHARING = (nn.Flatten, nn.Unflatten, nn.Identity, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True, eq=False)
class Traced:
    """A module and its graph.

    Attributes:
        module: a copy in evaluation mode, with the weights of the original.
        graph: its graph, shapes noted.
        modal: whether the network does something else in training, so that the graph holds for evaluation alone.
    """

    module: nn.Module
    graph: fx.Graph
    modal: bool


def copy_of(module: nn.Module) -> nn.Module:
    """A copy; what ``torch.nn.utils.prune`` registered is made permanent in it."""
    computed = [
        value
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    result = copy.deepcopy(module, {id(value): value.detach().clone() for value in computed})
    _part_originals(result)
    for part in result.modules():
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(part, hook._tensor_name)  # type: ignore[no-untyped-call]
    return result


def _part_originals(module: nn.Module) -> None:
    """Give a pruned layer a weight of its own if another layer uses the same weight unpruned, or pruned otherwise."""
    for parameter, names in aliases(module):
        masks = [module.get_buffer(f"{name[:-5]}_mask") if name.endswith("_orig") else None for name in names]
        if all(mask is not None and masks[0] is not None and torch.equal(mask, masks[0]) for mask in masks):
            continue
        for name, mask in zip(names, masks, strict=True):
            if mask is not None and len(names) > 1:
                owner, _, key = name.rpartition(".")
                own = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
                module.get_submodule(owner)._parameters[key] = own


def trace(module: nn.Module, example: Tensor) -> Traced:
    """Trace a module, which is changed: put into evaluation mode, its functional dropouts made modules.

    Args:
        module: yours to give away.
        example: an input with its batch dimension.

    Raises:
        Exception: whatever symbolic tracing or running the module raises.
    """
    module.train()
    in_training = _graph_of(module, training=True)
    constants = _take_constants(module)
    module.eval()
    graph = _graph_of(module, training=False)
    modal = str(graph) != str(in_training) or not _alike(constants, module)
    holder = fx.GraphModule(module, graph)
    with torch.no_grad():
        _Recorder(holder).run(example)
    _mark_unsafe(graph, holder)
    return Traced(module, graph, modal)


def _graph_of(module: nn.Module, *, training: bool) -> fx.Graph:
    graph = fx.Tracer().trace(module)
    for number, node in enumerate(graph.nodes):
        kind = _DROPOUTS.get(node.target) if node.op == "call_function" else None
        if kind is None:
            continue
        given = dict(zip(("input", "p", "training", "inplace"), node.args, strict=False)) | dict(node.kwargs)
        if given.get("training", True) is not training:
            continue  # it does not follow the mode
        name = f"functional_dropout_{number}"
        if not hasattr(module, name):
            module.add_module(name, kind(given.get("p", 0.5)))
        with graph.inserting_before(node):
            made = graph.call_module(name, (given["input"],))
        node.replace_all_uses_with(made)
        graph.erase_node(node)
    return graph


def _take_constants(module: nn.Module) -> dict[str, Tensor]:
    """Tensors that a forward function made, which tracing puts into the module by numbered names; taken out."""
    names = [name for name in vars(module) if name.startswith(_CONSTANT)]
    return {name: module.__dict__.pop(name) for name in names}


def _alike(constants: dict[str, Tensor], module: nn.Module) -> bool:
    found = {name: value for name, value in vars(module).items() if name.startswith(_CONSTANT)}
    return found.keys() == constants.keys() and all(torch.equal(found[name], constants[name]) for name in found)


class _Recorder(fx.Interpreter):
    """Runs the graph once and notes shapes, and values that are no tensors."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta[SHAPE], n.meta[DTYPE] = tuple(result.shape), result.dtype
        elif not _holds_tensor(result):
            n.meta[PLAIN] = result
        return result


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_tensor(part) for part in value)
    return isinstance(value, Tensor | dict)


def _mark_unsafe(graph: fx.Graph, holder: nn.Module) -> None:
    """Mark values that are changed in place while something still reads them: the graph shows them as one value."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    root: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        first = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        root[node] = root[first] if first is not None and _may_alias(node, holder) else node
    for node in graph.nodes:
        if not in_place(node, holder) or not isinstance(node.args[0], fx.Node):
            continue
        family = [other for other in graph.nodes if root[other] is root[node]]
        before = [other for other in family if order[other] < order[node]]
        if any(order[user] > order[node] for other in before for user in other.users):
            for other in family:
                other.meta[UNSAFE] = True


def in_place(node: fx.Node, holder: nn.Module) -> bool:
    """Whether a node changes its first argument."""
    if node.op == "call_module":
        return bool(getattr(holder.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return node.op == "call_function" and (node.target in _IN_PLACE or bool(node.kwargs.get("inplace", False)))


def _may_alias(node: fx.Node, holder: nn.Module) -> bool:
    if in_place(node, holder):
        return True
    if node.op == "call_module":
        part = holder.get_submodule(str(node.target))
        return isinstance(part, _SHARING) or not type(part).__module__.startswith("torch.nn.modules")
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name not in _FRESH
