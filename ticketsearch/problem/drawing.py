"""Which training examples a derivative is computed from."""

from __future__ import annotations

import numpy as np

from ticketsearch.arrays import IntArray


def one_of_each_in_turn(labels: IntArray, rng: np.random.Generator) -> IntArray:
    """All examples ``(N,)`` in a random order that goes through the classes in turn, as long as each has any left.

    So the first n are balanced: no class has two more than another that has still some left.

    Args:
        labels: classes of the examples, ``(N,)``.
        rng: draws the order.
    """
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.unique(labels, return_counts=True)[1]
    turn = np.concatenate([np.arange(count) for count in counts])
    order: IntArray = by_class[np.argsort(turn, kind="stable")].astype(np.int64)
    return order
