"""How many weights each layer keeps, before anybody asks which: the layer-wise densities of sparse training.

``uniform``      the same density in every layer
``erk``          Erdos-Renyi-Kernel (Mocanu et al., arXiv:1707.04780; Evci et al., arXiv:1911.11134): proportional to
                 ``sum(dims) / prod(dims)``, solved again with full layers fixed until none exceeds 1
``smart-ratio``  Su et al., arXiv:2009.11094: layer l of L proportional to ``(L - l + 1)^2 + (L - l + 1)``, the output
                 layer at 0.3 (or the overall density, if that is higher)
"""

from __future__ import annotations

import numpy as np

from ticketsearch.arrays import IntArray, ScoreArray
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks.space import MaskSpace

NAMES = ("uniform", "erk", "smart-ratio")
OUTPUT_DENSITY = 0.3


def layer_counts(name: str, space: MaskSpace, n_kept: int) -> IntArray:
    """Kept weights per layer, ``(L,)``, summing to exactly ``n_kept``, at least one in each.

    Raises:
        UnknownName: no densities of that name.
        InvalidValue: fewer weights than layers; or units that these densities were not made for.
    """
    if name in NAMES[1:] and space.floor:
        raise InvalidValue(f"densities {name!r} are of weights; for channels or blocks use 'uniform'")
    sizes, layers = space.sizes, len(space.layers)
    if name == "uniform":
        shares = fill_densities(np.ones(layers), n_kept, sizes)
    elif name == "erk":
        weights = np.array([sum(layer.shape) / layer.size for layer in space.layers])
        shares = fill_densities(weights, n_kept, sizes)
    elif name == "smart-ratio":
        place = np.arange(layers, 0, -1, dtype=np.float64)  # L - l + 1 for l = 1 .. L
        shares = np.empty(layers)
        last = max(OUTPUT_DENSITY, n_kept / space.size) if layers > 1 else 1.0
        shares[-1] = min(n_kept, last * sizes[-1])
        shares[:-1] = fill_densities((place**2 + place)[:-1], int(n_kept - shares[-1]), sizes[:-1])
    else:
        raise UnknownName("densities", name, NAMES)
    return apportion(shares, n_kept, sizes, space.floors)


def apportion(shares: ScoreArray, total: int, sizes: IntArray, minimum: int | IntArray = 1) -> IntArray:
    """Integers ``(L,)`` near ``shares`` that sum to ``total``, between ``minimum`` and ``sizes`` (largest remainder).

    The minimum is one number, or one for each layer.

    Raises:
        InvalidValue: no such integers exist.
    """
    low = np.minimum(minimum, sizes)
    if not int(low.sum()) <= total <= int(sizes.sum()):
        raise InvalidValue(
            f"cannot keep {total} weights in {sizes.size} layers of {sizes.tolist()} with at least "
            f"{np.asarray(minimum).tolist()} in each"
        )
    counts = np.clip(np.floor(shares), low, sizes).astype(np.int64)
    while (gap := total - int(counts.sum())) != 0:
        step = 1 if gap > 0 else -1
        movable = (counts < sizes) if gap > 0 else (counts > low)
        need = np.where(movable, (shares - counts) * step, -np.inf)
        order = np.argsort(-need, kind="stable")[: min(abs(gap), int(movable.sum()))]
        counts[order] += step
    return counts


def fill_densities(weights: ScoreArray, total: int, sizes: IntArray) -> ScoreArray:
    """Kept weights per layer with densities proportional to ``weights``, none above 1, summing to ``total``.

    Layers that would exceed density 1 are filled and the rest is solved again, as ERK does.
    """
    full = np.zeros(sizes.size, dtype=bool)
    while True:
        free = total - int(sizes[full].sum())
        scale = free / max(float((weights * sizes)[~full].sum()), 1e-300)
        densities = np.where(full, 1.0, scale * weights)
        over = densities > 1 + 1e-12
        if not over.any() or full.all():
            return np.minimum(densities, 1.0) * sizes
        full |= over
