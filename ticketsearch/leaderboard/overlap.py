"""How much two strategies' masks have in common, beyond what their layers' counts alone would give them.

Two masks that keep many weights of the same small layer share some of them by chance. So chance is taken off: for
kept counts a and b in a layer of size D, random masks share a * b / D of its weights, and no two share more than
min(a, b). Summed over layers, (shared - chance) / (most - chance) is 0 for masks that agree as random ones of the same
counts do, 1 for masks that agree as far as the counts let them, and below 0 for masks that avoid each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.leaderboard.statistics import Summary, t_interval
from ticketsearch.masks import MaskSpace


def normalised(masks: BoolArray, space: MaskSpace) -> ScoreArray:
    """Overlap of each of ``(P, D)`` masks with each, ``(P, P)``; NaN where the counts leave no choice."""
    counts = space.counts(masks).astype(np.float64)  # (P, L)
    bits = masks.astype(np.float32)  # sums of up to 2**24 ones are exact
    shared = (bits @ bits.T).astype(np.float64)
    chance = (counts / space.sizes) @ counts.T
    most = np.minimum(counts[:, None], counts[None]).sum(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(most - chance > 0, (shared - chance) / (most - chance), np.nan)


def overlaps(masks: Mapping[str, Mapping[int, BoolArray]], space: MaskSpace) -> dict[tuple[str, str], Summary]:
    """Mean overlap of each two strategies over their common seeds, with Student's interval.

    Args:
        masks: by strategy and seed, each ``(D,)``; on one seed all start from the same weights.
        space: of all of them.

    Returns:
        By pairs of names, in the order given, the first before the second; pairs without a common seed are left out.
    """
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in sorted({seed for own in masks.values() for seed in own}):
        names = [name for name, own in masks.items() if seed in own]
        table = normalised(np.array([masks[name][seed] for name in names]), space)
        for i, name in enumerate(names):
            for j in range(i + 1, len(names)):
                if np.isfinite(table[i, j]):
                    found[name, names[j]].append(float(table[i, j]))
    order = list(masks)
    return {
        pair: Summary(len(found[pair]), float(np.mean(found[pair])), *t_interval(np.array(found[pair])))
        for pair in sorted(found, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
    }
