"""When a mask has settled: the newest of a queue differs little from each of the others.

Source: You et al. (arXiv:1909.11957), algorithm 1: a queue of five masks, distance = unequal bits over all bits,
threshold 0.1, channels pruned by 30 to 70 %. For weight masks the raw distance of sparse masks is small even between
unrelated ones, 2 rho (1 - rho) for random ones of density rho; normalised, it is divided by that expectation.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from ticketsearch.arrays import BoolArray
from ticketsearch.masks import hamming


@dataclass
class Stability:
    """A queue of masks.

    Attributes:
        queue: masks compared: the newest with each of the ``queue - 1`` before it.
        threshold: largest distance that counts as unchanged; ``None`` = 0.1 raw, as published, or 0.2 normalised: what
            0.1 of all bits is at a density of one half, the middle of the published range.
        normalised: divide distances by the expectation for random masks.
        trace: for each mask added, its largest distance to the others of the queue; NaN for the first.
    """

    queue: int
    threshold: float | None
    normalised: bool
    trace: list[float] = field(default_factory=list, init=False)
    _recent: deque[BoolArray] = field(default_factory=deque, init=False)

    def settled(self, newest: BoolArray) -> bool:
        """Add a mask; whether it agrees with all the others of a full queue."""
        full = len(self._recent) == self.queue - 1
        distances = [hamming(newest, other, normalised=self.normalised) for other in self._recent]
        self.trace.append(max(distances, default=math.nan))
        self._recent.append(newest)
        if len(self._recent) == self.queue:
            self._recent.popleft()
        limit = (0.2 if self.normalised else 0.1) if self.threshold is None else self.threshold
        return full and self.trace[-1] <= limit
