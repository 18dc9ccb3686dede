"""Networks that short trainings left behind, from which later ones go on: inherited weights.

A child starts from the trained weights of its parent wherever both keep a weight, and from the initial ones elsewhere.
Its parent is, of the networks trained last, the one that has most units in common with it; of two such the newer one.
So every searcher can inherit, and none has to say who descends from whom.

Weights are held for those that can still be parents, and nowhere else: what a resumed or a verified run needs of older
networks is trained once more, from their descent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units

POOL = 64
"""Networks that may become parents: the last ones trained."""


class Order(NamedTuple):
    """Which data order a short training sees.

    Attributes:
        steps: of the training.
        call: the number of the call whose own order it is; 0 = the one that all calls share.
        repeat: which of the repeated trainings of a mask.
    """

    steps: int
    call: int
    repeat: int


@dataclass(eq=False)
class Network:
    """A network after a short training, as far as it is known.

    Attributes:
        bits: its mask of units, packed.
        order: what it was trained on.
        parent: whose weights it started from; ``None`` = the initial ones.
        kept: its trained weights, those that its mask keeps; ``None`` = not held.
        rest: its other parameters, ``(R,)``.
    """

    bits: npt.NDArray[np.uint8]
    order: Order
    parent: Network | None
    kept: FloatArray | None = None
    rest: FloatArray | None = None

    @classmethod
    def untrained(cls, mask: BoolArray, order: Order, parent: Network | None) -> Network:
        """What a training of a mask ``(U,)`` will leave."""
        return cls(np.packbits(mask), order, parent)

    def mask(self, size: int) -> BoolArray:
        """Of ``size`` units."""
        return np.unpackbits(self.bits, count=size).astype(bool)

    def forget(self) -> None:
        """Hold no weights any more."""
        self.kept = self.rest = None


class Descent:
    """The networks that may become parents, in the order in which they were trained."""

    def __init__(self, units: Units, initial: Weights) -> None:
        self._units, self._initial = units, initial
        self._pool: list[Network] = []

    def __contains__(self, network: Network) -> bool:
        return any(network is one for one in self._pool)

    def parents_of(self, masks: BoolArray) -> list[Network | None]:
        """A parent for each of ``(P, U)`` masks; ``None`` before anything was trained."""
        if not self._pool:
            return [None] * len(masks)
        newest_first = self._pool[::-1]
        kept = np.stack([network.mask(self._units.space.size) for network in newest_first])
        return [newest_first[int(np.argmax(kept[:, np.flatnonzero(mask)].sum(1)))] for mask in masks]

    def add(self, networks: Iterable[Network]) -> None:
        """Networks that were trained; the oldest make room for them."""
        pool = [*self._pool, *networks]
        self._pool = pool[-POOL:]
        for network in pool[:-POOL]:
            network.forget()

    def starts_of(self, networks: Sequence[Network]) -> Weights:
        """Start weights ``(P, D)``, ``(P, R)``: their parents', which must be held, and the initial ones."""
        vectors = np.tile(self._initial.vector, (len(networks), 1))
        rests = np.tile(self._initial.rest, (len(networks), 1))
        for vector, rest, network in zip(vectors, rests, networks, strict=True):
            parent = network.parent
            if parent is not None:
                mask = parent.mask(self._units.space.size)[None]
                assert parent.kept is not None
                assert parent.rest is not None
                vector[self._units.expand(mask)[0]] = parent.kept
                owned = self._units.rest_mask(mask)
                rest[:] = parent.rest if owned is None else np.where(owned[0], parent.rest, rest)
        return Weights(vectors, rests)

    def masks_of(self, networks: Sequence[Network]) -> BoolArray:
        """``(P, U)``."""
        return np.stack([network.mask(self._units.space.size) for network in networks])

    def hold(self, networks: Sequence[Network], masks: BoolArray, trained: Weights) -> None:
        """Keep what a training left, ``(P, D)`` and ``(P, R)``."""
        for network, mask, vector, rest in zip(
            networks, self._units.expand(masks), trained.vector, trained.rest, strict=True
        ):
            network.kept, network.rest = vector[mask], rest.copy()


def unheld(networks: Iterable[Network | None]) -> list[list[Network]]:
    """What has to be trained before these are held, themselves included: groups on one data order, ancestors first."""
    depths: dict[int, tuple[int, Network]] = {}
    for network in networks:
        line: list[Network] = []
        while network is not None and network.kept is None and id(network) not in depths:
            line.append(network)
            network = network.parent
        depth = depths[id(network)][0] if network is not None and id(network) in depths else 0
        for ancestor in reversed(line):
            depth += 1
            depths[id(ancestor)] = depth, ancestor
    groups: dict[tuple[int, Order], list[Network]] = {}
    for depth, network in depths.values():
        groups.setdefault((depth, network.order), []).append(network)
    return [groups[key] for key in sorted(groups)]
