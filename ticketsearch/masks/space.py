"""Mask spaces and masks: D prunable weights as one vector, exact counts, packed bits.

A mask is a boolean array of shape ``(D,)``, a population ``(P, D)``; True = kept. *Sparsity is the
fraction pruned.* Every function that keeps weights keeps exactly as many as asked, and breaks ties
by the lower index, so that two machines agree on every bit.

A bit need not be a weight: :mod:`ticketsearch.masks.units` lays out spaces of channels and of blocks N:M. Those have a
*floor*, the bits that every group keeps at least: one channel of each layer, N of each M weights. What chooses or
changes masks here respects it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks.bits import swap, top_n


@dataclass(frozen=True)
class Layer:
    """One prunable tensor: its name, shape, first position in the vector, and uses of a weight per example."""

    name: str
    shape: tuple[int, ...]
    offset: int
    uses: int = 1

    @cached_property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @cached_property
    def span(self) -> slice:
        """Where the layer lies in the vector."""
        return slice(self.offset, self.offset + self.size)


@dataclass(frozen=True)
class MaskSpace:
    """What of a network can be pruned, layer after layer, as one vector of ``size`` bits.

    Attributes:
        layers: tensors of weights, or the channels of each layer.
        unit: what a bit stands for: ``weight`` or ``channel``.
        floor: bits that every group keeps at least.
        block: consecutive bits of a group; ``None`` = a layer is a group.
        output: whether the last layer is the network's output layer; not if that one is left dense.
    """

    layers: tuple[Layer, ...]
    unit: str = "weight"
    floor: int = 0
    block: int | None = None
    output: bool = True

    @classmethod
    def from_shapes(
        cls, shapes: dict[str, tuple[int, ...]], uses: dict[str, int] | None = None, *, output: bool = True
    ) -> MaskSpace:
        """Lay tensors out one after another, in the order given."""
        layers, offset = [], 0
        for name, shape in shapes.items():
            layers.append(Layer(name, tuple(shape), offset, (uses or {}).get(name, 1)))
            offset += layers[-1].size
        return cls(tuple(layers), output=output)

    def read_only(self) -> MaskSpace:
        """A copy whose arrays cannot be assigned to."""
        own = replace(self, layers=tuple(replace(layer) for layer in self.layers))
        for array in (own.sizes, own.floors, own._uses):
            array.flags.writeable = False
        return own

    @cached_property
    def size(self) -> int:
        """D, the number of prunable weights."""
        return sum(layer.size for layer in self.layers)

    @cached_property
    def sizes(self) -> IntArray:
        """Weights per layer, ``(L,)``."""
        return np.array([layer.size for layer in self.layers], dtype=np.int64)

    def split(self, vector: npt.NDArray[np.generic]) -> Iterator[tuple[Layer, npt.NDArray[np.generic]]]:
        """Views of ``(..., D)`` as ``(..., *layer.shape)``, layer by layer."""
        for layer in self.layers:
            yield layer, vector[..., layer.span].reshape(*vector.shape[:-1], *layer.shape)

    def counts(self, masks: BoolArray) -> IntArray:
        """Kept weights per layer, ``(..., D) -> (..., L)``."""
        rows = masks.reshape(-1, self.size)
        counts = [[np.count_nonzero(row[layer.span]) for layer in self.layers] for row in rows]
        return np.array(counts, dtype=np.int64).reshape(*masks.shape[:-1], len(self.layers))

    def n_kept(self, sparsity: float) -> int:
        """How many units a mask of this sparsity keeps; every layer must be able to keep one.

        Raises:
            InvalidValue: sparsity outside [0, 1), so high that a layer would be empty at equal density or groups would
                fall below their floor, or not the one that blocks N:M have.
        """
        if not 0 <= sparsity < 1:
            raise InvalidValue(f"sparsity {sparsity} is outside [0, 1); it is the fraction pruned, 0.9 keeps a tenth")
        kept = self.size - round(sparsity * self.size)
        if self.block is not None:
            if kept != self.least:
                raise InvalidValue(
                    f"sparsity {sparsity} is not that of blocks {self.floor}:{self.block}, "
                    f"which is {1 - self.floor / self.block:g}"
                )
        elif self.floor:
            if kept < self.least:
                raise InvalidValue(
                    f"sparsity {sparsity} keeps {kept} of {self.size} {self.unit}s, fewer than one in each of "
                    f"{len(self.layers)} layers; at most {1 - self.least / self.size:.6g}"
                )
        else:
            smallest = min(self.layers, key=lambda layer: layer.size)
            if round((1 - sparsity) * smallest.size) < 1:
                limit = 1 - 1 / smallest.size
                raise InvalidValue(
                    f"sparsity {sparsity} leaves layer {smallest.name!r} ({smallest.size} weights) empty; "
                    f"at most {limit:.6g} keeps one of its weights"
                )
        return kept

    @property
    def groups(self) -> int:
        """Groups that the floor holds for."""
        return len(self.layers) if self.block is None else self.size // self.block

    @cached_property
    def floors(self) -> IntArray:
        """Fewest units that a layer can keep, ``(L,)``; without a floor, one."""
        if self.block is None:
            return np.full(len(self.layers), max(1, self.floor), dtype=np.int64)
        return self.sizes // self.block * self.floor

    @property
    def least(self) -> int:
        """Units that every mask keeps: the floors of all groups."""
        return self.floor * self.groups

    def group_counts(self, mask: BoolArray) -> IntArray:
        """Kept units of each group, ``(D,) -> (G,)``."""
        if self.block is None:
            return self.counts(mask)
        counts: IntArray = np.count_nonzero(mask.reshape(-1, self.block), axis=1)
        return counts

    def check_floor(self, mask: BoolArray, what: str) -> None:
        """Refuse a mask in which a group keeps fewer than its floor.

        Raises:
            StrategyError: ``what`` it is, and where it is empty.
        """
        if self.floor and int((counts := self.group_counts(mask)).min()) < self.floor:
            group = int(counts.argmin())
            where = f"layer {self.layers[group].name!r}" if self.block is None else f"block {group} of {self.block}"
            raise StrategyError(
                f"{what} keeps {counts[group]} {self.unit}s in {where}, which needs {self.floor}; choose masks by "
                "problem.space.top, change them by problem.space.swap"
            )

    def top(self, scores: npt.NDArray[np.floating], n: int) -> BoolArray:
        """Keep ``n`` of ``(D,)`` scores: each group's best up to its floor, then the best of all others.

        Without a floor that is :func:`top_n`.

        Raises:
            InvalidValue: fewer than the floors of all groups.
        """
        if not self.floor:
            return top_n(scores, n)
        if n < self.least:
            raise InvalidValue(f"cannot keep {n} {self.unit}s with {self.floor} in each of {self.groups} groups")
        if self.block is None:
            mask = np.concatenate([top_n(scores[layer.span], self.floor) for layer in self.layers], dtype=bool)
        else:
            best = np.argsort(-np.nan_to_num(scores, nan=-np.inf).reshape(-1, self.block), axis=1, kind="stable")
            mask = np.zeros(self.size, dtype=bool)
            np.put_along_axis(mask.reshape(-1, self.block), best[:, : self.floor], True, axis=1)
        free = np.flatnonzero(~mask)
        mask[free[top_n(scores[free], n - self.least)]] = True
        return mask

    def random(self, n: int, rng: np.random.Generator, population: int | None = None) -> BoolArray:
        """Uniformly random masks that keep exactly ``n`` units.

        With a floor: the first of a random order in each group, then of all.

        Args:
            n: units kept; a strategy gives ``problem.n_kept``.
            rng: draws.
            population: how many masks.

        Returns:
            ``(P, D)``, or one mask ``(D,)`` without ``population``.
        """
        if population is not None:
            return np.stack([self.random(n, rng) for _ in range(population)])
        if self.floor:
            return self.top(rng.random(self.size), n)
        mask = np.zeros(self.size, dtype=bool)
        mask[rng.choice(self.size, n, replace=False, shuffle=False)] = True
        return mask

    def swap(self, mask: BoolArray, n_swaps: int, rng: np.random.Generator) -> BoolArray:
        """A neighbour: ``n_swaps`` kept units pruned and as many pruned ones kept; count and floors hold.

        In blocks, a swap is within a block. Where a swap would empty a layer of channels, a random one of that layer is
        kept, and one fewer comes in elsewhere.
        """
        if self.block is not None:
            return self._swap_in_blocks(mask, n_swaps, rng)
        child = swap(mask, n_swaps, rng)
        if not self.floor or int(self.counts(child).min()) >= self.floor:
            return child
        preference = 2.0 * child + (child & mask) + rng.random(self.size)  # stays 3, comes 2, neither 0
        return self.top(preference, int(np.count_nonzero(mask)))

    def _swap_in_blocks(self, mask: BoolArray, n_swaps: int, rng: np.random.Generator) -> BoolArray:
        assert self.block is not None
        child = mask.copy()
        blocks = child.reshape(-1, self.block)  # (G, M)
        chosen = rng.choice(self.groups, min(n_swaps, self.groups), replace=False, shuffle=False)
        noise, own = rng.random((chosen.size, self.block)), blocks[chosen]
        blocks[chosen, np.where(own, noise, -1).argmax(1)] = False
        blocks[chosen, np.where(own, -1, noise).argmax(1)] = True
        return child

    def cross(self, a: BoolArray, b: BoolArray, rng: np.random.Generator) -> BoolArray:
        """What both masks keep, and at random of what one keeps: as many as ``a``, floors included."""
        if self.floor:
            return self.top(1.0 * a + b + rng.random(self.size), int(np.count_nonzero(a)))
        only_one = np.flatnonzero(a ^ b)
        child: BoolArray = a & b
        if only_one.size:
            child[rng.choice(only_one, only_one.size // 2, replace=False, shuffle=False)] = True
        return child

    def flops_per_layer(self, masks: BoolArray | None = None) -> IntArray:
        """Multiply-adds x 2 of one forward pass of an example, ``(..., L)``: all weights, or the masks' kept ones."""
        counts = self.sizes if masks is None else self.counts(masks)
        return 2 * counts * self._uses

    def flops_per_example(self, mask: BoolArray | None = None) -> int:
        """The sum of :meth:`flops_per_layer`; normalisation, activations and pooling are not counted."""
        return self._dense_flops if mask is None else int(self.flops_per_layer(mask).sum())

    @cached_property
    def _uses(self) -> IntArray:
        return np.array([layer.uses for layer in self.layers], dtype=np.int64)

    @cached_property
    def _dense_flops(self) -> int:
        return int(self.flops_per_layer().sum())
