"""The same short trainings by six methods.

Every method trains P masked perceptrons for S steps of SGD with momentum on the same batches from the same start, and
returns each network's loss on one further batch.

``naive``     torch.nn.utils.prune, a DataLoader and torch.optim.SGD, one mask after another: what a script does
``resident``  the same with tensors indexed in place of the DataLoader, and masked gradients in place of prune's hooks
``vmap``      torch.func: vmap of grad over the population
``jax``       jit of lax.map over the masks of a scan over the steps (where JAX is installed)
``dense``     this package's dense engine
``sparse``    this package's sparse engine
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.engine import Engine, Job, batch_indices, make_engine
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream
from ticketsearch.tasks import Split, Task
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import mlp

SHAPES = {"mnist1d-mlp": ((40, 100, 100, 10), 100), "mnist-lenet": ((784, 300, 100, 10), 60)}
"""Widths and batch size."""
EXAMPLES = 6000
RATE, MOMENTUM = 0.05, 0.9


@dataclass(frozen=True)
class Workload:
    """P trainings: one shape, one density, one number of steps, on generated data."""

    shape: str
    density: float
    population: int
    steps: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer, input first."""
        return SHAPES[self.shape][0]

    @property
    def batch(self) -> int:
        """Examples per step."""
        return SHAPES[self.shape][1]

    @cached_property
    def task(self) -> Task:
        """A task on Gaussian inputs and random labels: the cost of a step does not depend on them."""
        rng = stream(0, "benchmark", self.shape)
        inputs = torch.from_numpy(rng.standard_normal((EXAMPLES, self.widths[0]), dtype=np.float32))
        labels = torch.from_numpy(rng.integers(self.widths[-1], size=EXAMPLES))
        last = Split(inputs[: self.batch], labels[: self.batch])
        return Task(
            name=f"benchmark-{self.shape}",
            network=lambda: mlp(*self.widths),
            train=Split(inputs, labels),
            validation=last,
            test=last,
            recipe=Recipe(self.steps, self.batch, RATE, momentum=MOMENTUM),
            fidelity=self.steps,
        )

    @cached_property
    def engine(self) -> Engine:
        """The sparse engine on one thread; others are made by the methods."""
        return make_engine(self.task, engine="sparse", workers=1)

    @cached_property
    def masks(self) -> BoolArray:
        """``(P, D)``."""
        return self.engine.layout.space.random(
            self.engine.layout.space.n_kept(1 - self.density), stream(0, "masks"), self.population
        )

    @cached_property
    def batches(self) -> IntArray:
        """``(S, B)``."""
        return batch_indices(EXAMPLES, self.batch, self.steps, stream(0, "batches"))

    def job(self) -> Job:
        """The trainings, for an engine."""
        start = read_weights(self.task.build(0), self.engine.layout)
        return Job(self.masks, start, self.task.recipe, self.batches)

    def dense_flops(self) -> float:
        """Multiply-adds x 2 of one training if every weight were computed with; no gradient of the inputs."""
        weights = [a * b for a, b in pairwise(self.widths)]
        return 2.0 * self.batch * self.steps * (3 * sum(weights) - weights[0])

    def network_masks(self, row: int) -> list[Tensor]:
        """One mask, layer by layer."""
        return [torch.from_numpy(np.asarray(part)) for _, part in self.engine.layout.space.split(self.masks[row])]


def naive(work: Workload, rows: range, _threads: int) -> list[float]:
    """See the module."""
    data = TensorDataset(*work.task.train)
    losses = []
    for row in rows:
        network = work.task.build(0)
        linears = [module for module in network if isinstance(module, nn.Linear)]  # type: ignore[attr-defined]
        for linear, mask in zip(linears, work.network_masks(row), strict=True):
            prune.custom_from_mask(linear, "weight", mask)  # type: ignore[no-untyped-call]
        optimizer = torch.optim.SGD(network.parameters(), RATE, MOMENTUM)
        for inputs, labels in DataLoader(data, batch_sampler=work.batches.tolist()):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses.append(_loss(work, network))
    return losses


