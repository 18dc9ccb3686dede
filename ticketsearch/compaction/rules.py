"""Operations that hand channels on: what becomes of their identities, of their axis and of their constants.

Each rule gives the value of a node, or raises ``NotUnderstood``: then the channels it reads are kept.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from torch import fx

from ticketsearch.arrays import ScoreArray
from ticketsearch.compaction.classes import Value
from ticketsearch.compaction.facts import Facts, NotUnderstood
from ticketsearch.compaction.operations import (
    PRODUCTS,
    SQUEEZES,
    has_sizes,
    name_of,
    padding_of,
    reduced_dimensions,
    shape_of,
    sizes_of,
)
from ticketsearch.compaction.running import filled, labels, labels_along, run_on


def each(facts: Facts, node: fx.Node, source: Value, axis: int | None = None) -> Value:
    """Each channel by itself: what becomes of constants is found by running the operation on them.

    Args:
        facts: what is known.
        node: the operation, which reads one tensor.
        source: the channels of that tensor.
        axis: of the channels in the result; ``None`` = as before.
    """
    first = next(other for other in node.all_input_nodes if other in facts.values)
    before, after = shape_of(first), shape_of(node)
    if axis is None:
        axis = source.axis
        if len(before) != len(after):
            raise NotUnderstood
    if axis >= len(after) or after[axis] != source.ids.size:
        raise NotUnderstood
    constants = np.full(source.ids.size, np.nan)
    if (known := np.isfinite(source.constants)).any():
        given = filled(np.where(known, source.constants, 0.0), first, before, source.axis)
        found = run_on(facts.traced.module, node, {first: given}).double().movedim(axis, 0).flatten(1)
        low, high = found.amin(1).numpy(), found.amax(1).numpy()
        uniform = known & (high - low <= 1e-7 * np.maximum(1.0, np.abs(high)))
        constants[uniform] = high[uniform]
    return Value(source.ids, _of_mode(facts, constants), axis, source.held)


def reduced(facts: Facts, node: fx.Node, source: Value) -> Value:
    """A mean, a sum or an extreme over other axes than that of the channels."""
    before, after = shape_of(node.args[0]), shape_of(node)
    dimensions = reduced_dimensions(node, len(before))
    if dimensions is None or source.axis in dimensions:
        raise NotUnderstood
    gone = sum(one < source.axis for one in dimensions) if len(after) < len(before) else 0
    return each(facts, node, source, source.axis - gone)


def moved(facts: Facts, node: fx.Node, source: Value) -> Value:
    """A rearrangement: channels are followed by labels, so that a copy of one is the same channel.

    Flattening makes several copies of each; a transposition moves the axis; a view that splits channels, or an index
    that chooses among them, is not understood.
    """
    first: Any = node.args[0]
    before = shape_of(first)
    if source.held:
        held = facts.held(node)
        if held is None:
            raise NotUnderstood
        return held
    if source.ids.size < 2 or (has_sizes(node) and sizes_of(node) is None):
        raise NotUnderstood
    if node.target is operator.getitem and not _is_position(node.args[1]):
        raise NotUnderstood
    if node.target in SQUEEZES:  # a channel that is left alone must not be squeezed away
        dimensions = reduced_dimensions(node, len(before))
        if dimensions is None or source.axis in dimensions:
            raise NotUnderstood
    found = labels_along(run_on(facts.traced.module, node, {first: labels(source.ids.size, before, source.axis)}))
    if found is None:
        raise NotUnderstood
    axis, order = found[0], found[1].numpy()
    if not np.array_equal(np.unique(order), np.arange(source.ids.size)):  # an index that leaves some out
        raise NotUnderstood
    facts.moved[node] = axis
    return Value(source.ids[order], source.constants[order], axis)


def paired(facts: Facts, node: fx.Node, tensors: list[fx.Node]) -> Value:
    """A sum or a product of two tensors, channel by channel."""
    shapes = [shape_of(other) for other in tensors]
    if not all(other in facts.values for other in tensors) or len(shapes[0]) != len(shapes[1]):
        raise NotUnderstood
    axis = _common_axis(facts, tensors)
    a, b = (facts.on(other, axis, name_of(node)) for other in tensors)
    if a.ids.size != b.ids.size:
        return _gated(facts, node, a, b)
    for pair in zip(a.ids, b.ids, strict=True):
        facts.classes.tie(np.array(pair))
    thin = tuple(a.ids.size if one == axis else 1 for one in range(len(shapes[0])))
    known = np.isfinite(a.constants) & np.isfinite(b.constants)
    given = {
        other: filled(np.where(known, value.constants, 1.0), other, thin, axis)
        for other, value in zip(tensors, (a, b), strict=True)
    }
    found = run_on(facts.traced.module, node, given).double().flatten().numpy()
    constants = np.where(known & np.isfinite(found), found, np.nan)
    if node.target in PRODUCTS:
        constants[(a.constants == 0) | (b.constants == 0)] = 0
    return Value(a.ids, _of_mode(facts, constants), axis, a.held or b.held)


def _gated(facts: Facts, node: fx.Node, a: Value, b: Value) -> Value:
    """One channel, added to all channels of the other tensor or multiplied by them: it stays."""
    one, many = (a, b) if a.ids.size == 1 else (b, a)
    if one.ids.size != 1 or shape_of(node)[many.axis] != many.ids.size:
        raise NotUnderstood
    facts.classes.fix(one.ids)
    silent = (many.constants == 0) & (node.target in PRODUCTS)
    return Value(many.ids, np.where(silent, 0.0, np.nan), many.axis, many.held)


def joined(facts: Facts, node: fx.Node) -> Value:
    """A concatenation: of channels, or of positions, whose channels then stay or go together."""
    parts: Any = node.args[0]
    given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    if not isinstance(parts, list | tuple) or not isinstance(given, int):
        raise NotUnderstood
    if not parts or not all(isinstance(part, fx.Node) and part in facts.values for part in parts):
        raise NotUnderstood
    axis = _common_axis(facts, list(parts))
    values = [facts.on(part, axis, name_of(node)) for part in parts]
    if given % len(shape_of(node)) == axis:
        ids, constants = (np.concatenate([getattr(one, key) for one in values]) for key in ("ids", "constants"))
        return Value(ids, constants, axis, all(one.held for one in values))
    if len({one.ids.size for one in values}) > 1:
        raise NotUnderstood
    for same in zip(*(one.ids for one in values), strict=True):
        facts.classes.tie(np.array(same))
    constants = values[0].constants
    for one in values[1:]:
        constants = np.where(constants == one.constants, constants, np.nan)
    return Value(values[0].ids, constants, axis, any(one.held for one in values))


def spread_as(facts: Facts, node: fx.Node, tensors: list[fx.Node]) -> Value:
    """``expand_as``: the channels of the first tensor, as many as those of the second."""
    small, large = tensors
    if small not in facts.values or large not in facts.values or small is not node.args[0]:
        raise NotUnderstood
    value = facts.values[small]
    if len(shape_of(small)) != len(shape_of(large)):
        raise NotUnderstood
    other = facts.on(large, value.axis, name_of(node))
    if other.ids.size != value.ids.size:
        raise NotUnderstood
    for pair in zip(value.ids, other.ids, strict=True):
        facts.classes.tie(np.array(pair))
    return Value(value.ids, value.constants, value.axis, value.held)


def padded(facts: Facts, node: fx.Node, source: Value) -> Value:
    """Padding of positions, or of channels with a constant (He et al.'s option A)."""
    pads, rank = padding_of(node), len(shape_of(node.args[0]))
    if pads is None:
        raise NotUnderstood
    pads = pads + [0] * (2 * rank - len(pads))
    place = 2 * (rank - 1 - source.axis)
    low, high = pads[place : place + 2]
    if not low and not high:
        return each(facts, node, source)
    given = dict(zip(("input", "pad", "mode", "value"), node.args, strict=False)) | dict(node.kwargs)
    fill: Any = given.get("value") or 0.0
    if any(pads[:place]) or any(pads[place + 2 :]) or min(low, high) < 0:
        raise NotUnderstood
    if given.get("mode", "constant") != "constant" or not isinstance(fill, int | float):
        raise NotUnderstood
    value = np.nan if facts.training and fill else float(fill)
    ids = [facts.classes.fresh(low), source.ids, facts.classes.fresh(high)]
    constants = np.pad(source.constants, (low, high), constant_values=value)
    return Value(np.concatenate(ids), constants, source.axis)


def _common_axis(facts: Facts, nodes: list[fx.Node]) -> int:
    """The axis of the first tensor whose channels may yet go; any of the others takes it over."""
    values = [facts.values[node] for node in nodes]
    return next((one.axis for one in values if not one.held), values[0].axis)


def _of_mode(facts: Facts, constants: ScoreArray) -> ScoreArray:
    """In training, only zero is sure to stay what it is."""
    return np.where(constants == 0, constants, np.nan) if facts.training else constants


def _is_position(index: Any) -> bool:
    """Whether an index names positions by slices and numbers: it then says the same of a smaller tensor."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(one is None or one is Ellipsis or isinstance(one, slice | int) for one in parts)
