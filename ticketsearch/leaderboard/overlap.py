"""How much two strategies' masks have in common over seeds, by :mod:`ticketsearch.masks.overlap`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.leaderboard.statistics import Summary, t_interval
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.overlap import normalised


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
