"""How much masks have in common, beyond what their layers' counts alone would give them.

Two masks that keep many weights of the same small layer share some of them by chance. So chance is taken off: for
kept counts a and b in a layer of size D, random masks share a * b / D of its weights, and no two share more than
min(a, b). Summed over layers, (shared - chance) / (most - chance) is 0 for masks that agree as random ones of the same
counts do, 1 for masks that agree as far as the counts let them, and below 0 for masks that avoid each other.
"""

from __future__ import annotations

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.masks.space import MaskSpace


def normalised(masks: BoolArray, space: MaskSpace) -> ScoreArray:
    """Overlap of each of ``(P, D)`` masks with each, ``(P, P)``; NaN where the counts leave no choice."""
    counts = space.counts(masks).astype(np.float64)  # (P, L)
    bits = masks.astype(np.float32)  # sums of up to 2**24 ones are exact
    shared = (bits @ bits.T).astype(np.float64)
    chance = (counts / space.sizes) @ counts.T
    most = np.minimum(counts[:, None], counts[None]).sum(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(most - chance > 0, (shared - chance) / (most - chance), np.nan)
