"""Operations on the bits of a mask, ``(D,)``: keep the best, swap, pack, name, compare.

They know nothing of layers and floors. A strategy chooses and changes masks by its space
(:class:`ticketsearch.masks.space.MaskSpace`), which does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, ByteArray, IntArray, ScoreArray
from ticketsearch.digests import digest_of_bytes
from ticketsearch.errors import InvalidValue


def top_n(scores: npt.NDArray[np.floating], n: int) -> BoolArray:
    """Keep the ``n`` highest of ``(D,)`` scores: exactly n; of equal scores the lower index; NaN is lowest."""
    if not 0 <= n <= scores.size:
        raise InvalidValue(f"cannot keep {n} of {scores.size} weights")
    if n == 0:
        return np.zeros(scores.size, dtype=bool)
    ordered = scores
    if np.isnan(scores.min()):
        ordered = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    lowest, among = ordered.min(), ordered
    if 4 * np.count_nonzero(ordered == lowest) > ordered.size:  # of many equal values NumPy's partition is slow
        among = ordered[ordered > lowest]
    threshold = np.partition(among, among.size - n)[among.size - n] if n <= among.size else lowest
    mask: BoolArray = ordered > threshold
    ties = np.flatnonzero(ordered == threshold)
    mask[ties[: n - np.count_nonzero(mask)]] = True
    return mask


def ranked_within(
    alive: BoolArray, scores: npt.NDArray[np.floating], before: npt.NDArray[np.floating] | None = None
) -> ScoreArray:
    """One order of all weights from scores that an iterative method gave to its survivors, ``(D,)``.

    Args:
        alive: ``(D,)``, who was scored this time.
        scores: ``(D,)``.
        before: the result of the round before: whoever is not alive keeps his place, below all who are.
    """
    order = np.zeros(alive.size) if before is None else before.astype(np.float64)
    first = float(order.max(initial=0.0)) + 1
    survivors = np.flatnonzero(alive)
    order[survivors[np.argsort(scores[survivors], kind="stable")]] = first + np.arange(survivors.size)
    return order


def swap(mask: BoolArray, n_swaps: int, rng: np.random.Generator) -> BoolArray:
    """A neighbour: ``n_swaps`` kept weights pruned and as many pruned ones kept. The count stays exact.

    Positions are drawn by rejection: no list of all kept or pruned weights is made, so a swap costs
    a copy of the mask and not a scan of it.
    """
    kept_total = int(np.count_nonzero(mask))
    n_swaps = min(n_swaps, kept_total, mask.size - kept_total)
    child = mask.copy()
    child[_draw(mask, True, kept_total, n_swaps, rng)] = False
    child[_draw(mask, False, mask.size - kept_total, n_swaps, rng)] = True
    return child


def _draw(mask: BoolArray, value: bool, available: int, n: int, rng: np.random.Generator) -> IntArray:
    """``n`` distinct positions where ``mask == value``, uniformly."""
    if n * 4 > available:  # a large share of them: list them once instead
        return rng.choice(np.flatnonzero(mask == value), n, replace=False, shuffle=False)
    chosen: dict[int, None] = {}
    while len(chosen) < n:
        tries = rng.integers(mask.size, size=2 + 2 * (n - len(chosen)) * mask.size // available)
        chosen.update(dict.fromkeys(tries[mask[tries] == value].tolist()))
    return np.fromiter(chosen, dtype=np.int64, count=len(chosen))[:n]


def pack(masks: BoolArray) -> ByteArray:
    """``(..., D) -> (..., ceil(D/8))`` bytes."""
    return np.packbits(masks, axis=-1)


def unpack(packed: ByteArray, size: int) -> BoolArray:
    """The inverse of :func:`pack`."""
    return np.unpackbits(packed, axis=-1, count=size).view(bool)


def digest(mask: BoolArray) -> str:
    """Identity of a mask: 16 hexadecimal digits of BLAKE2b over its size and packed bits."""
    return digest_of_bytes(mask.size.to_bytes(8, "little") + pack(mask).tobytes())


def hamming(a: BoolArray, b: BoolArray, *, normalised: bool = False) -> float:
    """Fraction of differing bits; normalised: over 2 rho (1 - rho), the expectation for two random masks."""
    distance = float(np.count_nonzero(a != b)) / a.size
    if not normalised:
        return distance
    density = (np.count_nonzero(a) + np.count_nonzero(b)) / (2 * a.size)
    expected = 2 * density * (1 - density)
    return distance / expected if expected else 0.0
