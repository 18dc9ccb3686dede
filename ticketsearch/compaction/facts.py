"""What is known of a graph's channels while it is analysed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor, fx

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.compaction.classes import Classes, Mixer, Value
from ticketsearch.compaction.tracing import SHAPE, Traced


class NotUnderstood(Exception):
    """An operation is used in a way that no rule covers."""


@dataclass(eq=False)
class Facts:
    """What is known of a graph so far, and what rules may ask and say.

    Attributes:
        values: of every node whose tensor has channels.
        mixers: in order.
        scales: calls of batch normalisation, in order.
        moved: calls that rearrange a tensor -> the axis of the channels in their result.
        repeated: modules that are called more than once.
        classes: identities of channels.
        unknown: operations that were not understood -> the channels that each keeps.
    """

    traced: Traced
    zeros: dict[str, BoolArray]
    training: bool
    values: dict[fx.Node, Value] = field(default_factory=dict)
    mixers: list[Mixer] = field(default_factory=list)
    scales: list[fx.Node] = field(default_factory=list)
    moved: dict[fx.Node, int] = field(default_factory=dict)
    repeated: set[object] = field(default_factory=set)
    classes: Classes = field(default_factory=Classes)
    unknown: dict[str, list[int]] = field(default_factory=dict)

    def keeps(self, ids: IntArray) -> BoolArray:
        """Whether the channels stay, ``(C,)``."""
        return self.classes.keeps(ids)

    @property
    def notes(self) -> list[str]:
        """Which operations were not understood."""
        return [
            f"{what} is not understood, so the {sum(widths)} channels it reads"
            + (f" at {len(widths)} places" if len(widths) > 1 else "")
            + " are kept"
            for what, widths in self.unknown.items()
        ]

    def on(self, node: Any, axis: int, what: str) -> Value:
        """The channels of a tensor along an axis; they are kept if they lie along another one."""
        if node not in self.values:
            raise NotUnderstood
        value = self.values[node]
        if value.axis == axis:
            return value
        self.keep(node, what)
        kept = self.held(node, axis)
        if kept is None:
            raise NotUnderstood
        return kept

    def held(self, node: fx.Node, axis: int = 1) -> Value | None:
        """Channels of a node's tensor that stay, ``None`` if it has none along an axis."""
        shape = node.meta.get(SHAPE)
        if shape is None or len(shape) <= max(1, axis):
            return None
        value = Value(self.classes.fresh(shape[axis]), np.full(shape[axis], np.nan), axis, held=True)
        self.classes.fix(value.ids)
        return value

    def zero(self, name: str, tensor: Tensor) -> BoolArray:
        """Where a parameter is zero; for training, where it is held at zero."""
        if self.training:
            return self.zeros.get(name, np.zeros(tuple(tensor.shape), dtype=bool))
        return np.asarray((tensor.detach() == 0).cpu().numpy(), dtype=bool)

    def keep(self, node: Any, what: str | None = None) -> None:
        """Keep the channels of a node's tensor from here on, and say for what."""
        value = self.values[node]
        if what and not value.held:
            self.unknown.setdefault(what, []).append(value.ids.size)
        self.classes.fix(value.ids)
        self.values[node] = replace(value, held=True)
