"""What a graph does with its channels: identities and constants, forwards from the inputs.

Every tensor with a batch dimension has channels, its dimension 1. A channel is an identity; operations that treat each
channel by itself hand identities on, sums and products tie those of their operands together, and only convolutions and
linear layers, the *mixers*, read one channel to write another. Which can go is :mod:`ticketsearch.compaction.classes`'s
to say.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray
from ticketsearch.compaction.classes import Classes, Mixer, Value
from ticketsearch.compaction.operations import (
    CONVOLUTIONS,
    EACH_FUNCTION,
    EACH_METHOD,
    EACH_MODULE,
    FLATTENING,
    JOINTS,
    NORMALISATIONS,
    PAIRS,
    PRODUCTS,
    SIZES,
    SUMS,
    is_flattening,
    is_spatial,
    name_of,
    padding_of,
    shape_of,
)
from ticketsearch.compaction.tracing import PLAIN, SHAPE, UNSAFE, Traced


@dataclass(eq=False)
class Analysis:
    """What is known of a graph.

    Attributes:
        values: of every node whose tensor has channels.
        mixers: in order.
        scales: calls of batch normalisation, in order.
        flattened: calls that make all but the batch dimension one.
        repeated: modules that are called more than once.
    """

    traced: Traced
    zeros: dict[str, BoolArray]
    training: bool
    values: dict[fx.Node, Value] = field(default_factory=dict)
    mixers: list[Mixer] = field(default_factory=list)
    scales: list[fx.Node] = field(default_factory=list)
    flattened: list[fx.Node] = field(default_factory=list)
    repeated: set[object] = field(default_factory=set)
    _unknown: dict[str, list[int]] = field(default_factory=dict)
    _classes: Classes = field(default_factory=Classes)

    def run(self) -> Analysis:
        """Analyse; returns itself."""
        graph = self.traced.graph
        calls = [node.target for node in graph.nodes if node.op == "call_module"]
        self.repeated = {target for target in calls if calls.count(target) > 1}
        self._shared = self._shared_parameters()
        for node in graph.nodes:
            value = self._visit(node)
            if value is not None and node.meta.get(UNSAFE):
                value = Value(value.ids, np.full(value.ids.size, np.nan))
                self._classes.fix(value.ids)
            if value is not None:
                self.values[node] = value
        self._tie_repeated()
        self._classes.spread(self.mixers, [value.ids for value in self.values.values()])
        return self

    def keeps(self, ids: IntArray) -> BoolArray:
        """Whether the channels stay, ``(C,)``."""
        return self._classes.keeps(ids)

    def zero_branch(self) -> tuple[fx.Node, fx.Node] | None:
        """A sum and its operand that is all there is: the other one is zero throughout."""
        for node, value in self.values.items():
            if node.target not in SUMS or len(node.args) != 2 or node.kwargs or node.meta.get(UNSAFE):
                continue
            for zero, other in (node.args, node.args[::-1]):
                if isinstance(zero, fx.Node) and isinstance(other, fx.Node) and zero in self.values:
                    same = other.meta.get(SHAPE) == node.meta[SHAPE] and other in self.values
                    if same and zero is not other and not self.values[zero].constants.any() and value.ids.size:
                        return node, other
        return None

    # -- forwards -----------------------------------------------------------------------------------------------------

    def _visit(self, node: fx.Node) -> Value | None:
        if node.op == "placeholder":
            return self._held(node)
        if node.op == "output":
            for source in node.all_input_nodes:
                self._fix_node(source)
            return None
        if node.op == "get_attr":
            return None
        if node.op == "call_module":
            return self._module(node)
        return self._function(node)

    def _module(self, node: fx.Node) -> Value | None:
        part = self.traced.module.get_submodule(str(node.target))
        source = self._source(node)
        plain = not part._forward_hooks and not part._forward_pre_hooks and str(node.target) not in self._shared
        if source is not None and plain and len(node.args) == 1 and not node.kwargs:
            rank = len(shape_of(node.args[0]))
            if type(part) is nn.Linear and rank == 2:
                return self._mix(node, part, source, groups=1, folds=True)
            if type(part) in CONVOLUTIONS and rank == len(part.kernel_size) + 2:  # type: ignore[arg-type]
                padded = isinstance(part.padding, str) or any(part.padding)  # type: ignore[arg-type]
                folds = not padded or part.padding_mode != "zeros" or part.padding == "valid"
                return self._mix(node, part, source, groups=int(part.groups), folds=folds)  # type: ignore[arg-type]
            if type(part) in NORMALISATIONS:
                return self._normalise(node, part, source)
            if type(part) in EACH_MODULE or (type(part) is nn.PReLU and part.num_parameters == 1):
                return self._each(node, source)
            if type(part) is nn.Flatten and (part.start_dim, part.end_dim) in ((1, -1), (1, rank - 1)):
                return self._flattened(node, source)
        return self._opaque(node, type(part).__name__)

    def _function(self, node: fx.Node) -> Value | None:
        target, source = node.target, self._source(node)
        if target in JOINTS and (joined := self._joined(node)):
            return joined
        if PLAIN in node.meta and target in SIZES and self._is_safe_size(node):
            return None
        if PLAIN in node.meta and not any(other in self.values for other in node.all_input_nodes):
            return None
        if source is None:
            return self._opaque(node, name_of(target))
        tensors = [other for other in node.all_input_nodes if PLAIN not in other.meta]
        if target in PAIRS and len(tensors) == 2 and (paired := self._paired(node, tensors)):
            return paired
        if len(tensors) == 1 and tensors[0] is node.args[0]:
            if target in FLATTENING and is_flattening(node):
                return self._flattened(node, source)
            if target is F.pad and (padded := self._padded(node, source)):
                return padded
            each = target in EACH_FUNCTION or target in EACH_METHOD or target in PAIRS
            if each or is_spatial(node):
                return self._each(node, source)
        elif len(tensors) == 1 and target in PAIRS and tensors[0] in self.values:  # number first: 1 - x
            return self._each(node, self.values[tensors[0]])
        return self._opaque(node, name_of(target))

    def _source(self, node: fx.Node) -> Value | None:
        first = node.args[0] if node.args else None
        if not isinstance(first, fx.Node) or first not in self.values:
            tensors = [other for other in node.all_input_nodes if other in self.values]
            return self.values[tensors[0]] if len(tensors) == 1 and node.target in PAIRS else None
        return self.values[first]

    def _mix(self, node: fx.Node, part: nn.Module, source: Value, groups: int, folds: bool) -> Value:
        weight: Tensor = part.weight  # type: ignore[assignment]
        name = str(node.target)
        zero = self._zero(f"{name}.weight", weight).reshape(*weight.shape[:2], -1)
        open_ = np.asarray((~zero).any(2), dtype=bool)  # (O, I/g)
        outputs, width = open_.shape
        reads = np.zeros((outputs, source.ids.size), dtype=bool)
        per_group = outputs // groups
        for group in range(groups):
            rows = slice(group * per_group, (group + 1) * per_group)
            reads[rows, group * width : (group + 1) * width] = open_[rows]
        constants = self._mixed_constants(name, part, source, reads, folds and name not in self.repeated)
        result = Value(self._classes.fresh(outputs), constants)
        if groups > 1:  # a group goes as a whole
            for group in range(groups):
                own = source.ids[group * width : (group + 1) * width]
                self._classes.tie(np.concatenate([own, result.ids[group * per_group : (group + 1) * per_group]]))
        self.mixers.append(Mixer(node, source, result, reads, folds and name not in self.repeated and groups == 1))
        return result

    def _mixed_constants(self, name: str, part: nn.Module, source: Value, reads: BoolArray, folds: bool) -> ScoreArray:
        """``(O,)``: bias and the share of constants, where nothing else is read."""
        bias: Tensor | None = part.bias  # type: ignore[assignment]
        usable = (source.constants == 0) | (np.isfinite(source.constants) & folds)
        constant = ~(reads & ~usable).any(1)
        if self.training:
            free = np.ones(len(reads), dtype=bool) if bias is None else self._zero(f"{name}.bias", bias)
            return np.where(constant & free, 0.0, np.nan)
        total = np.zeros(len(reads)) if bias is None else _array(bias)
        if (valued := np.flatnonzero(reads.any(0) & usable & (source.constants != 0))).size:
            total = total + share_of(part, valued, source.constants, source.ids.size)
        return np.where(constant, total, np.nan)

    def _normalise(self, node: fx.Node, part: nn.Module, source: Value) -> Value:
        self.scales.append(node)
        name = str(node.target)
        weight: Tensor | None = part.weight  # type: ignore[assignment]
        bias: Tensor | None = part.bias  # type: ignore[assignment]
        closed = np.zeros(source.ids.size, dtype=bool) if weight is None else self._zero(f"{name}.weight", weight)
        free = np.ones(source.ids.size, dtype=bool) if bias is None else self._zero(f"{name}.bias", bias)
        if self.training:
            silent = free & (closed | (source.constants == 0))
            return Value(source.ids, np.where(silent, 0.0, np.nan))
        value = self._each(node, source)
        constants = np.full(source.ids.size, np.nan) if value is None else value.constants
        if bias is not None:
            constants = np.where(closed, _array(bias), constants)
        return Value(source.ids, constants)

    def _each(self, node: fx.Node, source: Value) -> Value | None:
        """Each channel by itself: what becomes of constants is found by running the operation on them."""
        first = next(other for other in node.all_input_nodes if other in self.values)
        if shape_of(node)[:2] != shape_of(first)[:2]:
            return self._opaque(node, name_of(node.target))
        constants = np.full(source.ids.size, np.nan)
        if (known := np.isfinite(source.constants)).any():
            filled = np.where(known, source.constants, 0.0)
            found = self._run(node, {first: self._filled(filled, shape_of(first))}).double().movedim(1, 0).flatten(1)
            low, high = found.amin(1).numpy(), found.amax(1).numpy()
            uniform = known & (high - low <= 1e-7 * np.maximum(1.0, np.abs(high)))
            constants[uniform] = high[uniform]
            if self.training:
                constants[constants != 0] = np.nan
        return Value(source.ids, constants)

    def _flattened(self, node: fx.Node, source: Value) -> Value:
        self.flattened.append(node)
        times = shape_of(node)[1] // max(1, source.ids.size)
        return Value(np.repeat(source.ids, times), np.repeat(source.constants, times))

    def _paired(self, node: fx.Node, tensors: list[fx.Node]) -> Value | None:
        """A sum or a product of two tensors, channel by channel."""
        if not all(other in self.values for other in tensors):
            return None
        shapes = [shape_of(other) for other in tensors]
        if shapes[0][:2] != shapes[1][:2] or len(shapes[0]) != len(shapes[1]):
            return None
        a, b = (self.values[other] for other in tensors)
        for pair in zip(a.ids, b.ids, strict=True):
            self._classes.tie(np.array(pair))
        thin = (shapes[0][0], shapes[0][1], *([1] * (len(shapes[0]) - 2)))
        known = np.isfinite(a.constants) & np.isfinite(b.constants)
        given = {other: self._filled(np.where(known, self.values[other].constants, 1.0), thin) for other in tensors}
        found = self._run(node, given)[0].double().flatten(1)[:, 0].numpy()
        constants = np.where(known & np.isfinite(found), found, np.nan)
        if node.target in PRODUCTS:
            constants[(a.constants == 0) | (b.constants == 0)] = 0
        if self.training:
            constants[constants != 0] = np.nan
        return Value(a.ids, constants)

    def _joined(self, node: fx.Node) -> Value | None:
        """A concatenation of channels."""
        parts = node.args[0]
        dimension = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
        if not isinstance(parts, list | tuple) or dimension not in (1, 1 - len(shape_of(node))):
            return None
        if not all(isinstance(part, fx.Node) and part in self.values for part in parts):
            return None
        values = [self.values[part] for part in parts]  # type: ignore[index]
        return Value(np.concatenate([v.ids for v in values]), np.concatenate([v.constants for v in values]))

    def _padded(self, node: fx.Node, source: Value) -> Value | None:
        """Padding of positions, or of channels with a constant (He et al.'s option A)."""
        pads = padding_of(node)
        rank = len(shape_of(node.args[0]))
        if pads is None or any(pads[2 * (rank - 1) :]):
            return None
        if len(pads) <= 2 * (rank - 2) or not any(pads[2 * (rank - 2) :]):
            return self._each(node, source)
        if any(pads[: 2 * (rank - 2)]) or min(pads) < 0:
            return None
        given = dict(zip(("input", "pad", "mode", "value"), node.args, strict=False)) | dict(node.kwargs)
        fill = given.get("value") or 0.0
        if given.get("mode", "constant") != "constant" or not isinstance(fill, int | float):
            return None
        low, high = pads[2 * (rank - 2) :][:2]
        value = np.nan if self.training and fill else float(fill)
        ids = [self._classes.fresh(low), source.ids, self._classes.fresh(high)]
        return Value(np.concatenate(ids), np.pad(source.constants, (low, high), constant_values=value))

    def _is_safe_size(self, node: fx.Node) -> bool:
        """Whether what is asked for is no number of channels."""
        rank = len(shape_of(node.args[0]))
        if len(node.args) == 2 and node.args[1] != "shape":
            asked = node.args[1]
            return asked not in (1, 1 - rank) if node.target == "size" else asked in ("device", "dtype", "ndim")
        return all(
            user.target is operator.getitem and isinstance(user.args[1], int) and user.args[1] not in (1, 1 - rank)
            for user in node.users
        )

    def _opaque(self, node: fx.Node, what: str) -> Value | None:
        """Not understood: every channel it reads or writes is kept."""
        sources = [other for other in node.all_input_nodes if other in self.values]
        width = sum(self.values[other].ids.size for other in sources)
        for other in sources:
            self._fix_node(other)
        if width:
            self._unknown.setdefault(what, []).append(width)
        return self._held(node)

    @property
    def notes(self) -> list[str]:
        """Which operations were not understood."""
        return [
            f"{what} is not understood, so the {sum(widths)} channels it reads"
            + (f" at {len(widths)} places" if len(widths) > 1 else "")
            + " are kept"
            for what, widths in self._unknown.items()
        ]

    def _held(self, node: fx.Node) -> Value | None:
        shape = node.meta.get(SHAPE)
        if shape is None or len(shape) < 2:
            return None
        value = Value(self._classes.fresh(shape[1]), np.full(shape[1], np.nan))
        self._classes.fix(value.ids)
        return value

    def _filled(self, constants: ScoreArray, shape: tuple[int, ...]) -> Tensor:
        """A tensor of a shape, each channel its constant."""
        dtype = next((p.dtype for p in self.traced.module.parameters() if p.is_floating_point()), torch.float32)
        thin = torch.from_numpy(constants).to(dtype).reshape(1, -1, *([1] * (len(shape) - 2)))
        return thin.expand(shape).clone()

    def _run(self, node: fx.Node, given: dict[fx.Node, Tensor]) -> Tensor:
        """The operation of a node on other tensors."""

        def argument(other: fx.Node) -> Any:
            return given[other] if other in given else other.meta[PLAIN]

        args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), argument)
        target: Callable[..., Any]
        with torch.no_grad():
            if node.op == "call_module":
                target = self.traced.module.get_submodule(str(node.target))
                return target(*args, **kwargs)  # type: ignore[no-any-return]
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)  # type: ignore[no-any-return]
            target = node.target  # type: ignore[assignment]
            return target(*args, **kwargs)  # type: ignore[no-any-return]

    # -- zeros --------------------------------------------------------------------------------------------------------

    def _zero(self, name: str, tensor: Tensor) -> BoolArray:
        """Where a parameter is zero; for training, where it is held at zero."""
        if self.training:
            return self.zeros.get(name, np.zeros(tuple(tensor.shape), dtype=bool))
        return np.asarray(tensor.detach().cpu().numpy() == 0, dtype=bool)

    def _shared_parameters(self) -> set[str]:
        """Layers whose parameters others use as well, or the graph by itself."""
        users: dict[int, set[str]] = {}
        for name, part in self.traced.module.named_modules(remove_duplicate=False):
            for parameter in part.parameters(recurse=False):
                users.setdefault(id(parameter), set()).add(name)
        for node in self.traced.graph.nodes:
            if node.op == "get_attr":
                found: Any = self.traced.module
                for step in str(node.target).split("."):
                    found = getattr(found, step)
                users.setdefault(id(found), set()).add(f"the graph's {node.target}")
        return {name for names in users.values() if len(names) > 1 for name in names}

    # -- ties ---------------------------------------------------------------------------------------------------------

    def _fix_node(self, node: fx.Node) -> None:
        if node in self.values:
            self._classes.fix(self.values[node].ids)

    def _tie_repeated(self) -> None:
        """A layer that is called twice is cut once."""
        calls: dict[object, list[fx.Node]] = {}
        for node in (*(mixer.node for mixer in self.mixers), *self.scales):
            calls.setdefault(node.target, []).append(node)
        for nodes in calls.values():
            for other in nodes[1:]:
                for a, b in ((nodes[0], other), (nodes[0].args[0], other.args[0])):
                    for pair in zip(self.values[a].ids, self.values[b].ids, strict=True):  # type: ignore[index]
                        self._classes.tie(np.array(pair))


def share_of(part: nn.Module, inputs: IntArray, constants: ScoreArray, width: int) -> ScoreArray:
    """What constant inputs add to each output ``(O,)``: constant times the sum of the weights that read it."""
    weight: Tensor = part.weight  # type: ignore[assignment]
    whole = weight.shape[1] == width
    weight = weight.detach()[:, inputs] if whole else weight.detach()
    sums = _array(weight.reshape(*weight.shape[:2], -1).sum(2))  # (O, inputs), or (O, I/g)
    if whole:
        return np.asarray(sums @ constants[inputs])
    full = np.zeros((len(sums), width))
    groups = width // sums.shape[1]
    per_group = len(sums) // groups
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        full[rows, group * sums.shape[1] : (group + 1) * sums.shape[1]] = sums[rows]
    return np.asarray(full[:, inputs] @ constants[inputs])


def _array(tensor: Tensor) -> ScoreArray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
