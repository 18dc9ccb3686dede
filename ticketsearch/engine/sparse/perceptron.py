"""The sparse engine: perceptrons on a CPU, at a cost proportional to the kept weights.

A pool of threads takes a few masks at a time (the kernels hold no lock) and trains each by itself, so its result does
not depend on what else is trained, in which order or on how many threads, to the last bit; and a thread that a busy
machine slows down simply takes fewer masks. Batches are gathered once, feature-major, for all masks that share them.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine.base import Job, Measures
from ticketsearch.engine.dense.autograd import Autograd
from ticketsearch.engine.jit import cache_folder
from ticketsearch.engine.plain import perceptron_layers
from ticketsearch.engine.sparse import kernels, packing
from ticketsearch.engine.sparse.vectors import LANES
from ticketsearch.engine.sparse.whole import Whole
from ticketsearch.engine.threads import pool
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Weights
from ticketsearch.recipe import Recipe
from ticketsearch.system import cores
from ticketsearch.tasks import Split, Task
from ticketsearch.tasks.layout import Layout

BLOCK_BYTES = 64 * 2**20
"""Bound on the gathered batches held at a time."""
DENSE_FROM = 0.5
"""Density from which a layer is computed densely, its pruned weights held at zero: the measured break-even."""
MAX_TILE = 8
"""Most vectors whose accumulators fit the registers of a row."""
KINDS = (
    "a perceptron (Sequential of Linear and ReLU or Tanh) or a plain convolutional network (Sequential of Conv2d with "
    "stride 1 that keeps the size of the image, ReLU and MaxPool2d, then Flatten, Linear and ReLU)"
)
"""Networks that the kernels train."""
Batches = tuple[FloatArray, IntArray]
"""Gathered inputs ``(S, I, lanes)`` and labels ``(S, B)``."""


@dataclass(frozen=True)
class Perceptron:
    """A multilayer perceptron as the kernels see it.

    Attributes:
        widths: units of each layer, input first, ``(L + 1,)``.
        activation: ``kernels.RELU`` or ``kernels.TANH``.
        has_bias: for each layer.
    """

    widths: IntArray
    activation: int
    has_bias: tuple[bool, ...]

    @property
    def features(self) -> int:
        """Units behind the input."""
        return int(self.widths[1:].sum())


def perceptron_of(network: nn.Module) -> Perceptron | None:
    """The perceptron a network is, or ``None``."""
    found = perceptron_layers(network)
    if found is None:
        return None
    layers, tanh = found
    return Perceptron(
        widths=np.array([layers[0].in_features, *(layer.out_features for layer in layers)], dtype=np.int64),
        activation=kernels.TANH if tanh else kernels.RELU,
        has_bias=tuple(layer.bias is not None for layer in layers),
    )


class SparseEngine(Autograd):
    """See the module; made by :func:`ticketsearch.engine.make_engine`.

    Raises:
        InvalidValue: the network is not a perceptron.
    """

    name = "sparse"

    def __init__(self, task: Task, workers: int | None = None) -> None:
        network = task.build(seed=0)
        shape = perceptron_of(network)
        if shape is None:
            raise InvalidValue(f"task {task.name!r}: the network is none of {KINDS}; use --engine dense")
        self.layout: Layout = task.layout
        self._whole = Whole(self.layout, network)
        self.perceptron, self._task, self._device = shape, task, torch.device("cpu")
        self.with_bias: BoolArray = np.repeat(shape.has_bias, shape.widths[1:])  # (F,)
        vectors = -(-task.recipe.batch_size // LANES)
        self.tile = (0,) * -(-vectors // -(-vectors // MAX_TILE))
        self._inputs, self._labels = _flat(task.train)
        self.threads = workers or cores()
        self.grain, self.width = 1, self.threads
        self._pool = pool(self.threads)
        self._split: tuple[Split, Batches] | None = None
        self._compiled = False

    def warm_up(self) -> None:
        """Implements :meth:`ticketsearch.engine.Engine.warm_up`."""
        self._compile()

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Implements :meth:`ticketsearch.engine.Engine.train`."""
        self._compile()
        job = self._whole.widened(job)
        networks = self._networks(job)
        before = 0
        for stop in stops:
            losses = self._advance(job, networks, before, stop, measure=True)
            yield self._whole.narrowed(self._weights(job, networks)), losses.sum(1) / max(1, stop - before)
            before = stop

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.evaluate`."""
        self._compile()
        job, measured_on = self._whole.widened(job), self._blocks_of(split)
        if job.batches.ndim == 2 and job.steps <= self._block_steps(job) and not job.traced:
            # A network lives for one call only.
            x, labels = self._gather(job.batches)
            out = np.empty((len(job.masks), 2))

            def run(rows: slice) -> None:
                own = job.only(rows)
                kernels.score(
                    self.tile,
                    x,
                    labels,
                    own.rates,
                    self.perceptron.widths,
                    self.perceptron.activation,
                    rules_of(job.recipe),
                    own.masks,
                    *starts_of(own),
                    self.with_bias,
                    DENSE_FROM,
                    *measured_on,
                    out[rows],
                )

            list(self._pool.map(run, _shares(len(job.masks), self.threads)))
            return Measures(out[:, 0].copy(), out[:, 1].copy())
        networks = self._networks(job)
        trace = self._advance(job, networks, 0, job.steps, measure=job.traced)
        accuracies, losses = np.array(list(self._pool.map(lambda n: n.evaluate(*measured_on), networks))).T
        return Measures(accuracies, losses, training=trace if job.traced else None)

    def measure(self, weights: Weights, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.measure`."""
        nothing = np.zeros((0, self._lanes(1)), dtype=np.int64)
        return self.evaluate(Job(weights.vector != 0, weights, Recipe(0, 1, 1.0), nothing), split)

    def _compile(self) -> None:
        """Compile the kernels for this tile at first use, or load them from the cache."""
        if self._compiled:
            return
        self._compiled = True
        size, rest = self.layout.space.size, self.layout.rest_size
        start = Weights(np.zeros(size, dtype=np.float32), np.zeros(rest, dtype=np.float32))
        split = Split(torch.zeros(1, int(self.perceptron.widths[0])), torch.zeros(1, dtype=torch.long))
        job = Job(np.zeros((1, size), dtype=bool), start, Recipe(1, 1, 1.0), np.zeros((1, 1), dtype=np.int64))
        with announced():
            self.evaluate(job, split)
            list(self.train(job, (1,)))

    def _networks(self, job: Job) -> list[_Network]:
        return list(self._pool.map(lambda row: _Network(self, job, row), range(len(job.masks))))

    def _advance(self, job: Job, networks: list[_Network], first: int, last: int, *, measure: bool) -> ScoreArray:
        """Train on steps ``[first, last)``, block after block; training losses ``(P, last - first)``, or ``(P, 0)``."""
        losses = np.zeros((len(networks), last - first if measure else 0))
        stride = self._block_steps(job)
        for begin in range(first, last, stride):
            rows = slice(begin, min(begin + stride, last))
            shared = self._gather(job.batches[rows]) if job.batches.ndim == 2 else None

            def run(row: int, begin: int = begin, rows: slice = rows, shared: Batches | None = shared) -> None:
                own = losses[row, rows.start - first : rows.stop - first]
                networks[row].advance(*(shared or self._gather(job.batches[row, rows])), begin, own)

            list(self._pool.map(run, range(len(networks))))
        return losses

    def _weights(self, job: Job, networks: list[_Network]) -> Weights:
        parts = [network.weights(mask) for network, mask in zip(networks, job.masks, strict=True)]
        return Weights(np.stack([vector for vector, _ in parts]), np.stack([rest for _, rest in parts]))

    def _lanes(self, batch: int) -> int:
        """Lanes of a row that holds a batch: whole tiles."""
        width = LANES * len(self.tile)
        return -(-batch // width) * width

    def _block_steps(self, job: Job) -> int:
        return max(1, BLOCK_BYTES // (4 * int(self._inputs.shape[1]) * self._lanes(job.batches.shape[-1])))

    def _gather(self, batches: IntArray) -> Batches:
        """Batches ``(S, B)`` of training examples."""
        lanes = self._lanes(batches.shape[1])
        x = _aligned(len(batches), self._inputs.shape[1], lanes)
        packing.gather(self._inputs, np.ascontiguousarray(batches), lanes, x)
        return x, self._labels[batches]

    def _blocks_of(self, split: Split) -> Batches:
        """A split for measuring, ``(K, I, lanes)`` and ``(N,)``; the last one used is kept."""
        if self._split is None or self._split[0] is not split:
            inputs, labels = _flat(split)
            lanes = self._lanes(1)
            blocks = np.arange(-(-len(labels) // lanes) * lanes).reshape(-1, lanes) % len(labels)
            x = _aligned(len(blocks), inputs.shape[1], lanes)
            packing.gather(inputs, blocks, lanes, x)
            self._split = split, (x, labels)
        return self._split[1]


class _Network:
    """One masked network in training."""

    def __init__(self, engine: SparseEngine, job: Job, row: int) -> None:
        own = job.only(slice(row, row + 1))
        self._engine, self._job, self._rules = engine, job, rules_of(job.recipe)
        held, start, rest, rest_mask = (part[0] for part in starts_of(own))
        self._network: packing.Network = packing.pack(
            own.masks[0],
            held,
            start,
            rest,
            rest_mask,
            engine.perceptron.widths,
            engine.with_bias,
            DENSE_FROM,
            self._rules.optimizer == kernels.ADAM,
        )

    def weights(self, mask: BoolArray) -> tuple[FloatArray, FloatArray]:
        """The prunable weights ``(D,)`` and the biases ``(R,)``."""
        vector = np.zeros(mask.size, dtype=np.float32)
        packing.unpack(self._network, mask, self._engine.perceptron.widths, vector)
        features = self._engine.perceptron.features
        return vector, self._network.weights[-features:][self._engine.with_bias]

    def advance(self, x: FloatArray, labels: IntArray, begin: int, losses: ScoreArray) -> None:
        """Train on gathered batches, the first of which is the job's step ``begin``; ``losses`` are filled."""
        engine, rates = self._engine, self._job.rates[begin : begin + len(x)]
        kernels.train(
            engine.tile,
            x,
            labels,
            rates,
            engine.perceptron.widths,
            engine.perceptron.activation,
            self._rules,
            begin,
            losses,
            self._network,
        )

    def evaluate(self, x: FloatArray, labels: IntArray) -> tuple[float, float]:
        """Accuracy and loss on the blocks of a split."""
        engine = self._engine
        result: tuple[float, float] = kernels.evaluate(
            engine.tile, x, labels, engine.perceptron.widths, engine.perceptron.activation, self._network
        )
        return result


