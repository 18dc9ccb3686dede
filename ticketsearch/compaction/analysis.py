"""What a graph does with its channels: identities and constants, forwards from the inputs.

The channels of a tensor lie along one of its axes: axis 1 behind a convolution, the last one behind a linear layer. A
channel is an identity; operations that treat each channel by itself hand identities on (``rules``), sums and products
tie those of their operands together, and only convolutions and linear layers, the *mixers*, read one channel to write
another (``mixing``). Which can go is :mod:`ticketsearch.compaction.classes`'s to say.

Whatever is not understood keeps the channels it reads and writes: an unknown operation, and a known one where its rule
finds anything unexpected.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx, nn

from ticketsearch.arrays import IntArray
from ticketsearch.compaction import rules
from ticketsearch.compaction.classes import Value
from ticketsearch.compaction.facts import Facts, NotUnderstood
from ticketsearch.compaction.mixing import mix, normalise
from ticketsearch.compaction.operations import (
    CONVOLUTIONS,
    EACH_FUNCTION,
    EACH_METHOD,
    EACH_MODULE,
    JOINTS,
    MOVES,
    NORMALISATIONS,
    PAIRS,
    POOLS,
    REDUCTIONS,
    SIZES,
    SUMS,
    TRANSPOSED,
    has_sizes,
    name_of,
    shape_of,
)
from ticketsearch.compaction.sharing import shared_layers
from ticketsearch.compaction.sizes import is_harmless, needs_no_other
from ticketsearch.compaction.tracing import DTYPE, PLAIN, SHAPE, UNSAFE


class Analysis(Facts):
    """Rules applied to each node of a graph, from its inputs to its outputs."""

    def run(self) -> Analysis:
        """Analyse; returns itself."""
        graph = self.traced.graph
        calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
        self.repeated = {target for target, count in calls.items() if count > 1}
        self._shared = shared_layers(self.traced)
        for node in graph.nodes:
            value = self._value_of(node)
            if value is not None and node.meta.get(UNSAFE):
                value = replace(value, constants=np.full(value.ids.size, np.nan), held=True)
                self.classes.fix(value.ids)
            if value is not None:
                self.values[node] = value
        for node in graph.nodes:
            if self._asks_for_size(node) and not is_harmless(self, node):
                self.keep(node.args[0], name_of(node))
        self._tie_repeated(calls)
        self.classes.spread(self.mixers, [value.ids for value in self.values.values()])
        return self

    def zero_branch(self) -> tuple[fx.Node, fx.Node] | None:
        """A sum and its operand that is all there is: the other one is zero throughout."""
        for node, value in self.values.items():
            if node.target not in SUMS or len(node.args) != 2 or node.kwargs or node.meta.get(UNSAFE):
                continue
            for zero, other in (node.args, node.args[::-1]):
                if isinstance(zero, fx.Node) and isinstance(other, fx.Node) and zero in self.values:
                    same = all(other.meta.get(key) == node.meta[key] for key in (SHAPE, DTYPE)) and other in self.values
                    if same and zero is not other and not self.values[zero].constants.any() and value.ids.size:
                        return node, other
        return None

    # -- forwards -----------------------------------------------------------------------------------------------------

    def _value_of(self, node: fx.Node) -> Value | None:
        """What a rule says; if there is none, or it finds something unexpected, the channels are kept."""
        before = len(self.mixers), len(self.scales)
        try:
            value = self._visit(node)
            if value is None or shape_of(node)[value.axis] == value.ids.size == value.constants.size:
                return value
        except Exception:  # of a rule, or of an operation that is run on constants; NotUnderstood is the usual one
            pass
        del self.mixers[before[0] :], self.scales[before[1] :]
        self.moved.pop(node, None)
        return self._opaque(node)

    def _visit(self, node: fx.Node) -> Value | None:
        if node.op == "placeholder":
            return self.held(node)
        if node.op == "output":
            for source in node.all_input_nodes:
                if source in self.values:
                    self.classes.fix(self.values[source].ids)
            return None
        if node.op == "get_attr":
            return None
        if node.op == "call_module":
            return self._module(node)
        return self._function(node)

    def _module(self, node: fx.Node) -> Value:
        part = self.traced.module.get_submodule(str(node.target))
        own = part._forward_hooks or part._forward_pre_hooks or "forward" in part.__dict__
        source = self.values.get(node.args[0]) if len(node.args) == 1 else None  # type: ignore[arg-type]
        if own or str(node.target) in self._shared or source is None or node.kwargs:
            raise NotUnderstood
        rank = len(shape_of(node.args[0]))
        if type(part) is nn.Linear:
            return mix(self, node, part, rank - 1)
        if type(part) in CONVOLUTIONS and rank == len(part.kernel_size) + 2:  # type: ignore[arg-type]
            return mix(self, node, part, 1)
        if type(part) in NORMALISATIONS:
            return normalise(self, node, part)
        if type(part) in EACH_MODULE or (type(part) is nn.PReLU and part.num_parameters == 1):
            return rules.each(self, node, source)
        if type(part) in POOLS:
            return self._pooled(node, type(part))
        if type(part) is nn.Flatten:
            return rules.moved(self, node, source)
        raise NotUnderstood

    def _function(self, node: fx.Node) -> Value | None:
        target, tensors = node.target, [other for other in node.all_input_nodes if PLAIN not in other.meta]
        if self._asks_for_size(node) or (PLAIN in node.meta and not any(other in self.values for other in tensors)):
            return None
        if target in JOINTS:
            return rules.joined(self, node)
        if target in PAIRS and len(tensors) == 2:
            return rules.paired(self, node, tensors)
        if target == "expand_as" and len(tensors) == 2:
            return rules.spread_as(self, node, tensors)
        if len(tensors) != 1 or tensors[0] not in self.values:
            raise NotUnderstood
        source = self.values[tensors[0]]
        if target in PAIRS or ((target in EACH_FUNCTION or target in EACH_METHOD) and tensors[0] is node.args[0]):
            return rules.each(self, node, source)
        if tensors[0] is not node.args[0]:
            raise NotUnderstood
        if target in POOLS:
            return self._pooled(node, target)
        if target in REDUCTIONS:
            return rules.reduced(self, node, source)
        if target in MOVES or (target is getattr and node.args[1] in TRANSPOSED):
            value = rules.moved(self, node, source)
            if node in self.moved and has_sizes(node) and not needs_no_other(self, node, value.axis):
                raise NotUnderstood
            return value
        if name_of(node) == "pad":
            return rules.padded(self, node, source)
        raise NotUnderstood

    def _pooled(self, node: fx.Node, kind: Any) -> Value:
        rank, positions = len(shape_of(node.args[0])), POOLS[kind]
        if rank < 3 or (positions is not None and rank != positions + 2):
            raise NotUnderstood
        return rules.each(self, node, self.on(node.args[0], 1, name_of(node)))

    def _asks_for_size(self, node: fx.Node) -> bool:
        """Whether a node is a number or a shape, asked of a tensor whose channels may go."""
        first = node.args[0] if node.args else None
        return PLAIN in node.meta and node.target in SIZES and isinstance(first, fx.Node) and first in self.values

    def _opaque(self, node: fx.Node) -> Value | None:
        """Not understood: every channel it reads or writes is kept."""
        what = name_of(node)
        if node.op == "call_module":
            what = type(self.traced.module.get_submodule(str(node.target))).__name__
        sources = [other for other in node.all_input_nodes if other in self.values]
        if width := sum(self.values[other].ids.size for other in sources if not self.values[other].held):
            self.unknown.setdefault(what, []).append(width)
        for other in sources:
            self.keep(other)
        return self.held(node)

    # -- ties ---------------------------------------------------------------------------------------------------------

    def _tie_repeated(self, calls: Counter[Any]) -> None:
        """A layer that is called twice is cut once, and not at all if one of its calls is not understood."""
        found: dict[Any, list[tuple[IntArray, IntArray]]] = {}
        for mixer in self.mixers:
            found.setdefault(mixer.node.target, []).append((mixer.source.ids, mixer.result.ids))
        for node in self.scales:
            ids = self.values[node].ids
            found.setdefault(node.target, []).append((ids, ids))
        for target, pairs in found.items():
            for source, result in pairs if len(pairs) < calls[target] else ():
                self.classes.fix(source)
                self.classes.fix(result)
            for other in pairs[1:]:
                for ours, theirs in zip(pairs[0], other, strict=True):
                    for pair in zip(ours, theirs, strict=True):
                        self.classes.tie(np.array(pair))
