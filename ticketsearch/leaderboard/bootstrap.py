"""Resampling of seeds: the same draws in every report, and intervals that few seeds can bear.

A report must be a pure function of its results, so the draws come from a named stream and depend on nothing but
the number of seeds. The plain percentile interval is too narrow for few seeds: it takes normal quantiles for
Student's, and a standard deviation divided by n for one divided by n - 1. :func:`interval` reads its quantiles
further out by just that, the "expanded percentile" interval of Hesterberg, "What teachers should know about the
bootstrap" (arXiv:1411.5279).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ticketsearch.arrays import IntArray, ScoreArray
from ticketsearch.seeds import stream

RESAMPLES = 10_000
"""Draws behind every interval: its 2.5 % ends lie between levels of 2.2 and 2.8 %."""
LEVEL = 0.95


@lru_cache(maxsize=64)
def resamples(n: int, name: str = "") -> IntArray:
    """Indices drawn with replacement, (RESAMPLES, n), read-only. Another name, independent draws."""
    indices = stream(0, "bootstrap", "indices", n, name).integers(0, n, (RESAMPLES, n))
    indices.setflags(write=False)
    return indices


@lru_cache(maxsize=64)
def counts(n: int) -> ScoreArray:
    """How often each of ``n`` seeds is in a resample, (RESAMPLES, n), read-only; rows add up to ``n``."""
    drawn = np.zeros((RESAMPLES, n))
    np.add.at(drawn, (np.arange(RESAMPLES)[:, None], resamples(n)), 1.0)
    drawn.setflags(write=False)
    return drawn


@lru_cache(maxsize=64)
def weights(n: int) -> ScoreArray:
    """Exponential weights, (RESAMPLES, n), read-only; a row over its sum is uniform on the simplex.

    These are the weights of the Bayesian bootstrap (Rubin, 1981), which never leaves a seed out.
    """
    drawn = stream(0, "bootstrap", "weights", n).exponential(size=(RESAMPLES, n))
    drawn.setflags(write=False)
    return drawn


def interval(samples: ScoreArray, n: int) -> tuple[float, float] | tuple[None, None]:
    """The 95 % expanded percentile interval of a statistic's resampled values.

    Args:
        samples: the statistic for each resample, (RESAMPLES,).
        n: independent seeds resampled; the smallest stratum's, if there are several.

    Returns:
        (low, high). (None, None) for n < 2, and where no resample differs from another: that all seeds agree is
        not certainty, and the bootstrap cannot say how far from it.
    """
    if n < 2 or samples.min() == samples.max():
        return None, None
    low, high = np.quantile(samples, [_tail(n), 1 - _tail(n)])
    return float(low), float(high)


@lru_cache(maxsize=64)
def _tail(n: int) -> float:
    from scipy.special import ndtr, stdtrit

    return float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - LEVEL) / 2)))
