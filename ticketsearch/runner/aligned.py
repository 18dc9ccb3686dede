"""The control ``aligned``: a ticket's mask over other initial weights, its neurons moved to where their like are.

Networks are the same under permutations of their neurons, and two initialisations know nothing of each other's. So a
mask that does badly over fresh weights (the control ``reinitialise``) may only be in the wrong places. As in "Sparse
training from random initialization: aligning lottery ticket masks using weight symmetry" (arXiv:2505.05143): both
dense networks are trained, neurons of each layer are matched by the correlation of their activations (the Hungarian
method), and the mask is permuted accordingly, its inputs as the layer before.
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ticketsearch.arrays import BoolArray, FloatArray, IntArray
from ticketsearch.engine import Job
from ticketsearch.engine.plain import chain_of
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.runner.confirm import data_order
from ticketsearch.runner.setup import Setup
from ticketsearch.tasks.layout import Layout, write_weights
from ticketsearch.tasks.modules import PRUNABLE

Values = TypeVar("Values", BoolArray, FloatArray)
EXAMPLES = 2000
"""Of the training split, that neurons are compared on."""


def aligned(setup: Setup, ticket: Ticket, dense: Weights, drawn: Weights, index: int) -> Ticket:
    """The ticket's mask, permuted for other initial weights, from which it starts.

    Args:
        setup: the run's.
        ticket: whose mask, of weights.
        dense: the run's dense network after training, ``(D,)`` and ``(R,)``.
        drawn: the other initial weights; a dense network is trained from them.
        index: of the data order that it sees.

    """
    task, space = setup.task, setup.units.weights
    whole = np.ones((1, space.size), dtype=bool)
    job = Job(whole, drawn, task.recipe, data_order(task, setup.seed, index))
    [(trained, _)] = setup.engine.train(job, (job.steps,))
    inputs = task.train.inputs[:EXAMPLES]
    networks = (dense, Weights(trained.vector[0], trained.rest[0]))
    theirs, ours = (activations(setup, weights, inputs) for weights in networks)
    places = [matched(one, other) for one, other in zip(theirs, ours, strict=True)]
    return Ticket(permuted(ticket.mask, space, places), drawn)


def check_aligned(setup: Setup) -> None:
    """Pass, if it is known which neurons of the network may be permuted.

    Raises:
        InvalidValue: it is no plain chain of layers, all of them pruned; or units are not weights.
    """
    if setup.units.granularity != "weight" or not permutable(setup.task.build(seed=0), setup.units.weights):
        raise InvalidValue(
            f"control 'aligned': task {setup.task.name!r} must have a plain chain of layers (Sequential of Linear, "
            "Conv2d and activations), all of them pruned, and --granularity weight: of others it is not known which "
            "neurons may change places; leave the control out"
        )


def permutable(network: nn.Module, space: MaskSpace) -> bool:
    """Whether it is a chain of layers whose weights are, in this order, all that is pruned."""
    layers = [one for one in chain_of(network) or [] if isinstance(one, PRUNABLE)]
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(layer.weight)] for layer in layers] == [layer.name for layer in space.layers]


def activations(setup: Setup, weights: Weights, inputs: Tensor) -> list[npt.NDArray[np.float64]]:
    """Outputs of each layer but the last, ``(neurons, examples)``; of a convolution also all places, flattened."""
    network = setup.task.build(seed=0).eval()
    write_weights(network, setup.task.layout, weights)
    found: list[npt.NDArray[np.float64]] = []

    def keep(_module: nn.Module, _inputs: Any, outputs: Tensor) -> None:
        found.append(outputs.transpose(0, 1).flatten(1).double().numpy())

    hooks = [one.register_forward_hook(keep) for one in network.modules() if isinstance(one, PRUNABLE)]
    with torch.no_grad():
        network(inputs)
    for hook in hooks:
        hook.remove()
    return found[:-1]


def matched(theirs: npt.NDArray[np.float64], ours: npt.NDArray[np.float64]) -> IntArray:
    """For each of our neurons the one of theirs in its place, ``(neurons,)``: the sum of correlations is highest."""
    from scipy.optimize import linear_sum_assignment

    def standardised(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        centred = values - values.mean(1, keepdims=True)
        spread = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0))

    rows, columns = linear_sum_assignment(standardised(ours) @ standardised(theirs).T, maximize=True)
    place: IntArray = np.empty(len(ours), dtype=np.int64)
    place[rows] = columns
    return place


def moved(weights: Weights, layout: Layout, places: list[IntArray]) -> Weights:
    """The same function: a plain chain's weights, biases included, its neurons moved as by :func:`permuted`."""
    by_bias = {
        f"{one.name.removesuffix('weight')}bias": where for one, where in zip(layout.space.layers, places, strict=False)
    }
    parts, offset = [], 0
    for name, shape in layout.rest_shapes.items():
        own = weights.rest[offset : offset + prod(shape)]
        offset += own.size
        parts.append(own[by_bias[name]] if name in by_bias else own)
    rest = np.concatenate(parts) if parts else weights.rest
    return Weights(permuted(weights.vector, layout.space, places), rest)


def permuted(mask: Values, space: MaskSpace, places: list[IntArray]) -> Values:
    """A mask, or weights, ``(D,)``: neuron j of layer l is the one that was ``places[l][j]``; the last layer's stay."""
    parts, before = [], None
    for index, layer in enumerate(space.layers):
        own = mask[layer.span].reshape(layer.shape[0], -1)
        if before is not None:  # of each input a column, or a convolution's window, or an image that was flattened
            own = own.reshape(layer.shape[0], len(before), -1)[:, before].reshape(layer.shape[0], -1)
        before = places[index] if index < len(places) else None
        parts.append(own if before is None else own[before])
    moved: Values = np.concatenate([part.reshape(-1) for part in parts])
    return moved
