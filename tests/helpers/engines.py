"""What PyTorch computes by itself, beside which engines are held."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch import Recipe, Split, Task, Weights
from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.engine import Engine, Job, batch_indices
from ticketsearch.tasks.layout import read_weights

SHAPES = ((12, 8), (10, 12), (3, 10))
"""Of the tiny perceptron's layers."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def start_of(task: Task, engine: Engine, seed: int = 0) -> Weights:
    return read_weights(task.build(seed), engine.layout)


def batches(steps: int, seed: int = 0) -> IntArray:
    return batch_indices(300, 30, steps, rng(seed))


def train(engine: Engine, job: Job, stops: tuple[int, ...] = ()) -> Weights:
    return [weights for weights, _ in engine.train(job, stops or (job.steps,))][-1]


def load(network: nn.Module, engine: Engine, weights: Weights, mask: BoolArray) -> dict[str, Tensor]:
    """Put weights into a module, pruned ones zero; parameter name -> where it is kept."""
    state = network.state_dict()
    kept = {}
    for layer, part in engine.layout.space.split(np.where(mask, weights.vector, 0).astype(np.float32)):
        state[layer.name] = torch.from_numpy(np.array(part))
    for layer, part in engine.layout.space.split(mask):
        kept[layer.name] = torch.from_numpy(np.array(part))
    offset = 0
    for name, shape in engine.layout.rest_shapes.items():
        size = int(np.prod(shape))
        state[name] = torch.from_numpy(weights.rest[offset : offset + size].reshape(shape).copy())
        offset += size
    network.load_state_dict(state)
    return kept


def torch_training(task: Task, engine: Engine, job: Job, row: int) -> nn.Module:
    """What a PyTorch user would write: ``torch.optim``, gradients multiplied by the mask, pruned weights reset."""
    network, recipe, mask = task.build(0), job.recipe, job.masks[row]
    kept = load(network, engine, job.start, mask)
    held = None if job.held is None else np.where(mask, 0, np.broadcast_to(job.held, job.masks.shape)[row])
    parts = [] if held is None else engine.layout.space.split(held.astype(np.float32))
    pruned = {layer.name: torch.from_numpy(np.array(part)) for layer, part in parts}
    hold(network, kept, pruned)
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=1.0,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
    else:
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(
            network.parameters(), lr=1.0, betas=recipe.betas, eps=recipe.epsilon, weight_decay=recipe.weight_decay
        )
    for step, chosen in enumerate(job.batches if job.batches.ndim == 2 else job.batches[row]):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(job.first_step + step)
        optimizer.zero_grad()
        backward(network, task.train, chosen, recipe)
        for name, parameter in network.named_parameters():
            if name in kept and parameter.grad is not None:
                parameter.grad *= kept[name]
        optimizer.step()
        hold(network, kept, pruned)
    return network


@torch.no_grad()
def hold(network: nn.Module, kept: dict[str, Tensor], held: dict[str, Tensor]) -> None:
    """Put pruned weights where they are held."""
    for name, parameter in network.named_parameters():
        if name in held:
            parameter.copy_(torch.where(kept[name], parameter, held[name]))


def backward(network: nn.Module, split: Split, chosen: IntArray, recipe: Recipe | None = None) -> None:
    """Leave the gradient of the mean loss, and of a recipe's terms on the weights, in the parameters."""
    loss = F.cross_entropy(network(split.inputs[chosen]), split.labels[chosen])
    for name, parameter in network.named_parameters() if recipe else ():
        if recipe and name.endswith("weight"):
            loss = loss + recipe.l1 * parameter.abs().sum()
            loss = loss + recipe.hoyer * parameter.abs().sum() ** 2 / parameter.square().sum()
    loss.backward()  # type: ignore[no-untyped-call]


def written_out(vector: Tensor, rest: Tensor, inputs: Tensor) -> Tensor:
    """The tiny perceptron as products and sums, from flat vectors: ``(B, 8) -> (B, 3)``."""
    position, offset = 0, 0
    for index, (outputs, width) in enumerate(SHAPES):
        matrix = vector[position : position + outputs * width].reshape(outputs, width)
        inputs = inputs @ matrix.T + rest[offset : offset + outputs]
        inputs = inputs if index == 2 else inputs.clamp(min=0)
        position, offset = position + outputs * width, offset + outputs
    return inputs
