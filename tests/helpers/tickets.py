"""Tickets of any network, made without a run."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from ticketsearch import SavedTicket, Weights
from ticketsearch.masks import MaskSpace


def ticket_of(network: nn.Module, *prunable: str, seed: int = 0) -> SavedTicket:
    """A ticket that keeps about half of the named weights; everything else of the network is its rest."""
    rng = np.random.Generator(np.random.PCG64(seed))
    parameters = {name: tuple(one.shape) for name, one in network.named_parameters()}
    buffers = {name: tuple(one.shape) for name, one in network.named_buffers() if one.is_floating_point()}
    space = MaskSpace.from_shapes({name: shape for name, shape in parameters.items() if name in prunable})
    assert len(space.layers) == len(prunable)
    rest_shapes = {name: shape for name, shape in (parameters | buffers).items() if name not in prunable}
    mask = rng.random(space.size) < 0.5

    def weights() -> Weights:
        rest = rng.uniform(0.2, 0.6, size=sum(map(math.prod, rest_shapes.values())))
        vector = np.where(mask, rng.normal(scale=0.3, size=space.size), 0)
        return Weights(vector.astype(np.float32), rest.astype(np.float32))

    return SavedTicket(space, mask, weights(), weights(), 0, rest_shapes)


def pruned_of(network: nn.Module, mask: np.ndarray, *names: str) -> torch.Tensor:
    """Values at pruned positions of what the network computes with, by each of a tensor's names."""
    found = []
    for name in names:
        owner, _, key = name.rpartition(".")
        found.append(getattr(network.get_submodule(owner), key)[torch.from_numpy(~mask)].detach().float())
    return torch.cat(found)
