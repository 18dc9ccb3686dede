"""Numbers about a network: its parameters, the FLOPs of one example, how coarsely it rounds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def parameters_of(module: nn.Module) -> int:
    """Numbers in the parameters of a module; a shared tensor counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def coarsest(module: nn.Module) -> float:
    """The largest relative rounding error of a number among a module's dtypes."""
    kinds = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    return max((float(torch.finfo(kind).eps) for kind in kinds), default=0.0)


def flops_of(module: nn.Module, example: Tensor) -> int:
    """FLOPs of the first example forward, by ``torch.utils.flop_counter``."""
    try:
        with _counted_kernels():
            return _count(module, example)
    except RuntimeError:  # half precision has no other kernels on some machines
        return _count(module, example)


def _count(module: nn.Module, example: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(example[:1])
    return int(counter.get_total_flops())


@contextmanager
def _counted_kernels() -> Iterator[None]:
    """Attention and recurrent layers by matrix products: their fused kernels are not counted."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings for devices that are not there
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
