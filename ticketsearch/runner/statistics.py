"""Running statistics of batch normalisations, computed anew for weights that no training reached.

Statistics are no weights: their mean is not that of the network in between, whose activations have other means and
variances. So every point of a line between two networks gets its own, from one pass over the training split.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ticketsearch.masks.ticket import Weights
from ticketsearch.runner.setup import Setup
from ticketsearch.tasks.layout import read_weights, write_weights
from ticketsearch.tasks.modules import NORM

EXAMPLES = 1000
"""Most of a batch; batches of a pass are of nearly equal size, and count alike."""


def tracked(network: nn.Module) -> list[NORM]:
    """Its batch normalisations that keep running statistics."""
    return [one for one in network.modules() if isinstance(one, NORM) and one.running_mean is not None]


def recomputed(setup: Setup, weights: Weights) -> Weights:
    """The same ``(P, D)``, ``(P, R)`` with statistics of their own; as they are, if the network has none.

    All else is in evaluation: nothing is dropped, nothing augmented.
    """
    task = setup.task
    network = task.build(seed=0).eval()
    norms = tracked(network)
    if not norms:
        return weights
    device = torch.device(setup.engine.device)
    network.to(device)
    inputs = task.train.inputs
    batches = [part.to(device) for part in inputs.tensor_split(-(-len(inputs) // EXAMPLES))]
    rests = []
    for vector, rest in zip(weights.vector, weights.rest, strict=True):
        write_weights(network, task.layout, Weights(vector, rest))
        for one in norms:
            one.train()
            one.momentum = None  # a mean over batches, each as much as another
            one.reset_running_stats()
        with torch.no_grad():
            for batch in batches:
                network(batch)
        rests.append(read_weights(network, task.layout).rest)
    return Weights(weights.vector, np.stack(rests))
