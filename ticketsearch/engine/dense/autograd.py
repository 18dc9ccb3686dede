"""What engines of any kind leave to PyTorch: derivatives at a point, and training through a relaxation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine.base import Job, Kept, Relaxed
from ticketsearch.engine.dense.draws import Drawing
from ticketsearch.engine.dense.probes import Probes
from ticketsearch.engine.dense.relaxed import RelaxedTraining
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.masks.ticket import Weights
from ticketsearch.tasks import Task
from ticketsearch.tasks.layout import Layout


class Autograd:
    """A base of engines; they set ``_task``, ``_device`` and ``_draws``."""

    layout: Layout
    _task: Task
    _device: torch.device
    _draws: Drawing = ""

    @property
    def device(self) -> str:
        """Implements :attr:`ticketsearch.engine.Engine.device`."""
        return str(self._device)

    def gradients(self, weights: Weights, indices: IntArray) -> FloatArray:
        """Implements :meth:`ticketsearch.engine.Engine.gradients`."""
        return self._derivatives.gradients(weights, indices)

    def hessian_gradient(self, weights: Weights, indices: IntArray, temperature: float) -> FloatArray:
        """Implements :meth:`ticketsearch.engine.Engine.hessian_gradient`."""
        return self._derivatives.hessian_gradient(weights, indices, temperature)

    def synaptic_flow(self, weights: Weights) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.synaptic_flow`."""
        return self._derivatives.synaptic_flow(weights)

    def ntk_sensitivity(self, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.ntk_sensitivity`."""
        return self._derivatives.ntk_sensitivity(mask, seed, examples, scale)

    def hessian_product(self, weights: Weights, indices: IntArray, direction: FloatArray) -> FloatArray:
        """Implements :meth:`ticketsearch.engine.Engine.hessian_product`."""
        return self._derivatives.hessian_product(weights, indices, direction)

    def tangent_kernel(self, weights: Weights, kept: Kept, indices: IntArray) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.tangent_kernel`."""
        return self._derivatives.tangent_kernel(weights, kept, indices)

    def activation_patterns(self, weights: Weights, indices: IntArray) -> BoolArray:
        """Implements :meth:`ticketsearch.engine.Engine.activation_patterns`."""
        return self._derivatives.activation_patterns(weights, indices)

    def ntk_change(self, weights: Weights, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.ntk_change`."""
        return self._derivatives.ntk_change(weights, mask, seed, examples, scale)

    def train_relaxed(self, job: Job, relaxation: Relaxation, stops: tuple[int, ...], seed: int) -> Iterator[Relaxed]:
        """Implements :meth:`ticketsearch.engine.Engine.train_relaxed`."""
        return RelaxedTraining(self._task, self._device, job, relaxation, seed, self._draws).run(stops)

    @cached_property
    def _derivatives(self) -> Probes:
        return Probes(self._task, self.layout, self._device, self._draws)
