"""Whether an engine that replaces a user's module computes what the module computes: tried on a few examples.

Law 11. Scores in evaluation, gradients in training, the loss of a step: each is held against the module's own, run by
PyTorch, at weights that are not its initial ones, whole and masked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.arrays import BoolArray
from ticketsearch.engine.base import Engine, Job
from ticketsearch.engine.dense.trial import agree, loaded, perturbed
from ticketsearch.masks.ticket import Weights
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import fenced_globals, stream
from ticketsearch.tasks import Split, Task
from ticketsearch.tasks.layout import Layout, read_weights, words_of

EXAMPLES = 8
SINGLE = 4
"""Examples whose loss is looked at one by one."""
KEPT = (0.9, 0.3)
"""Densities of the masks."""


def disagreement(engine: Engine, task: Task) -> str | None:
    """What an engine computes otherwise than the task's module; ``None`` if nothing.

    Args:
        engine: is compiled, and trains a step.
        task: network and examples.
    """
    count = min(EXAMPLES, task.recipe.batch_size, len(task.train.labels))
    batch = Split(task.train.inputs[:count], task.train.labels[:count])
    for seed, density in enumerate(KEPT):
        network = task.build(seed=0)
        loaded(network, perturbed(network, seed))
        weights, space = read_weights(network, task.layout), task.layout.space
        mask = stream(seed, "proof").random(space.size) < density
        weights = Weights(np.where(mask, weights.vector, 0).astype(np.float32), weights.rest)
        loaded(network, _named(task.layout, weights))
        try:
            with fenced_globals(0):
                difference = _in_evaluation(engine, weights, network, batch) or _in_training(
                    engine, weights, mask, network, task, batch
                )
        except Exception as error:  # the user's own module, or a kernel's refusal
            return words_of(error)
        if difference is not None:
            return difference
    return None


def _in_evaluation(engine: Engine, weights: Weights, network: torch.nn.Module, batch: Split) -> str | None:
    one = Weights(weights.vector[None], weights.rest[None])
    parts = [Split(batch.inputs[i : i + 1], batch.labels[i : i + 1]) for i in range(min(SINGLE, len(batch.labels)))]
    found, expected = [], []
    for part in [batch, *parts]:
        found.append(float(engine.measure(one, part).loss[0]))
        with torch.no_grad():
            expected.append(float(F.cross_entropy(network.eval()(part.inputs.clone()), part.labels)))
    agreed = agree({"losses": torch.tensor(expected)}, {"losses": torch.tensor(found)})
    return None if agreed else "its scores in evaluation are others than those of the kernels"


def _in_training(
    engine: Engine, weights: Weights, mask: BoolArray, network: torch.nn.Module, task: Task, batch: Split
) -> str | None:
    """One step of plain SGD at a rate of one moves the weights by their gradients."""
    count = len(batch.labels)
    recipe = Recipe(steps=1, batch_size=count, learning_rate=1.0)
    job = Job(mask[None], weights, replace(recipe), np.arange(count)[None])
    [(after, losses)] = engine.train(job, (1,))
    loss = F.cross_entropy(network.train()(batch.inputs.clone()), batch.labels)
    parameters = dict(network.named_parameters())
    grads = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
    before, moved = _named(task.layout, weights), _named(task.layout, Weights(after.vector[0], after.rest[0]))
    kept = _named(task.layout, Weights(mask.astype(np.float32), np.ones_like(weights.rest)))
    expected = {name: grad * kept[name] for name, grad in grads.items()} | {"loss": loss.detach()[None]}
    found = {name: before[name] - moved[name] for name in grads} | {"loss": torch.tensor(losses).float()}
    slack = 1e-6 * max(float(tensor.abs().max()) for tensor in before.values())  # of subtracting what is nearly equal
    for name, one in expected.items():
        worst = float((one - found[name]).abs().max())
        if worst > slack + 1e-4 * max(float(one.abs().max()), 1e-3) or not bool(found[name].isfinite().all()):
            return f"in training its {name} {'' if name == 'loss' else 'gradient '}is another than that of the kernels"
    return None


def _named(layout: Layout, weights: Weights) -> dict[str, Tensor]:
    """Vectors as tensors by name."""
    parts = {layer.name: torch.from_numpy(np.array(part)) for layer, part in layout.space.split(weights.vector)}
    offset = 0
    for name, shape in layout.rest_shapes.items():
        size = int(np.prod(shape))
        parts[name] = torch.from_numpy(np.array(weights.rest[offset : offset + size])).reshape(shape)
        offset += size
    return parts
