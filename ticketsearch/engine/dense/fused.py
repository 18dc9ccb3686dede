"""Loss and gradients of a plain perceptron in one go: what autograd would record operation by operation, written out.

A gradient lands where it belongs in the flat vector of all weights, and none is computed of the inputs. That, and no
Python for each layer of a module, is what training through a relaxation gains from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.engine.plain import perceptron_layers
from ticketsearch.tasks.layout import Layout

_gate = torch.ops.aten.threshold_backward.default


@dataclass(frozen=True)
class FusedPerceptron:
    """A chain of linear layers with one activation between them.

    Attributes:
        spans: of each layer's weights in the vector.
        shapes: of its weights, ``(outputs, inputs)``.
        biases: names of its biases; ``None`` = it has none.
        tanh: whether the activation is tanh; else ReLU.
    """

    spans: tuple[slice, ...]
    shapes: tuple[tuple[int, int], ...]
    biases: tuple[str | None, ...]
    tanh: bool

    @classmethod
    def of(cls, network: nn.Module, layout: Layout) -> FusedPerceptron | None:
        """The perceptron a network is, all of whose weights are in the vector; ``None`` if it is none."""
        found = perceptron_layers(network)
        if found is None:
            return None
        linears, tanh = found
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        layers = {layer.name: layer for layer in layout.space.layers}
        if [names[id(one.weight)] for one in linears] != list(layers):
            return None
        return cls(
            spans=tuple(layer.span for layer in layers.values()),
            shapes=tuple((one.out_features, one.in_features) for one in linears),
            biases=tuple(None if one.bias is None else names[id(one.bias)] for one in linears),
            tanh=tanh,
        )

    def loss(self, vector: Tensor, rest: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy, differentiable by weights ``(D,)`` and biases.

        Args:
            vector: ``(D,)``.
            rest: biases by name.
            inputs: ``(B, ...)``, of as many numbers as the first layer takes.
            labels: ``(B,)``.
        """
        loss: Tensor = _Loss.apply(
            self, vector, inputs.flatten(1), labels, *(rest[name] for name in self.biases if name is not None)
        )
        return loss


class _Loss(torch.autograd.Function):
    """Forward computes the gradients as well, as a training always wants them."""

    @staticmethod
    def forward(
        ctx: Any, plan: FusedPerceptron, vector: Tensor, inputs: Tensor, labels: Tensor, *given: Tensor
    ) -> Tensor:
        """Activations, loss, gradients."""
        weights = [vector[span].view(shape) for span, shape in zip(plan.spans, plan.shapes, strict=True)]
        left = list(given)
        biases = [left.pop(0) if name is not None else None for name in plan.biases]
        activations = [inputs]
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            outputs = F.linear(activations[-1], weight, bias)
            if index < len(weights) - 1:
                outputs = outputs.tanh_() if plan.tanh else outputs.relu_()
            activations.append(outputs)
        logits = activations.pop()
        loss = F.cross_entropy(logits, labels)
        grad = logits.softmax(1)
        grad[torch.arange(len(labels)), labels] -= 1
        grad /= len(labels)
        of_vector, of_biases = torch.empty_like(vector), []
        for span, shape, weight, bias, before in zip(
            plan.spans[::-1], plan.shapes[::-1], weights[::-1], biases[::-1], activations[::-1], strict=True
        ):
            torch.mm(grad.t(), before, out=of_vector[span].view(shape))
            if bias is not None:
                of_biases.append(grad.sum(0))
            if before is not inputs:
                grad = grad @ weight
                grad = grad.addcmul_(grad, before * before, value=-1) if plan.tanh else _gate(grad, before, 0)
        ctx.save_for_backward(of_vector, *of_biases[::-1])
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """What was computed, times the derivative of whatever is made of the loss."""
        of_vector, *of_biases = ctx.saved_tensors
        factor = outer[0]
        if float(factor) != 1:
            of_vector, of_biases = of_vector * factor, [one * factor for one in of_biases]
        return None, of_vector, None, None, *of_biases
