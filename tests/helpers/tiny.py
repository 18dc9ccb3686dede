"""Tasks small enough to train in milliseconds, and what tests wrap around engines and problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ticketsearch import DataSource, MaskProblem, Recipe, Split, Task, Weights
from ticketsearch.arrays import ScoreArray
from ticketsearch.cost import Meter
from ticketsearch.engine import Engine, Job, Measures
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.engine.sparse.perceptron import SparseEngine
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.resume import ResumeStore
from ticketsearch.runner.setup import Setup
from ticketsearch.tasks.networks import mlp

CLASSES, INPUTS, SIZE = 3, 8, 8 * 12 + 12 * 10 + 10 * 3


def blobs(count: int, seed: int) -> Split:
    """Gaussian blobs around three fixed centres, overlapping, so that accuracies differ."""
    centres = np.random.Generator(np.random.PCG64(99)).normal(size=(CLASSES, INPUTS))
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = rng.integers(CLASSES, size=count)
    inputs = centres[labels] + rng.normal(scale=1.2, size=(count, INPUTS))
    return Split(torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))


NETWORK = partial(mlp, INPUTS, 12, 10, CLASSES)
RECIPE = Recipe(steps=60, batch_size=30, learning_rate=0.1, momentum=0.9, schedule="cosine", weight_decay=5e-4)


def make_task(
    network: Callable[[], nn.Module] = NETWORK,
    recipe: Recipe = RECIPE,
    name: str = "tiny",
    fidelity: int = 10,
) -> Task:
    """The same value for the same arguments: what is known of its network is found out once."""
    return _made(network, recipe, name, fidelity)


@cache
def _made(network: Callable[[], nn.Module], recipe: Recipe, name: str, fidelity: int) -> Task:
    return Task(name, network, blobs(300, 1), blobs(100, 2), blobs(100, 3), recipe, fidelity)


def task() -> Task:
    """For ``--task tests.helpers.tiny:task``."""
    return make_task()


def sourced(source: DataSource) -> Task:
    """A factory that takes the data source; for ``--task tests.helpers.tiny:sourced``."""
    assert isinstance(source, DataSource)
    return make_task(name="tiny-sourced")


def not_a_task() -> int:
    return 1


def broken() -> Task:
    raise ValueError("no luck today")


def batch_norm_network() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (2, 4)),
        nn.Conv1d(2, 4, 3, padding=1),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )


class Residual(nn.Module):
    """A convolution with batch normalisation, and two more around which its output is led."""

    def __init__(self) -> None:
        super().__init__()
        self.unflatten = nn.Unflatten(1, (2, 2, 2))
        self.conv1, self.bn1 = nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv3, self.bn3 = nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = torch.relu(self.bn1(self.conv1(self.unflatten(inputs))))
        inside = torch.relu(self.bn2(self.conv2(inputs)))
        outputs: Tensor = self.fc(torch.relu(inputs + self.bn3(self.conv3(inside))).flatten(1))
        return outputs


def residual() -> Task:
    """22 channels with scales; for ``--task tests.helpers.tiny:residual``."""
    return make_task(Residual, name="tiny-residual")


def dropout_network() -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, 6), nn.Dropout(0.5), nn.Linear(6, CLASSES))


def dense_engine(task: Task, workers: int | None = None) -> Engine:
    return DenseEngine(task, torch.device("cpu"), workers)


@cache
def _default_engine() -> Engine:
    return dense_engine(make_task())


ENGINES: dict[str, Callable[..., Engine]] = {"dense": dense_engine, "sparse": SparseEngine}
"""Name -> maker (task, workers); every test of the engine contract runs on each."""


class WrappedEngine(DenseEngine):
    """A dense engine that counts calls, and reports a NaN loss for the masks ``fails`` chooses."""

    def __init__(self, task: Task, fails: Callable[[Any], bool] = lambda mask: False) -> None:
        super().__init__(task, torch.device("cpu"))
        self._fails = fails
        self.calls: list[str] = []
        self.stops_reached = 0

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        self.calls.append("train")
        for stop in super().train(job, stops):
            self.stops_reached += 1
            yield stop

    def evaluate(self, job: Job, split: Split) -> Measures:
        self.calls.append("evaluate")
        measures = super().evaluate(job, split)
        failed = np.array([self._fails(mask) for mask in job.masks])
        return replace(measures, loss=np.where(failed, np.nan, measures.loss))

    def measure(self, weights: Weights, split: Split) -> Measures:
        self.calls.append("measure")
        return super().measure(weights, split)


def make_problem(
    budget: float = 20.0,
    *,
    engine: Engine | None = None,
    task: Task | None = None,
    sparsity: float = 0.9,
    seed: int = 0,
    ledger: Ledger | None = None,
    progress: Callable[[MaskProblem], None] | None = None,
    resume: ResumeStore | None = None,
    limit_s: float | None = None,
    granularity: str = "weight",
) -> MaskProblem:
    engine = engine or (_default_engine() if task is None else dense_engine(task))
    task = task or make_task()
    setup = Setup.of(task, engine, seed, granularity)
    meter = Meter(len(task.train.labels), budget)
    session = setup.session(sparsity, task.fidelity, meter, ledger if ledger is not None else Ledger())
    session.resume, session.limit_s = resume or ResumeStore(), limit_s
    problem = MaskProblem(session)
    if progress is not None:
        session.tell = partial(progress, problem)
    return problem


def watch(problem: MaskProblem, name: str, value: object) -> None:
    """Put a value in place of one of the problem's own, which strategies are not to do."""
    object.__setattr__(problem, name, value)


def masks_of(problem: MaskProblem, count: int, seed: int = 0) -> Any:
    """``(count, D)`` different random masks of the problem's sparsity."""
    rng = np.random.Generator(np.random.PCG64(seed))
    masks = np.zeros((count, problem.space.size), dtype=bool)
    for mask in masks:
        mask[rng.permutation(problem.space.size)[: problem.n_kept]] = True
    return masks


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Independent of torch's: minus the mean log-softmax of the true class, in double precision."""
    z = logits.detach().numpy().astype(np.float64)
    top = z.max(axis=1)
    log_sum = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top
    return float((log_sum - z[np.arange(len(z)), labels.numpy()]).mean())


def leave() -> Task:
    """Not a task: it ends the process."""
    raise SystemExit(0)
