"""The sparse engine for convolutional networks on a CPU, and the one that leaves dense masks to PyTorch.

As with perceptrons, a pool of threads takes masks and trains each by itself, so that its result does not depend on what
else is trained, in which order or on how many threads, to the last bit. Batches are gathered as they are used: beside
the work of a step that is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ticketsearch.arrays import FloatArray, IntArray, ScoreArray
from ticketsearch.engine.base import Job, Measures, joined
from ticketsearch.engine.dense.autograd import Autograd
from ticketsearch.engine.dense.compacted import CompactedEngine
from ticketsearch.engine.sparse import convolution
from ticketsearch.engine.sparse.perceptron import KINDS, announced, rules_of, starts_of, zeros
from ticketsearch.engine.sparse.planes import Plan, convnet_of, plan_of
from ticketsearch.engine.sparse.vectors import LANES
from ticketsearch.engine.sparse.whole import Whole
from ticketsearch.engine.threads import pool
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Weights
from ticketsearch.recipe import Recipe
from ticketsearch.system import cores
from ticketsearch.tasks import Split, Task

DENSE_FROM = 0.4
"""Share of a network's products that a mask keeps from which the dense engine takes it.

Set below where a step of Conv-2 or Conv-4 takes the sparse kernels as long as plain PyTorch, which
``python benchmarks/sparse_convolutions.py`` measures.
"""


class SparseConvEngine(Autograd):
    """See the module; made by :func:`ticketsearch.engine.make_engine`.

    Raises:
        InvalidValue: the network is not one the kernels can train.
    """

    name = "sparse"

    def __init__(self, task: Task, workers: int | None = None) -> None:
        network = task.build(seed=0)
        shape = convnet_of(network, tuple(task.train.inputs.shape[1:]))
        if shape is None:
            raise InvalidValue(f"task {task.name!r}: the network is none of {KINDS}; use --engine dense")
        self.layout = task.layout
        self._whole = Whole(self.layout, network)
        self.plan: Plan = plan_of(shape)
        self._task, self._device = task, torch.device("cpu")
        self._inputs, self._labels = _arrays(task.train)
        self.threads = workers or cores()
        self.grain, self.width = 1, self.threads
        self._pool = pool(self.threads)
        self._compiled = False

    def warm_up(self) -> None:
        """Implements :meth:`ticketsearch.engine.Engine.warm_up`."""
        if self._compiled:
            return
        self._compiled = True
        size, rest = self.layout.space.size, self.layout.rest_size
        start = Weights(np.zeros(size, dtype=np.float32), np.zeros(rest, dtype=np.float32))
        job = Job(np.zeros((1, size), dtype=bool), start, Recipe(1, 1, 1.0), np.zeros((1, 1), dtype=np.int64))
        with announced():
            self.evaluate(job, Split(self._task.train.inputs[:1], self._task.train.labels[:1]))
            list(self.train(job, (1,)))

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Implements :meth:`ticketsearch.engine.Engine.train`."""
        self.warm_up()
        job = self._whole.widened(job)
        networks = list(self._pool.map(lambda row: _Network(self.plan, job, row), range(len(job.masks))))
        before = 0
        for stop in stops:
            span = slice(before, stop)
            losses = self._pool.map(lambda n, s=span: n.advance(self._inputs, self._labels, s, measure=True), networks)
            sums = np.array([one.sum() for one in losses])
            parts = list(self._pool.map(lambda network: network.weights(), networks))
            weights = Weights(np.stack([vector for vector, _ in parts]), np.stack([rest for _, rest in parts]))
            yield self._whole.narrowed(weights), sums / max(1, stop - before)
            before = stop

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.evaluate`."""
        self.warm_up()
        whole, measured_on = self._whole.widened(job), _arrays(split)

        def run(row: int) -> tuple[float, float, ScoreArray]:
            network = _Network(self.plan, whole, row)
            trace = network.advance(self._inputs, self._labels, slice(0, job.steps), measure=job.traced)
            return *network.evaluate(*measured_on), trace

        accuracies, losses, traces = zip(*self._pool.map(run, range(len(job.masks))), strict=True)
        return Measures(np.array(accuracies), np.array(losses), training=np.stack(traces) if job.traced else None)

    def measure(self, weights: Weights, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.measure`."""
        return self.evaluate(_as_they_are(weights), split)


class _Network:
    """One masked network in training."""

    def __init__(self, plan: Plan, job: Job, row: int) -> None:
        own = job.only(slice(row, row + 1))
        self._plan, self._job, self._rules, self._mask = plan, job, rules_of(job.recipe), own.masks[0]
        self._batches = job.batches if job.batches.ndim == 2 else job.batches[row]
        if own.rest_mask is not None:
            raise InvalidValue("the sparse engine does not prune channels of convolutions; use --engine dense")
        self._held, start, rest, _ = (part[0] for part in starts_of(own))
        self._network: convolution.Network = convolution.pack(
            self._mask, self._held, start, rest, plan.layers, plan.taps, plan.with_bias, self._rules.optimizer
        )

    def weights(self) -> tuple[FloatArray, FloatArray]:
        """The prunable weights ``(D,)`` and the biases ``(R,)``."""
        vector = np.zeros(self._mask.size, dtype=np.float32)
        convolution.unpack(self._network, self._mask, self._held, vector)
        return vector, self._network.weights[-self._plan.with_bias.size :][self._plan.with_bias]

    def advance(self, inputs: FloatArray, labels: IntArray, span: slice, *, measure: bool) -> ScoreArray:
        """Take the job's steps of a span; their training losses, or none."""
        plan, batches = self._plan, np.ascontiguousarray(self._batches[span])
        losses = np.zeros(len(batches) if measure else 0)
        convolution.train(
            inputs,
            labels,
            batches,
            self._job.rates[span],
            plan.layers,
            plan.outputs,
            self._rules,
            span.start,
            losses,
            self._network,
            zeros(plan.lines, LANES),
            zeros(plan.lines, LANES),
        )
        return losses

    def evaluate(self, inputs: FloatArray, labels: IntArray) -> tuple[float, float]:
        """Accuracy and loss."""
        result: tuple[float, float] = convolution.evaluate(
            inputs, labels, self._plan.layers, self._network, zeros(self._plan.lines, LANES)
        )
        return result


