"""Which channels are dead: classes of channels that are tied together, and life, backwards to a fixed point.

Channels are tied by union-find: those of one class stay or go together. A class can be removed exactly if every mixer
that reads one of it has zero weights there in all rows that live, or finds a constant there which it can take into its
bias. Life spreads backwards from what is fixed, like the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import fx

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray


@dataclass(frozen=True, eq=False)
class Value:
    """The channels of a tensor.

    Attributes:
        ids: their identities, ``(C,)``.
        constants: ``(C,)``, NaN where they vary.
        axis: of the tensor, along which they lie.
        held: whether all of them stay, whatever becomes of others; then any axis may pass for that of the channels.
    """

    ids: IntArray
    constants: ScoreArray
    axis: int = 1
    held: bool = False


@dataclass(frozen=True, eq=False)
class Mixer:
    """A call of a convolution or linear layer: ``reads`` is ``(O, C)``, where a weight is not zero."""

    node: fx.Node
    source: Value
    result: Value
    reads: BoolArray
    folds: bool

    def needed(self, outputs: BoolArray) -> BoolArray:
        """Inputs ``(C,)`` that it cannot do without, for those of its outputs ``(O,)``."""
        read = np.asarray(self.reads[outputs].any(0), dtype=bool)
        constants = self.source.constants
        dispensable = (constants == 0) | (np.isfinite(constants) & self.folds)
        return np.asarray(read & ~dispensable, dtype=bool)


class Classes:
    """Identities of channels: made, tied, fixed; then it is found which of them live."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._fixed: list[IntArray] = []

    def fresh(self, count: int) -> IntArray:
        """New identities, ``(count,)``."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def tie(self, ids: IntArray) -> None:
        """These stay or go together."""
        root = self._find(int(ids[0]))
        for one in ids[1:]:
            self._parents[self._find(int(one))] = root

    def fix(self, ids: IntArray) -> None:
        """These stay."""
        self._fixed.append(ids)

    def keeps(self, ids: IntArray) -> BoolArray:
        """Whether they stay, once life has spread; of the shape of ``ids``."""
        return self._live[self._roots[ids]]

    def spread(self, mixers: Sequence[Mixer], tensors: Sequence[IntArray]) -> None:
        """Life, from what is fixed through what mixers read, until nothing changes; every tensor keeps a channel."""
        self._roots = np.array([self._find(one) for one in range(len(self._parents))], dtype=np.int64)
        self._live = np.zeros(len(self._parents), dtype=bool)
        for ids in self._fixed:
            self._enliven(ids)
        writing = dict.fromkeys(mixers, 0)  # outputs that lived when a mixer was last looked at
        while True:
            before = int(self._live.sum())
            for mixer in reversed(mixers):
                outputs = self.keeps(mixer.result.ids)
                if (living := int(outputs.sum())) > writing[mixer]:
                    self._enliven(mixer.source.ids[mixer.needed(outputs)])
                    writing[mixer] = living
            if int(self._live.sum()) > before:
                continue
            empty = next((ids for ids in tensors if ids.size and not self.keeps(ids).any()), None)
            if empty is None:
                return
            self._enliven(empty[:1])

    def _enliven(self, ids: IntArray) -> None:
        self._live[self._roots[ids]] = True

    def _find(self, one: int) -> int:
        parents = self._parents
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one
