"""Sizes that a network asks for: harmless where they are no number of channels, or only say what a view must be.

A number of channels is another one once channels are cut. In ``y.view(b, c, 1, 1)`` the cut replaces ``c``; anything
else that is computed from it would go wrong.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from torch import fx

from ticketsearch.compaction.operations import ARITHMETIC, SPREADS, has_sizes, shape_of, sizes_of
from ticketsearch.compaction.tracing import PLAIN

if TYPE_CHECKING:
    from ticketsearch.compaction.facts import Facts

_NO_SIZES = ("device", "dtype", "ndim", "layout", "is_cuda", "requires_grad")


def is_harmless(facts: Facts, node: fx.Node) -> bool:
    """Whether a call that asks a tensor for its size, and what is computed from it, may see fewer channels."""
    source: Any = node.args[0]
    rank, axis = len(shape_of(source)), facts.values[source].axis
    if node.target == "dim":
        return True
    if len(node.args) == 2 and node.args[1] != "shape":
        asked: Any = node.args[1]
        if node.target is getattr:
            return asked in _NO_SIZES
        return isinstance(asked, int) and (asked % rank != axis or _only_says_views(facts, node))
    for user in node.users:
        asked = user.args[1] if user.target is operator.getitem else None
        if isinstance(asked, slice) and axis not in range(rank)[asked]:
            continue
        if not isinstance(asked, int) or (asked % rank == axis and not _only_says_views(facts, user)):
            return False
    return True


def needs_no_other(facts: Facts, node: fx.Node, axis: int) -> bool:
    """Whether the size of a view along an axis can be replaced by a number, or by -1."""
    sizes = sizes_of(node)
    if sizes is None:
        return False
    others = [one for place, one in enumerate(sizes) if place != axis]
    return isinstance(sizes[axis], int) or node.target in SPREADS or -1 not in others or _counts(facts, sizes[axis])


def size_left(node: fx.Node, axis: int, count: int) -> list[Any]:
    """The sizes of a view whose axis now has ``count`` channels."""
    sizes = sizes_of(node)
    assert sizes is not None  # it was understood
    if sizes[axis] != -1:
        others = [one for place, one in enumerate(sizes) if place != axis]
        sizes[axis] = count if -1 in others and node.target not in SPREADS else -1
    return sizes


def _only_says_views(facts: Facts, node: fx.Node) -> bool:
    """Whether a number of channels is used as the size of a view's channels, and for nothing else."""
    for user in node.users:
        if user in facts.moved and has_sizes(user):
            sizes = sizes_of(user) or []
            if any(one is node and place != facts.moved[user] for place, one in enumerate(sizes)):
                return False
        elif PLAIN not in user.meta or user.target not in ARITHMETIC or not _only_says_views(facts, user):
            return False
    return True


def _counts(facts: Facts, node: Any) -> bool:
    """Whether a number is computed from numbers of channels alone, and so the same for any number of examples."""
    if not isinstance(node, fx.Node):
        return isinstance(node, int)
    if node.target in ARITHMETIC and PLAIN in node.meta:
        return all(_counts(facts, one) for one in node.args)
    source, asked = (*node.args, None)[:2]
    if node.target is operator.getitem and isinstance(source, fx.Node) and PLAIN in source.meta:
        source = source.args[0] if source.args else None
    value = facts.values.get(source) if isinstance(source, fx.Node) else None
    return value is not None and isinstance(asked, int) and asked % len(shape_of(source)) == value.axis
