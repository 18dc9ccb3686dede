"""Between a layout that leaves layers dense and kernels that know one vector of all weights and one of biases."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from torch import nn

from ticketsearch.arrays import BoolArray, FloatArray, IntArray
from ticketsearch.engine.base import Job
from ticketsearch.masks.ticket import Weights
from ticketsearch.tasks.layout import Layout
from ticketsearch.tasks.modules import prunable_in

Values = TypeVar("Values", FloatArray, BoolArray)


class Whole:
    """Moves the weights of layers left dense from the rest into the vector, always kept, and back.

    Args:
        layout: the network's, in whose rest those weights are.
        network: a plain chain of layers; see :mod:`ticketsearch.engine.plain`.

    Attributes:
        size: of the whole vector: weights of all layers, in the order of the chain.
        biases: how many.
    """

    def __init__(self, layout: Layout, network: nn.Module) -> None:
        shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
        prunable = {
            f"{place}.{name}" if place else name
            for place, module in network.named_modules()
            for name in prunable_in(module)
        }
        both = {**{layer.name: layer.shape for layer in layout.space.layers}, **layout.rest_shapes}
        assert shapes == {name: both[name] for name in shapes}  # a chain has no buffers, and nothing twice
        places = np.arange(layout.space.size + sum(int(np.prod(one)) for one in layout.rest_shapes.values()))
        ends = np.cumsum([int(np.prod(shape)) for shape in both.values()])
        of = dict(zip(both, np.split(places, ends[:-1]), strict=True))
        weights = [of[name] for name in shapes if name in prunable]
        biases = [of[name] for name in shapes if name not in prunable]
        self._weights: IntArray = np.concatenate(weights)
        self._biases: IntArray = np.concatenate([np.zeros(0, dtype=np.int64), *biases])
        self._back: IntArray = np.argsort(np.concatenate([self._weights, self._biases]))
        self._prunable = layout.space.size
        self.size, self.biases = self._weights.size, self._biases.size
        self._same = self.size == self._prunable

    def widened(self, job: Job) -> Job:
        """A job of the layout's as one of the whole vector."""
        if self._same:
            return job
        weights, rest = job.start.vector, job.start.rest
        start = Weights(*self._apart(weights, rest))
        held = None if job.held is None else self._apart(job.held, np.zeros_like(rest))[0]
        left = np.ones((len(job.masks), rest.shape[-1]), dtype=bool) if job.rest_mask is None else job.rest_mask
        masks, rest_mask = self._apart(job.masks, left)
        return replace(job, masks=masks, start=start, held=held, rest_mask=None if job.rest_mask is None else rest_mask)

    def narrowed(self, weights: Weights) -> Weights:
        """The inverse, of weights."""
        if self._same:
            return weights
        together = np.concatenate([weights.vector, weights.rest], axis=-1)[..., self._back]
        return Weights(together[..., : self._prunable].copy(), together[..., self._prunable :].copy())

    def _apart(self, vector: Values, rest: Values) -> tuple[Values, Values]:
        """Weights of all layers, and biases, from the vector and the rest; rows are repeated where one has none."""
        if vector.ndim != rest.ndim:
            rows = max(len(one) for one in (vector, rest) if one.ndim == 2)
            vector, rest = (np.broadcast_to(one, (rows, one.shape[-1])) for one in (vector, rest))
        together = np.concatenate([vector, rest], axis=-1)
        return together[..., self._weights], together[..., self._biases]
