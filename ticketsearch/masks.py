"""Mask spaces and masks: D prunable weights as one vector, exact counts, packed bits.

A mask is a boolean array of shape ``(D,)``, a population ``(P, D)``; True = kept. *Sparsity is the
fraction pruned.* Every function that keeps weights keeps exactly as many as asked, and breaks ties
by the lower index, so that two machines agree on every bit.

A bit need not be a weight: :mod:`ticketsearch.units` lays out spaces of channels and of blocks N:M. Those have a
*floor*, the bits that every group keeps at least: one channel of each layer, N of each M weights. What chooses or
changes masks here respects it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, ByteArray, IntArray, ScoreArray
from ticketsearch.errors import InvalidValue, StrategyError


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


def top_n(scores: npt.NDArray[np.floating], n: int) -> BoolArray:
    """Keep the ``n`` highest of ``(D,)`` scores: exactly n; of equal scores the lower index; NaN is lowest."""
    if not 0 <= n <= scores.size:
        raise InvalidValue(f"cannot keep {n} of {scores.size} weights")
    if n == 0:
        return np.zeros(scores.size, dtype=bool)
    ordered = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf) if np.isnan(scores).any() else scores
    threshold = np.partition(ordered, scores.size - n)[scores.size - n]
    mask: BoolArray = ordered > threshold
    ties = np.flatnonzero(ordered == threshold)
    mask[ties[: n - int(mask.sum())]] = True
    return mask


def top_per_layer(scores: npt.NDArray[np.floating], counts: Sequence[int] | IntArray, space: MaskSpace) -> BoolArray:
    """Keep the ``counts[l]`` highest scores of each layer: ``(D,)``, ``(L,)`` -> ``(D,)``; floors first."""
    parts = []
    for layer, n in zip(space.layers, counts, strict=True):
        alone = MaskSpace((replace(layer, offset=0),), space.unit, space.floor, space.block)
        parts.append(alone.top(scores[layer.span], int(n)))
    return np.concatenate(parts, dtype=bool)


def ranked_within(
    alive: BoolArray, scores: npt.NDArray[np.floating], before: npt.NDArray[np.floating] | None = None
) -> ScoreArray:
    """One order of all weights from scores that an iterative method gave to its survivors, ``(D,)``.

    Args:
        alive: ``(D,)``, who was scored this time.
        scores: ``(D,)``.
        before: the result of the round before: whoever is not alive keeps his place, below all who are.
    """
    order = np.zeros(alive.size) if before is None else before.astype(np.float64)
    first = float(order.max(initial=0.0)) + 1
    survivors = np.flatnonzero(alive)
    order[survivors[np.argsort(scores[survivors], kind="stable")]] = first + np.arange(survivors.size)
    return order


def random_mask(space: MaskSpace, n: int, rng: np.random.Generator) -> BoolArray:
    """Exactly ``n`` of D units, uniformly; with a floor, the first of a random order in each group, then of all."""
    if space.floor:
        return space.top(rng.random(space.size), n)
    mask = np.zeros(space.size, dtype=bool)
    mask[rng.choice(space.size, n, replace=False, shuffle=False)] = True
    return mask


def random_masks(space: MaskSpace, sparsity: float, population: int, rng: np.random.Generator) -> BoolArray:
    """``(P, D)`` uniformly random masks of one sparsity."""
    n = space.n_kept(sparsity)
    return np.stack([random_mask(space, n, rng) for _ in range(population)])


def random_per_layer(space: MaskSpace, counts: IntArray, rng: np.random.Generator) -> BoolArray:
    """A random mask that keeps exactly ``counts[l]`` units of layer l."""
    if space.block is not None:
        return top_per_layer(rng.random(space.size), counts, space)
    return np.concatenate(
        [rng.permutation(np.arange(layer.size) < n) for layer, n in zip(space.layers, counts, strict=True)], dtype=bool
    )


def random_like(mask: BoolArray, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """A random mask with the same number of kept weights in every layer: the control of sparse training."""
    return random_per_layer(space, space.counts(mask), rng)


def swap(mask: BoolArray, n_swaps: int, rng: np.random.Generator) -> BoolArray:
    """A neighbour: ``n_swaps`` kept weights pruned and as many pruned ones kept. The count stays exact.

    Positions are drawn by rejection: no list of all kept or pruned weights is made, so a swap costs
    a copy of the mask and not a scan of it.
    """
    kept_total = int(np.count_nonzero(mask))
    n_swaps = min(n_swaps, kept_total, mask.size - kept_total)
    child = mask.copy()
    child[_draw(mask, True, kept_total, n_swaps, rng)] = False
    child[_draw(mask, False, mask.size - kept_total, n_swaps, rng)] = True
    return child


def _draw(mask: BoolArray, value: bool, available: int, n: int, rng: np.random.Generator) -> IntArray:
    """``n`` distinct positions where ``mask == value``, uniformly."""
    if n * 4 > available:  # a large share of them: list them once instead
        return rng.choice(np.flatnonzero(mask == value), n, replace=False, shuffle=False)
    chosen: dict[int, None] = {}
    while len(chosen) < n:
        tries = rng.integers(mask.size, size=2 + 2 * (n - len(chosen)) * mask.size // available)
        chosen.update(dict.fromkeys(tries[mask[tries] == value].tolist()))
    return np.fromiter(chosen, dtype=np.int64, count=len(chosen))[:n]


def pack(masks: BoolArray) -> ByteArray:
    """``(..., D) -> (..., ceil(D/8))`` bytes."""
    return np.packbits(masks, axis=-1)


def unpack(packed: ByteArray, size: int) -> BoolArray:
    """The inverse of :func:`pack`."""
    return np.unpackbits(packed, axis=-1, count=size).view(bool)


def digest(mask: BoolArray) -> str:
    """Identity of a mask: 16 hexadecimal digits of BLAKE2b over its size and packed bits."""
    return hashlib.blake2b(mask.size.to_bytes(8, "little") + pack(mask).tobytes(), digest_size=8).hexdigest()


def hamming(a: BoolArray, b: BoolArray, *, normalised: bool = False) -> float:
    """Fraction of differing bits; normalised: over 2 rho (1 - rho), the expectation for two random masks."""
    distance = float(np.count_nonzero(a != b)) / a.size
    if not normalised:
        return distance
    density = (np.count_nonzero(a) + np.count_nonzero(b)) / (2 * a.size)
    expected = 2 * density * (1 - density)
    return distance / expected if expected else 0.0


def apportion(shares: ScoreArray, total: int, sizes: IntArray, minimum: int | IntArray = 1) -> IntArray:
    """Integers ``(L,)`` near ``shares`` that sum to ``total``, between ``minimum`` and ``sizes`` (largest remainder).

    The minimum is one number, or one for each layer.

    Raises:
        InvalidValue: no such integers exist.
    """
    low = np.minimum(minimum, sizes)
    if not int(low.sum()) <= total <= int(sizes.sum()):
        raise InvalidValue(
            f"cannot keep {total} weights in {sizes.size} layers of {sizes.tolist()} with at least "
            f"{np.asarray(minimum).tolist()} in each"
        )
    counts = np.clip(np.floor(shares), low, sizes).astype(np.int64)
    while (gap := total - int(counts.sum())) != 0:
        step = 1 if gap > 0 else -1
        movable = (counts < sizes) if gap > 0 else (counts > low)
        need = np.where(movable, (shares - counts) * step, -np.inf)
        order = np.argsort(-need, kind="stable")[: min(abs(gap), int(movable.sum()))]
        counts[order] += step
    return counts


def fill_densities(weights: ScoreArray, total: int, sizes: IntArray) -> ScoreArray:
    """Kept weights per layer with densities proportional to ``weights``, none above 1, summing to ``total``.

    Layers that would exceed density 1 are filled and the rest is solved again, as ERK does.
    """
    full = np.zeros(sizes.size, dtype=bool)
    while True:
        free = total - int(sizes[full].sum())
        scale = free / max(float((weights * sizes)[~full].sum()), 1e-300)
        densities = np.where(full, 1.0, scale * weights)
        over = densities > 1 + 1e-12
        if not over.any() or full.all():
            return np.minimum(densities, 1.0) * sizes
        full |= over
