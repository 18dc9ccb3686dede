"""Networks cut, and held beside the masked ones."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ticketsearch import Compaction, compact
from ticketsearch.arrays import BoolArray


def noise(*shape: int, seed: int = 5) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).normal(size=shape).astype(np.float32))


def masked(network: nn.Module, masks: dict[str, BoolArray]) -> nn.Module:
    """What a mask means, written independently."""
    result = copy.deepcopy(network)
    state = result.state_dict()
    for name, mask in masks.items():
        state[name].copy_(torch.where(torch.from_numpy(mask), state[name], 0.0))
    return result


def checked(network: nn.Module, example: Tensor, masks: dict[str, BoolArray] | None = None, **how: Any) -> Compaction:
    """Compacted, and equal on other random input than it was made with; notes say if nothing was cut."""
    before = copy.deepcopy(network.state_dict())
    cut = compact(network, masks, example=example, **how)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    other = noise(7, *example.shape[1:], seed=6)
    with torch.no_grad():
        wanted, found = masked(network, masks or {}).eval()(other), copy.deepcopy(cut.module).eval()(other)
    assert float((wanted - found).abs().max()) <= 1e-5 * max(1.0, float(wanted.abs().max()))
    return cut


def widths(cut: Compaction) -> dict[str, tuple[int, int]]:
    return {layer.name: (layer.inputs[1], layer.outputs[1]) for layer in cut.layers}
