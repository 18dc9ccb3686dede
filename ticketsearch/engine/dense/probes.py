"""What else predictors ask of a network at one point: curvature, its tangent kernel, which of its units are at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine.base import Kept
from ticketsearch.engine.dense.derivatives import Derivatives
from ticketsearch.engine.dense.draws import drawing
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Weights
from ticketsearch.seeds import torch_stream
from ticketsearch.tasks.layout import unflatten

RECTIFIERS: frozenset[Callable[..., Any]] = frozenset(
    {torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu, F.relu6, F.leaky_relu, F.prelu, torch.prelu}
)
"""Functions whose units are at work where their input is positive."""


class Probes(Derivatives):
    """Like :class:`Derivatives`, and on the same thread."""

    def hessian_product(self, weights: Weights, indices: IntArray, direction: FloatArray) -> FloatArray:
        """Hessian of the mean training loss over examples ``(N,)`` times a direction ``(D,)``."""
        return self._run("a product with its Hessian", self._hessian_product, weights, indices, direction)

    def tangent_kernel(self, weights: Weights, kept: Kept, indices: IntArray) -> ScoreArray:
        """``(N, N)``: products of the gradients of each example's summed outputs.

        The gradients are by what is trained: the kept weights, and of the rest what ``kept`` leaves. As TE-NAS
        computes it (arXiv:2102.11535).
        """
        return self._run("its tangent kernel", self._tangent_kernel, weights, kept, indices)

    def activation_patterns(self, weights: Weights, indices: IntArray) -> BoolArray:
        """``(N, A)``: which rectifiers' inputs are positive, all of them in the order of their calls."""
        return self._run("which of its units are at work", self._activation_patterns, weights, indices)

    def ntk_change(self, weights: Weights, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """``sum |f(x, w * m) - f(x, (w + scale z) * m)|^2`` at given weights, ``(1,)``; x and z from the seed."""
        return self._run("NTK-SAP's norm", self._ntk_norm, weights, mask, seed, examples, scale)

    def _hessian_product(self, weights: Weights, indices: IntArray, direction: FloatArray) -> FloatArray:
        state, parameters = self._state(weights)
        parts = unflatten(torch.from_numpy(np.array(direction)[None]).to(self._device), self._shapes)
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            loss = self._loss(state, indices, 1.0)
            gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
            product = torch.zeros((), device=self._device)
            for gradient, part in zip(gradients, parts.values(), strict=True):
                if gradient is not None:
                    product = product + (gradient * part[0]).sum()
            return self._gradient(product, parameters).astype(np.float32)

    def _tangent_kernel(self, weights: Weights, kept: Kept, indices: IntArray) -> ScoreArray:
        state, parameters = self._state(weights, torch.float64)  # its smallest eigenvalues matter
        names = [name for name in self._layout.rest_shapes if name in self._layout.trained_rest]
        trained = parameters + [state[name].requires_grad_() for name in names]
        rest = unflatten(torch.from_numpy(np.array(kept.rest)[None]), self._layout.rest_shapes)
        bits = torch.cat([torch.from_numpy(np.array(kept.mask)), *(rest[name].reshape(-1) for name in names)])
        bits = bits.to(self._device)
        inputs, _ = self._examples(indices)
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        with drawing(self._draws, 0, indices, self._device):
            summed = self._called(state, inputs, training=True).flatten(1).sum(1)  # (N,)
        rows = []
        for one in summed:
            parts = torch.autograd.grad(one, trained, retain_graph=True, materialize_grads=True, allow_unused=True)
            rows.append(torch.cat([part.reshape(-1) for part in parts]) * bits)
        jacobian = torch.stack(rows)  # (N, D + R)
        kernel: ScoreArray = (jacobian @ jacobian.T).cpu().numpy()
        return kernel

    def _activation_patterns(self, weights: Weights, indices: IntArray) -> BoolArray:
        state, _ = self._state(weights)
        inputs, _ = self._examples(indices)
        with torch.no_grad(), drawing(self._draws, 0, indices, self._device), _Rectified(len(indices)) as seen:
            self._called(state, inputs, training=True)
        if not seen.patterns:
            raise InvalidValue("it has no rectifiers (ReLU and its like)")
        patterns: BoolArray = torch.cat(seen.patterns, 1).cpu().numpy()
        return patterns

    def _ntk_norm(self, weights: Weights, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        generator = torch_stream(seed, self._device)
        inputs = self._made_up(examples, generator)
        with torch.no_grad():
            bits, _ = self._state(Weights(mask.astype(np.float32), weights.rest), torch.float64)
            return np.array([float(self._change(weights, bits, inputs, scale, generator))])


class _Rectified(TorchFunctionMode):
    """Notes where the inputs of rectifiers are positive, as they are called.

    Args:
        examples: N, of the batch.
    """

    def __init__(self, examples: int) -> None:
        super().__init__()
        self._examples = examples
        self.patterns: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RECTIFIERS:
            values = args[0] if args else kwargs["input"]
            if len(values) != self._examples:
                raise InvalidValue(
                    f"a rectifier sees {len(values)} rows for {self._examples} examples; its patterns are of no example"
                )
            self.patterns.append((values > 0).flatten(1))
        return func(*args, **(kwargs or {}))
