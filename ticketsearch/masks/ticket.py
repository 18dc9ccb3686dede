"""Weights and tickets: what a strategy returns and what every training starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class Weights:
    """All parameters of a network: the prunable vector and the rest.

    Attributes:
        vector: prunable weights, ``(D,)``, or ``(P, D)`` for a population.
        rest: biases, normalisation parameters and running statistics, ``(R,)`` or ``(P, R)``.
    """

    vector: FloatArray
    rest: FloatArray


@dataclass(frozen=True, eq=False)
class Ticket:
    """A mask and the weights it starts from.

    Attributes:
        mask: ``(D,)``, True = kept.
        weights: what the kept weights start from; ``None`` = the run's initial weights.
        step: the step of the recipe these weights belong to; training goes on from there.
        held: what the pruned weights are held at, ``(D,)``; ``None`` = zero. See :mod:`ticketsearch.masks.actions`.
        scores: what chose the kept weights, ``(D,)``, highest kept; ``None`` if no score per weight did. A control
            inverts it.
        rest_mask: ``(R,)``, False = zero and stays so: what belongs to pruned channels; ``None`` = nothing does.
    """

    mask: BoolArray
    weights: Weights | None = None
    step: int = 0
    held: FloatArray | None = None
    scores: npt.NDArray[np.floating] | None = None
    rest_mask: BoolArray | None = None

    def started(self, initial: Weights) -> Ticket:
        """The same with its start weights filled in: pruned ones are what they are held at."""
        weights = self.weights or initial
        held = np.float32(0) if self.held is None else self.held
        vector = np.where(self.mask, weights.vector, held).astype(np.float32)
        rest = weights.rest if self.rest_mask is None else np.where(self.rest_mask, weights.rest, np.float32(0))
        return replace(self, weights=Weights(vector, rest))
