"""Law 11: whatever network a user brings, an engine trains it as a plain PyTorch loop does, or it is refused in a line.

``TICKETSEARCH_NETWORKS=5000 pytest tests/engine/test_any_network.py`` draws more.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers.drawn_networks import CLASSES, WORDS, Drawn, drawn
from ticketsearch import Recipe, Split, Task, Weights
from ticketsearch.applying import unwrapped
from ticketsearch.engine import Job, make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.layout import read_weights

NETWORKS, TOGETHER = int(os.environ.get("TICKETSEARCH_NETWORKS", "60")), 25
RECIPE = Recipe(steps=5, batch_size=12, learning_rate=0.05, momentum=0.9, weight_decay=1e-3)
pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:Full backward hook")


def task_of(network: Drawn, seed: int) -> Task:
    rng = np.random.Generator(np.random.PCG64(seed + 10**6))
    parts = []
    for count in (60, 20, 20):
        shape = (count, *network.shape)
        inputs = rng.integers(WORDS, size=shape) if network.words else rng.normal(size=shape).astype(np.float32)
        parts.append(Split(torch.from_numpy(inputs), torch.from_numpy(rng.integers(CLASSES, size=count))))
    train, validation, test = parts
    return Task(f"drawn-{seed}", network.make, train, validation, test, RECIPE, 2)


def by_hand(task: Task, start: Weights, mask: np.ndarray, batches: np.ndarray) -> nn.Module:
    """A user's loop over the user's module: ``torch.optim``, and the pruned weights zero after every step."""
    network = task.build(0)
    places = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    values, offset = {}, 0
    for layer, part in task.layout.space.split(start.vector):
        values[layer.name] = torch.from_numpy(np.array(part))
    for name, shape in task.layout.rest_shapes.items():
        size = int(np.prod(shape))
        values[name] = torch.from_numpy(start.rest[offset : offset + size].copy()).reshape(shape)
        offset += size
    kept = {layer.name: torch.from_numpy(np.array(part)) for layer, part in task.layout.space.split(mask)}

    @torch.no_grad()
    def prune() -> None:
        for name, own in kept.items():
            places[name].mul_(own)

    with torch.no_grad():
        for name, value in values.items():
            places[name].copy_(value)
    prune()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    for step, chosen in enumerate(batches):
        optimizer.param_groups[0]["lr"] = RECIPE.learning_rate_at(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(network.train()(task.train.inputs[chosen]), task.train.labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in network.named_parameters():
            if name in kept and parameter.grad is not None:
                parameter.grad.mul_(kept[name])
        optimizer.step()
        prune()
    return network


def check(seed: int) -> bool:
    """Whether the network of a seed was trained; if so, it was trained as it is."""
    network = drawn(seed)
    task = task_of(network, seed)
    try:
        engine = make_engine(task, workers=1)
    except InvalidValue as error:
        told = str(error)
        assert network.refused, f"{network.kinds}: refused: {told}"
        assert any(words in told for words in network.refused.split("|")), f"{network.kinds}: {told}"
        return False
    assert not network.refused, f"{network.kinds} must be refused: {network.refused}"
    rng = np.random.Generator(np.random.PCG64(seed))
    space = engine.layout.space
    norms = any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in task.build(0).modules())
    masks = rng.random((2, space.size)) < 0.4
    batches = np.stack([rng.permutation(60)[:12] for _ in range(5)])
    start = read_weights(task.build(0), engine.layout)
    [(found, _)] = engine.train(Job(masks, start, RECIPE, batches), (5,))
    measured = engine.evaluate(Job(masks, start, RECIPE, batches), task.validation)
    for row, mask in enumerate(masks):
        expected = by_hand(task, start, mask, batches)
        own = read_weights(expected, engine.layout)
        where = f"seed {seed}, {network.kinds}, {engine.name}"
        slack = 1e-3 if norms else 3e-5  # a neuron without inputs has no variance: noise over the square root of 1e-5
        np.testing.assert_allclose(found.vector[row], own.vector, rtol=2e-3, atol=slack, err_msg=where)
        np.testing.assert_allclose(found.rest[row], own.rest, rtol=2e-3, atol=slack, err_msg=where)
        assert not found.vector[row][~mask].any(), where
        with torch.no_grad():
            loss = float(F.cross_entropy(expected.eval()(task.validation.inputs), task.validation.labels))
        np.testing.assert_allclose(measured.loss[row], loss, rtol=20 * slack + 1e-3, err_msg=where)
    held = {name for name, _ in unwrapped(network.make()).named_parameters()}
    assert {layer.name for layer in space.layers} | set(engine.layout.rest_shapes) >= held
    return True


@pytest.mark.parametrize("first", range(0, NETWORKS, TOGETHER))
def test_any_network_is_trained_as_it_is_or_refused(first: int) -> None:
    trained = [check(seed) for seed in range(first, min(first + TOGETHER, NETWORKS))]
    assert sum(trained) > len(trained) // 3
