"""When a mask has settled: the newest of a queue differs little from each of the others.

Source: You et al. (arXiv:1909.11957), algorithm 1: a queue of five masks, distance = unequal bits over all bits,
threshold 0.1. For weight masks the raw distance of sparse masks is small even between unrelated ones, 2 rho (1 - rho)
for random ones of density rho; normalised, it is divided by that expectation.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ticketsearch.arrays import BoolArray
from ticketsearch.masks import hamming


@dataclass
class Stability:
    """A queue of masks.

    Attributes:
        queue: masks compared: the newest with each of the ``queue - 1`` before it.
        threshold: largest distance that counts as unchanged.
        normalised: divide distances by the expectation for random masks.
    """

    queue: int
    threshold: float
    normalised: bool
    _recent: deque[BoolArray] = field(default_factory=deque, init=False)

    def settled(self, newest: BoolArray) -> bool:
        """Add a mask; whether it agrees with all the others of a full queue."""
        full = len(self._recent) == self.queue - 1
        agrees = all(hamming(newest, other, normalised=self.normalised) <= self.threshold for other in self._recent)
        self._recent.append(newest)
        if len(self._recent) == self.queue:
            self._recent.popleft()
        return full and agrees