def resident(work: Workload, rows: range, _threads: int) -> list[float]:
    """See the module."""
    inputs, labels = work.task.train
    batches = torch.from_numpy(work.batches)
    losses = []
    for row in rows:
        network = work.task.build(0)
        linears = [module for module in network if isinstance(module, nn.Linear)]  # type: ignore[attr-defined]
        pairs = list(zip([linear.weight for linear in linears], work.network_masks(row), strict=True))
        with torch.no_grad():
            for weight, mask in pairs:
                weight.mul_(mask)
        optimizer = torch.optim.SGD(network.parameters(), RATE, MOMENTUM)
        for chosen in batches:
            optimizer.zero_grad()
            F.cross_entropy(network(inputs[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            for weight, mask in pairs:
                assert weight.grad is not None
                weight.grad.mul_(mask)
            optimizer.step()
        losses.append(_loss(work, network))
    return losses


def vmap(work: Workload, rows: range, _threads: int) -> list[float]:
    """See the module."""
    network = work.task.build(0)
    names = [name for name, _ in network.named_parameters()]
    masked = {
        layer.name: torch.from_numpy(np.asarray(part))
        for layer, part in work.engine.layout.space.split(work.masks[rows.start : rows.stop])
    }
    state = {n: p.detach().expand(len(rows), *p.shape).clone() for n, p in network.named_parameters()}
    for name, mask in masked.items():
        state[name].mul_(mask)
    velocity = {name: torch.zeros_like(tensor) for name, tensor in state.items()}

    def loss(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(network, own, (x,)), y)

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    inputs, labels = work.task.train
    for chosen in torch.from_numpy(work.batches):
        grads = gradient(state, inputs[chosen], labels[chosen])
        for name in names:
            if name in masked:
                grads[name].mul_(masked[name])
            velocity[name].mul_(MOMENTUM).add_(grads[name])
            state[name].sub_(velocity[name], alpha=RATE)
    final = torch.func.vmap(loss, in_dims=(0, None, None))(state, *work.task.validation)
    return [float(value) for value in final]


def jax(work: Workload, rows: range, _threads: int) -> list[float]:
    """See the module; XLA's threads are set by the caller, through the environment."""
    import jax as j
    from jax import numpy as jnp

    job = work.job()
    layers = work.engine.layout.space.layers
    start = [jnp.asarray(job.start.vector[layer.span].reshape(layer.shape)) for layer in layers]
    biases = [jnp.zeros(layer.shape[0]) for layer in layers]
    masks = [jnp.asarray(part[rows.start : rows.stop]) for _, part in work.engine.layout.space.split(work.masks)]
    x, y = (jnp.asarray(part.numpy()[work.batches]) for part in work.task.train)
    last = tuple(jnp.asarray(part.numpy()) for part in work.task.validation)

    def loss(own, inputs, labels):  # type: ignore[no-untyped-def]
        weights, offsets = own
        for index, (weight, offset) in enumerate(zip(weights, offsets, strict=True)):
            inputs = inputs @ weight.T + offset
            inputs = j.nn.relu(inputs) if index < len(weights) - 1 else inputs
        return -jnp.take_along_axis(j.nn.log_softmax(inputs), labels[:, None], axis=1).mean()

    def train(mask):  # type: ignore[no-untyped-def]
        own = ([w * m for w, m in zip(start, mask, strict=True)], biases)
        zero = j.tree.map(jnp.zeros_like, own)

        def step(carry, batch):  # type: ignore[no-untyped-def]
            own, velocity = carry
            weights, offsets = j.grad(loss)(own, *batch)
            grads = ([g * m for g, m in zip(weights, mask, strict=True)], offsets)
            velocity = j.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
            return (j.tree.map(lambda w, v: w - RATE * v, own, velocity), velocity), None

        (own, _), _ = j.lax.scan(step, (own, zero), (x, y))
        return loss(own, *last)  # type: ignore[no-untyped-call]

    key = (work.shape, work.steps, len(rows))
    if key not in _COMPILED:
        _COMPILED[key] = j.jit(lambda m: j.lax.map(train, m))
    return [float(value) for value in _COMPILED[key](masks)]


_COMPILED: dict[tuple[str, int, int], Callable[..., Tensor]] = {}
_ENGINES: dict[tuple[str, int, str, int], Engine] = {}


def _engine(work: Workload, rows: range, name: str, threads: int) -> list[float]:
    key = (work.shape, work.steps, name, threads)
    if key not in _ENGINES:
        _ENGINES[key] = make_engine(work.task, engine=name, workers=threads)
    measures = _ENGINES[key].evaluate(work.job().only(slice(rows.start, rows.stop)), work.task.validation)
    return [float(loss) for loss in measures.loss]


def dense(work: Workload, rows: range, threads: int) -> list[float]:
    """See the module."""
    return _engine(work, rows, "dense", threads)


def sparse(work: Workload, rows: range, threads: int) -> list[float]:
    """See the module."""
    return _engine(work, rows, "sparse", threads)


def _loss(work: Workload, network: nn.Module) -> float:
    inputs, labels = work.task.validation
    with torch.no_grad():
        return float(F.cross_entropy(network(inputs), labels))


METHODS: dict[str, Callable[[Workload, range, int], list[float]]] = {
    "naive": naive,
    "resident": resident,
    "vmap": vmap,
    **({"jax": jax} if importlib.util.find_spec("jax") else {}),
    "dense": dense,
    "sparse": sparse,
}
AT_MOST = {"naive": 2, "resident": 4, "vmap": 16, "jax": 16, "dense": 8}
"""Masks actually trained by the slow methods: their rate does not depend on how many more there are."""
