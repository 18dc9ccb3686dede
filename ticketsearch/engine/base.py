"""The engine interface: what a job is, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.masks.ticket import Weights
from ticketsearch.recipe import Recipe

if TYPE_CHECKING:
    from ticketsearch.tasks import Split
    from ticketsearch.tasks.layout import Layout


@dataclass(frozen=True, eq=False)
class Job:
    """Train P masked networks on the same batches.

    Attributes:
        masks: ``(P, D)``, True = kept. Pruned weights never change.
        start: start weights, ``(D,)`` and ``(R,)``, or one row per mask.
        recipe: optimiser and schedule.
        batches: example indices, ``(S, B)``, one row per step; or ``(P, S, B)``, a data order per mask.
        first_step: position of the first row in the recipe's schedule.
        held: what the pruned weights are held at, ``(D,)`` or ``(P, D)``; ``None`` = zero.
        rest_mask: ``(P, R)``, False = zero throughout, whatever the start says: what belongs to pruned channels;
            ``None`` = nothing does.
        traced: whether :meth:`Engine.evaluate` reports the training loss of each step.
    """

    masks: BoolArray
    start: Weights
    recipe: Recipe
    batches: IntArray
    first_step: int = 0
    held: FloatArray | None = None
    rest_mask: BoolArray | None = None
    traced: bool = False

    @property
    def steps(self) -> int:
        """Optimiser steps of each network."""
        return int(self.batches.shape[-2])

    @cached_property
    def computed(self) -> BoolArray:
        """Weights that cost products, ``(P, D)``: the kept ones, and those held at something else than zero."""
        return self.masks if self.held is None else self.masks | (self.held != 0)

    @cached_property
    def rates(self) -> FloatArray:
        """Learning rate of each step, ``(S,)``."""
        rates = [self.recipe.learning_rate_at(self.first_step + step) for step in range(self.steps)]
        return np.array(rates, dtype=np.float32)

    def only(self, rows: slice | IntArray) -> Job:
        """The same job for some of the masks."""
        vector, rest = self.start.vector, self.start.rest
        start = Weights(vector[rows] if vector.ndim == 2 else vector, rest[rows] if rest.ndim == 2 else rest)
        batches = self.batches[rows] if self.batches.ndim == 3 else self.batches
        held = self.held[rows] if self.held is not None and self.held.ndim == 2 else self.held
        rest_mask = None if self.rest_mask is None else self.rest_mask[rows]
        return Job(self.masks[rows], start, self.recipe, batches, self.first_step, held, rest_mask, self.traced)


@dataclass(frozen=True, eq=False)
class Measures:
    """What was measured of P networks.

    Attributes:
        accuracy: ``(P,)``.
        loss: mean cross-entropy, ``(P,)``; NaN marks a network that diverged.
        cpu_s: CPU seconds of other processes, which the clock of this one does not see.
        training: mean training loss of each step, ``(P, S)``, of a traced job; else ``None``.
    """

    accuracy: ScoreArray
    loss: ScoreArray
    cpu_s: float = 0.0
    training: ScoreArray | None = None

    def reordered(self, rows: IntArray) -> Measures:
        """The same of networks in another order."""
        training = None if self.training is None else self.training[rows]
        return Measures(self.accuracy[rows], self.loss[rows], self.cpu_s, training)


def joined(parts: Sequence[Measures]) -> Measures:
    """What was measured of several groups of networks, one after another."""
    traces = [part.training for part in parts if part.training is not None]
    return Measures(
        np.concatenate([part.accuracy for part in parts]),
        np.concatenate([part.loss for part in parts]),
        sum(part.cpu_s for part in parts),
        np.concatenate(traces) if traces else None,
    )


Relaxed: TypeAlias = tuple[Weights, ScoreArray, dict[str, FloatArray]]
"""Weights ``(1, D)``, ``(1, R)``, mean training loss ``(1,)``, and the trained vectors ``(D,)`` by name."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What of a network is trained, as far as its mask says.

    Attributes:
        mask: of the weights, ``(D,)``.
        rest: of the rest, ``(R,)``; False = belongs to a pruned channel.
    """

    mask: BoolArray
    rest: BoolArray


class Engine(Protocol):
    """Trains and measures. Results for a mask do not depend on the other masks of a job, nor on ``threads``.

    Attributes:
        name: ``sparse`` or ``dense``.
        layout: of the network's weights.
        threads: that compute, here or on workers.
        grain: networks computed together; parts of a job are best multiples of it.
        width: networks in training at a time, if a job has so many.
    """

    name: str
    layout: Layout
    threads: int
    grain: int
    width: int

    @property
    def device(self) -> str:
        """Where it computes: ``cpu``, ``cuda:0``."""
        ...

    def warm_up(self) -> None:
        """Compile or load what the first call would wait for, so that no search is charged for it."""
        ...

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Train, yielding the population after each of ``stops`` (ascending step counts, from 1 to ``job.steps``).

        Yields:
            Weights ``(P, D)``, ``(P, R)`` and the mean training loss ``(P,)`` since the stop before.
            Stop iterating and no further step is computed.
        """
        ...

    def train_relaxed(self, job: Job, relaxation: Relaxation, stops: tuple[int, ...], seed: int) -> Iterator[Relaxed]:
        """Train one network through a relaxation; like :meth:`train`, and yields the trained vectors as well.

        Args:
            job: recipe, batches and the start of the rest; its mask and start vector are not used.
            relaxation: what is trained.
            stops: as in :meth:`train`.
            seed: of the relaxation's randomness.
        """
        ...

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Train and measure on a split, returning no weights: the searchers' verb, the one made fast."""
        ...

    def measure(self, weights: Weights, split: Split) -> Measures:
        """Measure ``(P, D)``, ``(P, R)`` weights as they are."""
        ...

    def gradients(self, weights: Weights, indices: IntArray) -> FloatArray:
        """Gradient ``(D,)`` of the mean training loss over examples ``(N,)`` at weights ``(D,)``, ``(R,)``."""
        ...

    def hessian_gradient(self, weights: Weights, indices: IntArray, temperature: float) -> FloatArray:
        """Hessian times gradient, ``(D,)``, of that loss with logits divided by ``temperature``."""
        ...

    def synaptic_flow(self, weights: Weights) -> ScoreArray:
        """SynFlow's scores, ``(D,)``; see :meth:`ticketsearch.engine.dense.derivatives.Derivatives.synaptic_flow`."""
        ...

    def ntk_sensitivity(self, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """NTK-SAP's scores under a mask, ``(D,)``; see :mod:`ticketsearch.strategies.ntk_sap`."""
        ...

    def hessian_product(self, weights: Weights, indices: IntArray, direction: FloatArray) -> FloatArray:
        """Hessian of the loss of :meth:`gradients` times a direction, ``(D,)``."""
        ...

    def tangent_kernel(self, weights: Weights, kept: Kept, indices: IntArray) -> ScoreArray:
        """Kernel ``(N, N)`` of the summed outputs; see :mod:`ticketsearch.engine.dense.probes`."""
        ...

    def activation_patterns(self, weights: Weights, indices: IntArray) -> BoolArray:
        """Which of A rectifiers are at work on each of the examples, ``(N, A)``."""
        ...

    def ntk_change(self, weights: Weights, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """NTK-SAP's norm at given weights, ``(1,)``."""
        ...


def batch_indices(train_size: int, batch_size: int, steps: int, rng: np.random.Generator) -> IntArray:
    """``(steps, batch_size)``: a fresh permutation per epoch, cut into whole batches."""
    per_epoch = train_size // batch_size
    epochs = [
        rng.permutation(train_size)[: per_epoch * batch_size].reshape(per_epoch, batch_size)
        for _ in range(-(-steps // per_epoch))
    ]
    return np.concatenate(epochs)[:steps] if epochs else np.zeros((0, batch_size), dtype=np.int64)
