"""Derivatives of one network at one point, by PyTorch's autograd: what pruning at initialisation asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.attention import SDPBackend, sdpa_kernel

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine.dense.calling import Caller
from ticketsearch.engine.dense.draws import Drawing, drawing
from ticketsearch.engine.dense.fused import FusedPerceptron
from ticketsearch.engine.threads import pool
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Weights
from ticketsearch.seeds import stream, torch_stream
from ticketsearch.tasks import Task
from ticketsearch.tasks.layout import Layout, read_weights, unflatten, words_of

Array = TypeVar("Array", FloatArray, ScoreArray, BoolArray)


class Derivatives:
    """Gradients with respect to the prunable vector, ``(D,)``; one network, one thread of its own.

    Args:
        task: network and training split.
        layout: the network's.
        device: where to compute.
        draws: what the network draws from in training.
    """

    def __init__(self, task: Task, layout: Layout, device: torch.device, draws: Drawing = "") -> None:
        self._call = Caller(task.build(seed=0).to(device))
        self._task, self._layout, self._device, self._draws = task, layout, device, draws
        self._thread = pool(1)
        self._shapes = {layer.name: layer.shape for layer in layout.space.layers}
        self._fused = FusedPerceptron.of(self._call.module, layout) if device.type == "cpu" else None

    def gradients(self, weights: Weights, indices: IntArray) -> FloatArray:
        """Gradient of the mean training loss over examples ``(N,)``."""
        return self._run("the gradient of its loss", self._gradients, weights, indices)

    def hessian_gradient(self, weights: Weights, indices: IntArray, temperature: float) -> FloatArray:
        """``H g`` of the mean training loss with logits divided by ``temperature`` (GraSP, arXiv:2002.07376, eq. 8)."""
        return self._run("a product with its Hessian", self._hessian_gradient, weights, indices, temperature)

    def synaptic_flow(self, weights: Weights) -> ScoreArray:
        """``|w| * dR/d|w|``, R the summed output of the network of absolute weights on an input of ones.

        SynFlow (arXiv:2006.05467, eq. 2 and algorithm 1), in double precision for depth. Biases are zero in R, so for
        ReLU networks R is the sum over paths of the products of absolute weights, as in the paper.
        """
        return self._run("SynFlow's scores", self._synaptic_flow, weights)

    def ntk_sensitivity(self, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """``|d/dm sum |f(x, w * m) - f(x, (w + scale z) * m)|^2|`` at a mask ``(D,)``; the sum is of all outputs.

        NTK-SAP (arXiv:2304.02840). The seed says the weights w, drawn anew as the network draws its own, the
        inputs x and the perturbation z, both standard normal.
        """
        return self._run("NTK-SAP's scores", self._ntk_sensitivity, mask, seed, examples, scale)

    def _run(self, what: str, compute: Callable[..., Array], *arguments: object) -> Array:
        """In the thread of its own; what PyTorch has no derivative of, or the network no answer to, is said."""
        try:
            return self._thread.submit(compute, *arguments).result()
        except Exception as error:  # the user's own network
            raise InvalidValue(
                f"task {self._task.name!r}: of this network {what} cannot be computed: {words_of(error)}; choose a "
                "strategy or predictor that does not need it"
            ) from error

    def _synaptic_flow(self, weights: Weights) -> ScoreArray:
        if not self._task.train.inputs.is_floating_point():
            raise InvalidValue(f"task {self._task.name!r}: SynFlow needs inputs that are real numbers, not integers")
        state, parameters = self._state(Weights(np.abs(weights.vector), weights.rest), torch.float64)
        for name in state.keys() & self._network_parameters - {layer.name for layer in self._layout.space.layers}:
            state[name] = torch.zeros_like(state[name]) if "bias" in name else state[name].abs()
        ones = torch.ones_like(self._task.train.inputs[:1], dtype=torch.float64, device=self._device)
        flow = self._called(state, ones, training=False).sum()
        return self._gradient(flow, parameters) * np.abs(weights.vector)

    def _ntk_sensitivity(self, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        generator = torch_stream(seed, self._device)
        weights = read_weights(self._task.build(int(stream(seed, "weights").integers(2**31))), self._layout)
        inputs = self._made_up(examples, generator)
        bits, _ = self._state(Weights(mask.astype(np.float32), weights.rest), torch.float64)
        change = self._change(weights, bits, inputs, scale, generator)
        return np.abs(self._gradient(change, [bits[name] for name in self._shapes]))

    def _made_up(self, examples: int, generator: torch.Generator) -> Tensor:
        """So many standard normal inputs, in double precision."""
        first = self._task.train.inputs[:1]
        if not first.is_floating_point():
            raise InvalidValue(f"task {self._task.name!r}: NTK-SAP needs inputs that are real numbers, not integers")
        shape = examples, *first.shape[1:]
        return torch.randn(shape, generator=generator, device=self._device, dtype=torch.float64)

    def _change(
        self, weights: Weights, bits: dict[str, Tensor], inputs: Tensor, scale: float, generator: torch.Generator
    ) -> Tensor:
        """``sum |f(x, w * m) - f(x, (w + scale z) * m)|^2``, m from ``bits``, z drawn layer by layer."""
        values, _ = self._state(weights, torch.float64)  # of which a small difference is taken
        outputs = []
        for size in (0.0, scale):
            state = dict(values)
            for name in self._shapes:
                value = values[name].detach()
                if size:
                    noise = torch.randn(value.shape, generator=generator, device=self._device, dtype=torch.float64)
                    value = value + size * noise
                state[name] = value * bits[name]
            with drawing(self._draws, 0, np.arange(len(inputs)), self._device):
                outputs.append(self._called(state, inputs.clone(), training=True))
        return (outputs[0] - outputs[1]).square().sum()

    def _gradients(self, weights: Weights, indices: IntArray) -> FloatArray:
        if self._fused is not None:
            return self._fused_gradients(self._fused, weights, indices)
        state, parameters = self._state(weights)
        return self._gradient(self._loss(state, indices, 1.0), parameters).astype(np.float32)

    def _fused_gradients(self, plan: FusedPerceptron, weights: Weights, indices: IntArray) -> FloatArray:
        vector, rest = (torch.from_numpy(np.array(part)) for part in (weights.vector, weights.rest))
        biases = {name: part[0] for name, part in unflatten(rest[None], self._layout.rest_shapes).items()}
        inputs, labels = self._examples(indices)
        [gradient] = torch.autograd.grad(plan.loss(vector.requires_grad_(), biases, inputs, labels), [vector])
        found: FloatArray = gradient.numpy()
        return found

    def _hessian_gradient(self, weights: Weights, indices: IntArray, temperature: float) -> FloatArray:
        state, parameters = self._state(weights)
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            loss = self._loss(state, indices, temperature)
            gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
            product = sum(
                ((g * g.detach()).sum() for g in gradients if g is not None), torch.zeros((), device=self._device)
            )
            return self._gradient(product, parameters).astype(np.float32)

    @staticmethod
    def _gradient(value: Tensor, parameters: list[Tensor]) -> ScoreArray:
        """With respect to all of them, ``(D,)``; zero where the value does not depend on one."""
        return _flat(torch.autograd.grad(value, parameters, materialize_grads=True, allow_unused=True))

    @property
    def _network_parameters(self) -> set[str]:
        return {name for name, _ in self._call.module.named_parameters()}

    def _called(self, state: dict[str, Tensor], inputs: Tensor, *, training: bool) -> Tensor:
        self._call.module.train(training)
        return self._call(state, inputs)

    def _state(self, weights: Weights, dtype: torch.dtype | None = None) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Parameters by name, and the prunable ones, which require gradients; of their own type, or of ``dtype``."""

        def part(values: FloatArray, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
            row = torch.from_numpy(np.array(values, order="C")[None]).to(self._device)
            types = self._layout.dtypes
            return {
                name: tensor[0].clone().to(dtype or types.get(name, torch.float32))
                for name, tensor in unflatten(row, shapes).items()
            }

        parameters = part(weights.vector, self._shapes)
        for parameter in parameters.values():
            parameter.requires_grad_()
        return parameters | part(weights.rest, self._layout.rest_shapes), list(parameters.values())

    def _loss(self, state: dict[str, Tensor], indices: IntArray, temperature: float) -> Tensor:
        inputs, labels = self._examples(indices)
        with drawing(self._draws, 0, indices, self._device):
            logits = self._called(state, inputs, training=True)
        return F.cross_entropy(logits / temperature, labels)

    def _examples(self, indices: IntArray) -> tuple[Tensor, Tensor]:
        """Inputs and labels of training examples."""
        chosen = torch.from_numpy(indices)
        return self._task.train.inputs[chosen].to(self._device), self._task.train.labels[chosen].to(self._device)


def _flat(tensors: tuple[Tensor, ...]) -> ScoreArray:
    return np.concatenate([tensor.detach().reshape(-1).double().cpu().numpy() for tensor in tensors])
