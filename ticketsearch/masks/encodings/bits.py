"""``swap``: the mask itself, as packed bits; a move swaps kept units for pruned ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketsearch.arrays import BoolArray, ByteArray
from ticketsearch.masks.bits import pack, unpack
from ticketsearch.masks.encodings.base import EncodedProblem, Encoding, Genome, Start, start_mask


@dataclass(frozen=True)
class Swap:
    """The mask itself: one bit for each unit, moved by swaps."""

    def build(self, problem: EncodedProblem) -> Encoding:
        """Costs nothing."""
        return SwapEncoding(problem)


class SwapEncoding(Encoding):
    """A genome is a mask, packed. A mutation's strength is the fraction of the kept units that are swapped."""

    step = 0.02

    def __init__(self, problem: EncodedProblem) -> None:
        self._space, self._n = problem.space, problem.n_kept
        self._start: Start | None = None

    def begin_at(self, start: Start) -> None:
        """Samples are random masks with the start's counts, or neighbours of its mask, half of it swapped."""
        self._start = start

    def sample(self, rng: np.random.Generator) -> ByteArray:
        """A random mask, uniform unless there is a start."""
        if self._start is None:
            return pack(self._space.random(self._n, rng))
        mask = start_mask(self._start, self._space, rng)
        return pack(mask if self._start.scores is None else self._space.swap(mask, max(1, self._n // 2), rng))

    def fit(self, mask: BoolArray) -> ByteArray:
        """The mask itself."""
        return pack(mask)

    def decode(self, genome: Genome) -> BoolArray:
        """Unpack."""
        return unpack(genome, self._space.size)

    def crossover(self, a: Genome, b: Genome, rng: np.random.Generator) -> ByteArray:
        """What both keep, and of what one keeps a random half: the count of two equal counts stays exact."""
        return pack(self._space.cross(self.decode(a), self.decode(b), rng))

    def mutate(self, genome: Genome, strength: float, rng: np.random.Generator) -> ByteArray:
        """Swap ``strength * n`` kept units, at least one."""
        return pack(self._space.swap(self.decode(genome), max(1, round(strength * self._n)), rng))
