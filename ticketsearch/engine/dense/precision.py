"""Training at low precision, simulated: values rounded to a few bits, gradients passing straight through.

Symmetric and uniform: the steps of a tensor are its largest magnitude over ``2 ** (bits - 1) - 1``, as in the 8-bit
training of Banner et al. (arXiv:1805.11046) that early-bird tickets (arXiv:1909.11957, section 4) are searched at; here
sums, normalisation and the optimiser's state stay in float32, and gradients are not rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ticketsearch.tasks.modules import PRUNABLE


def rounded(tensor: Tensor, bits: int, *, per_network: bool = False) -> Tensor:
    """A tensor of any shape at ``bits`` bits; one step size for all of it, or one for each row of ``(P, ...)``."""
    values = tensor.detach()
    axes = tuple(range(1 if per_network else 0, values.ndim))
    step = values.abs().amax(axes, keepdim=True) / (2 ** (bits - 1) - 1)
    step = torch.where(step > 0, step, 1)
    return tensor + (torch.round(values / step) * step - values)


@contextmanager
def low_precision_inputs(module: nn.Module, bits: int | None) -> Iterator[None]:
    """Round what the linear and convolution layers of a module receive; ``None`` leaves it as it is."""
    layers = [layer for layer in module.modules() if isinstance(layer, PRUNABLE)] if bits else []
    hooks = [layer.register_forward_pre_hook(lambda _m, args: (rounded(args[0], bits or 0),)) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
