"""Threads that engines compute in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that compute on a core each, and to which denormal numbers are zero.

    Adam's moments of a weight that gets no gradient any more fall into the denormal range, below 1e-38, where a
    processor takes many times as long for each product: half of a long training's time.
    """
    return ThreadPoolExecutor(threads, initializer=_alone)


def _alone() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
