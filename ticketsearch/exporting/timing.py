"""Latencies of two computations side by side: alternating, one thread, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def interleaved(computations: list[Callable[[], object]], repeats: int, warm_up: int = 2) -> list[list[float]]:
    """Wall milliseconds of each computation, ``repeats`` times in turn, after ``warm_up`` rounds off the clock.

    PyTorch's number of threads is one meanwhile, and is put back.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: list[list[float]] = [[] for _ in computations]
    try:
        with torch.inference_mode():
            for turn in range(warm_up + repeats):
                for times, compute in zip(found, computations, strict=True):
                    started = time.perf_counter()
                    compute()
                    if turn >= warm_up:
                        times.append(1000 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return found


def medians(times: list[list[float]]) -> list[float]:
    """The median of each."""
    return [statistics.median(one) for one in times]
