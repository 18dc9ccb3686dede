"""The map between a torch module and vectors: which weights are prunable, and where each lies.

Prunable are the weights of linear and convolution layers. Everything else (biases, normalisation
parameters, running statistics) is the *rest*: trained, never pruned, never counted. Counters of batches are no part of
it: they decide nothing once a normalisation has a momentum, and one without is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from ticketsearch.errors import InvalidValue
from ticketsearch.masks import MaskSpace
from ticketsearch.tickets import Weights

PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd)
NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the prunable tensors (in ``space``) and of the rest, what of it is trained, the classes."""

    space: MaskSpace
    rest_shapes: dict[str, tuple[int, ...]]
    trained_rest: frozenset[str]
    classes: int


def layout_of(network: nn.Module, example: Tensor) -> Layout:
    """Read the layout off a network, running one example forward to see how often each weight is used.

    Args:
        network: the module.
        example: one input with its batch dimension, ``(1, ...)``.

    Raises:
        InvalidValue: no prunable layer, or the network does not map the example to ``(1, classes)``.
    """
    uses: dict[str, int] = {}
    hooks = []
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is None:
            raise InvalidValue(f"layer {name!r} averages its statistics over all batches ever seen; give it a momentum")
        if isinstance(module, PRUNABLE):
            key = f"{name}.weight" if name else "weight"
            shapes[key] = tuple(module.weight.shape)
            hooks.append(module.register_forward_hook(_UseCounter(key, uses)))
    if not shapes:
        raise InvalidValue("the network has no linear or convolution layer, so nothing in it can be pruned")
    was_training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InvalidValue(f"the network cannot process an input of shape {tuple(example.shape)}: {error}") from error
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
        raise InvalidValue(
            f"the network must map (1, ...) to (1, classes), it returns {getattr(output, 'shape', output)}"
        )
    trained = {name: tuple(p.shape) for name, p in network.named_parameters() if name not in shapes}
    buffers = {name: tuple(b.shape) for name, b in network.named_buffers() if b.is_floating_point()}
    used = {name: shape for name, shape in shapes.items() if name in uses}
    return Layout(MaskSpace.from_shapes(used, uses), trained | buffers, frozenset(trained), output.shape[1])


@dataclass
class _UseCounter:
    """Counts how often each of a layer's weights is used per example.

    A linear layer does once for each vector, a convolution once for each pixel of its output, whatever its stride and
    groups, a transposed convolution once for each pixel of its input.
    """

    key: str
    uses: dict[str, int]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            positions = output[0].numel() // module.out_features
        else:
            assert isinstance(module, nn.modules.conv._ConvNd)
            positions = prod((inputs[0] if module.transposed else output).shape[2:])
        self.uses[self.key] = self.uses.get(self.key, 0) + positions


def read_weights(network: nn.Module, layout: Layout) -> Weights:
    """Copy a module's parameters and float buffers out into vectors."""
    state = network.state_dict()

    def flat(names: list[str]) -> np.ndarray:
        parts = [state[name].detach().float().reshape(-1).cpu().numpy() for name in names]
        return np.concatenate(parts, dtype=np.float32) if parts else np.zeros(0, dtype=np.float32)

    return Weights(flat([layer.name for layer in layout.space.layers]), flat(list(layout.rest_shapes)))


def unflatten(vector: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """``(P, N) -> name -> (P, *shape)``, views in order."""
    parts, offset = {}, 0
    for name, shape in shapes.items():
        size = prod(shape)
        parts[name] = vector[:, offset : offset + size].view(-1, *shape)
        offset += size
    return parts