def rules_of(recipe: Recipe) -> kernels.Rules:
    """A recipe's optimiser in the kernels' types.

    Raises:
        InvalidValue: the recipe asks for low precision.
    """
    if recipe.precision is not None:
        raise InvalidValue(f"precision {recipe.precision} is simulated by the dense engine only; use --engine dense")
    adam, apart = recipe.optimizer != "sgd", recipe.optimizer == "adamw"
    return kernels.Rules(
        optimizer=kernels.ADAM if adam else kernels.SGD,
        momentum=np.float32(recipe.betas[0] if adam else recipe.momentum),
        nesterov=recipe.nesterov,
        decay=np.float32(0.0 if apart else recipe.weight_decay),
        shrink=np.float32(recipe.weight_decay if apart else 0.0),
        beta2=np.float32(recipe.betas[1]),
        epsilon=np.float32(recipe.epsilon),
        l1=float(recipe.l1),
        hoyer=float(recipe.hoyer),
    )


def starts_of(job: Job) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Held values ``(P or 1, D or 0)``, start vectors ``(P or 1, D)``, rests ``(P or 1, R)``, masks of these."""
    nothing = np.zeros(0, dtype=np.float32)
    parts = (nothing if job.held is None else job.held, job.start.vector, job.start.rest)
    held, start, rest = (np.ascontiguousarray(np.atleast_2d(part), dtype=np.float32) for part in parts)
    rest_mask = np.zeros((1, 0), dtype=bool) if job.rest_mask is None else np.ascontiguousarray(job.rest_mask)
    return held, start, rest, rest_mask


def _shares(population: int, workers: int) -> Iterator[slice]:
    """Masks handed to a thread at a time: many at first, one by one at the end, so that all end together."""
    first = 0
    while first < population:
        last = first + max(1, (population - first) // (4 * workers))
        yield slice(first, last)
        first = last


def _aligned(*shape: int) -> FloatArray:
    """An empty array that begins on a cache line, so that no vector of a row straddles two."""
    size, line = math.prod(shape), 4 * LANES
    raw = np.empty(4 * size + line, dtype=np.uint8)
    first = -raw.ctypes.data % line
    return raw[first : first + 4 * size].view(np.float32).reshape(shape)


def zeros(*shape: int) -> FloatArray:
    """Like :func:`_aligned`, zero. Made here because NumPy asks for large pages, and Numba does not."""
    array = _aligned(*shape)
    array.fill(0)
    return array


def _flat(split: Split) -> tuple[FloatArray, IntArray]:
    """A split as arrays ``(N, I)``, ``(N,)``; views where possible."""
    return split.inputs.reshape(len(split.labels), -1).contiguous().cpu().numpy(), split.labels.cpu().numpy()


@contextmanager
def announced() -> Iterator[None]:
    """Say that something is being compiled, if it takes a while."""
    timer = threading.Timer(3.0, _announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _announce() -> None:
    then = "once; later runs load it from a cache"
    if cache_folder() is None:
        then = "as in every process, since no folder can be written to; TICKETSEARCH_CACHE names one"
    print(f"ticketsearch: compiling the sparse engine, {then}", file=sys.stderr)