class MixedEngine(Autograd):
    """The sparse engine for masks that keep less than :data:`DENSE_FROM` of the products, the dense one for others.

    Which one trains a mask depends on that mask alone, so its score does not depend on others. The dense one also has
    what the sparse one cannot do: masks of channels, low precision.

    Raises:
        InvalidValue: the network is not one the kernels can train.
    """

    name = "mixed"

    def __init__(self, task: Task, workers: int | None = None) -> None:
        self._task, self._device = task, torch.device("cpu")
        self.sparse = SparseConvEngine(task, workers)
        self._dense = CompactedEngine(task, self._device, workers)
        self.layout, self.threads = self.sparse.layout, self.sparse.threads
        self.grain, self.width = 1, self.threads

    def warm_up(self) -> None:
        """Implements :meth:`ticketsearch.engine.Engine.warm_up`."""
        self.sparse.warm_up()
        self._dense.warm_up()

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Implements :meth:`ticketsearch.engine.Engine.train`."""
        parts = self._parts(job)
        order = np.argsort(np.concatenate([rows for _, rows in parts]))
        for found in zip(*(engine.train(job.only(rows), stops) for engine, rows in parts), strict=True):
            vectors, rests = [weights.vector for weights, _ in found], [weights.rest for weights, _ in found]
            weights = Weights(np.concatenate(vectors)[order], np.concatenate(rests)[order])
            yield weights, np.concatenate([losses for _, losses in found])[order]

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.evaluate`."""
        parts = self._parts(job)
        order = np.argsort(np.concatenate([rows for _, rows in parts]))
        found = [engine.evaluate(job.only(rows), split) for engine, rows in parts]
        return joined(found).reordered(order)

    def measure(self, weights: Weights, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.measure`."""
        return self.evaluate(_as_they_are(weights), split)

    def _parts(self, job: Job) -> list[tuple[SparseConvEngine | CompactedEngine, IntArray]]:
        """Each engine with the rows of its masks, if there are any."""
        if job.rest_mask is not None or job.recipe.precision is not None:
            return [(self._dense, np.arange(len(job.masks)))]
        layers, computed = self.layout.space.layers, job.computed
        fixed = self.layout.fixed_flops // 2
        products = sum(np.count_nonzero(computed[:, layer.span], axis=1) * layer.uses for layer in layers) + fixed
        dense = products >= DENSE_FROM * (sum(layer.size * layer.uses for layer in layers) + fixed)
        parts = (self.sparse, np.flatnonzero(~dense)), (self._dense, np.flatnonzero(dense))
        return [(engine, rows) for engine, rows in parts if rows.size]


def _as_they_are(weights: Weights) -> Job:
    """A job that trains nothing."""
    return Job(weights.vector != 0, weights, Recipe(0, 1, 1.0), np.zeros((0, 1), dtype=np.int64))


def _arrays(split: Split) -> tuple[FloatArray, IntArray]:
    """A split as arrays ``(N, C, H, W)``, ``(N,)``; views where possible."""
    return split.inputs.contiguous().cpu().numpy(), split.labels.cpu().numpy()
