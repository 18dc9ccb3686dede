"""The dense engine: PyTorch, any network, any device, a whole chunk of masks in each operation.

Networks of a chunk are stacked, ``(P, *shape)`` for every parameter, and run through
``torch.func.vmap``; updates are written out because pruned weights must stay exactly zero, which
``torch.optim`` does not promise once momentum and weight decay are at work. Chunks have a fixed
size, set by a memory bound and never by the number of threads, so results do not depend on it. On a CPU
each chunk runs on one thread and chunks run side by side: OpenMP inside small products only loses.

Convolutions on a CPU are another matter: under ``vmap`` they become grouped ones, which take longer
than one network after another (``python -m benchmarks.convolutions``). There a chunk is one network, run as
it is, with channels last in memory. So are networks that draw random numbers, on any device: each network's draws
are its own batch's.

Running statistics are part of the rest, ``(P, *shape)`` like every parameter: each network updates its own in
training, and is measured with its own.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine.base import Job, Measures, joined
from ticketsearch.engine.dense.autograd import Autograd
from ticketsearch.engine.dense.calling import Caller
from ticketsearch.engine.dense.draws import augmented, drawing
from ticketsearch.engine.dense.optimizers import make_optimizer
from ticketsearch.engine.dense.precision import low_precision_inputs, rounded
from ticketsearch.engine.dense.trial import tried
from ticketsearch.engine.threads import pool
from ticketsearch.errors import InvalidValue, TicketsearchError
from ticketsearch.masks.ticket import Weights
from ticketsearch.recipe import Recipe
from ticketsearch.system import cores
from ticketsearch.tasks import Split, Task
from ticketsearch.tasks.layout import gradients_of, read_weights, unflatten, words_of
from ticketsearch.tasks.modules import NORM

CHUNK_BYTES = 256 * 2**20
MAX_CHUNK = 8
MEASURE_EXAMPLES = 1000
MEASURE_IMAGES = 125
"""At a time, through convolutions on a CPU: what a cache holds."""


class DenseEngine(Autograd):
    """See the module; made by :func:`ticketsearch.engine.make_engine`."""

    name = "dense"

    def __init__(
        self, task: Task, device: torch.device, workers: int | None = None, train: Split | None = None
    ) -> None:
        self._device = device
        self._task = task
        self.layout = task.layout
        network = task.build(seed=0)
        self._scales = frozenset(f"{name}.weight" for name, one in network.named_modules() if isinstance(one, NORM))
        self._shapes = {layer.name: layer.shape for layer in self.layout.space.layers}
        convolves = any(isinstance(one, nn.modules.conv._ConvNd) for one in network.modules())
        self._images = device.type == "cpu" and convolves
        trial = tried(task, device, together=not self._images)
        self._draws = trial.draws
        self._one_by_one = not trial.together
        self.threads = 1 if device.type != "cpu" else workers or cores()
        # A call swaps parameters inside the module: one module per thread.
        self._modules: queue.SimpleQueue[Caller] = queue.SimpleQueue()
        for _ in range(self.threads):
            self._modules.put(Caller(task.build(seed=0).to(device)))
        self._train = train or _to(task.train, device)  # or as another engine has it
        self._pool = pool(self.threads)
        self.grain = self._chunk_size()
        self.width = self.grain * self.threads

    def _chunk_size(self) -> int:
        """How many networks fit the memory bound: parameters, gradients, optimiser state, activations."""
        if self._one_by_one:
            return 1
        space = self.layout.space
        parameters = 6 * (space.size + sum(int(np.prod(s)) for s in self.layout.rest_shapes.values()))
        positions = sum(layer.uses * layer.shape[0] for layer in space.layers)
        examples = max(self._task.recipe.batch_size, MEASURE_EXAMPLES // 2)
        per_network = 4 * (parameters + 3 * examples * positions)
        return max(1, min(MAX_CHUNK, CHUNK_BYTES // per_network))

    @contextmanager
    def _called(self, *, training: bool) -> Iterator[Caller]:
        """A module of this thread's own; what it raises is said in a line, with the task's name."""
        call = self._modules.get()
        try:
            call.module.train(training)
            yield call
        except (TicketsearchError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the user's own code
            when = "training" if training else "evaluation"
            raise InvalidValue(f"task {self._task.name!r}: the network failed in {when}: {words_of(error)}") from error
        finally:
            self._modules.put(call)

    def warm_up(self) -> None:
        """Implements :meth:`ticketsearch.engine.Engine.warm_up`: one step of one network."""
        start = read_weights(self._task.build(seed=0), self.layout)
        recipe, batch = self._task.recipe.lasting(1), np.arange(self._task.recipe.batch_size)[None]
        job = Job(np.ones((1, self.layout.space.size), dtype=bool), start, recipe, batch)
        self.evaluate(job, Split(self._task.validation.inputs[:1], self._task.validation.labels[:1]))

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Implements :meth:`ticketsearch.engine.Engine.train`."""
        chunks = [_Population(self, job.only(rows)) for rows in self._chunks(len(job.masks))]
        before = 0
        for stop in stops:
            losses = list(self._pool.map(lambda chunk, a=before, b=stop: chunk.advance(a, b), chunks))
            weights = [chunk.weights() for chunk in chunks]
            before = stop
            yield (
                Weights(np.concatenate([w.vector for w in weights]), np.concatenate([w.rest for w in weights])),
                np.concatenate([trace.sum(1) / max(1, trace.shape[1]) for trace in losses]),
            )

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.evaluate`."""
        target = _to(split, self._device)

        def run(rows: slice) -> Measures:
            population = _Population(self, job.only(rows))
            trace = population.advance(0, job.steps)
            measures = population.measure(target)
            return replace(measures, training=trace) if job.traced else measures

        return joined(list(self._pool.map(run, self._chunks(len(job.masks)))))

    def measure(self, weights: Weights, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.measure`."""
        target = _to(split, self._device)

        def run(rows: slice) -> Measures:
            parameters = self._tensors(weights.vector[rows], self._shapes)
            rest = self._tensors(weights.rest[rows], self.layout.rest_shapes)
            return self._measure(parameters | rest, target)

        return joined(list(self._pool.map(run, self._chunks(len(weights.vector)))))

    def _chunks(self, population: int) -> list[slice]:
        return [slice(i, min(i + self.grain, population)) for i in range(0, population, self.grain)]

    def _tensors(self, rows: FloatArray | BoolArray, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """``(P, N)`` array -> name -> ``(P, *shape)`` tensors of their own."""
        # Copied in C order: rows may be a broadcast, and vmap loses in-place updates of strided running statistics.
        stacked = torch.from_numpy(np.array(rows, order="C")).to(self._device)
        parts = unflatten(stacked, shapes)
        if stacked.is_floating_point():
            parts = {name: part.to(self.layout.dtypes.get(name, torch.float32)) for name, part in parts.items()}
        if self._images:
            return {name: _channels_last(part, 5).clone() for name, part in parts.items()}
        return {name: part.clone(memory_format=torch.contiguous_format) for name, part in parts.items()}

    def _forward(self, call: Caller, state: dict[str, Tensor], inputs: Tensor, *, per_network: bool) -> Tensor:
        """``(P, B, C)`` outputs; inputs ``(B, ...)`` shared, or ``(P, B, ...)``."""

        def one(own: dict[str, Tensor], x: Tensor) -> Tensor:
            return call(own, x)

        if self._one_by_one:
            own = {name: tensor.squeeze(0) for name, tensor in state.items()}
            batch = inputs.squeeze(0) if per_network else inputs
            return one(own, _channels_last(batch, 4) if self._images else batch).unsqueeze(0)
        outputs: Tensor = torch.func.vmap(one, in_dims=(0, 0 if per_network else None))(state, inputs)
        return outputs

    def _loss(self, call: Caller, state: dict[str, Tensor], step: int, examples: IntArray) -> Tensor:
        """Mean cross-entropy of each network in a step of the recipe, ``(P,)``; examples ``(B,)``, or ``(P, B)``."""
        chosen = torch.from_numpy(examples).to(self._device)
        inputs, labels = augmented(self._task, self._train.inputs[chosen], step, examples), self._train.labels[chosen]
        with drawing(self._draws, step, examples, self._device):
            outputs = self._forward(call, state, inputs, per_network=labels.ndim == 2)  # (P, B, C)
        targets = labels.expand(len(outputs), -1)
        return F.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1)

    def _measure(self, state: dict[str, Tensor], split: Split) -> Measures:
        correct = loss = torch.zeros((), dtype=torch.float64)
        together = MEASURE_IMAGES if self._images else MEASURE_EXAMPLES
        with self._called(training=False) as call, torch.no_grad():
            for first in range(0, len(split.labels), together):
                labels = split.labels[first : first + together]
                inputs = split.inputs[first : first + together]
                outputs = self._forward(call, state, inputs, per_network=False)
                loss = loss + self._sum_loss(outputs, labels)
                correct = correct + (outputs.argmax(2) == labels).double().sum(1).cpu()
        total = len(split.labels)
        return Measures((correct / total).numpy(), (loss / total).numpy())

    @staticmethod
    def _sum_loss(outputs: Tensor, labels: Tensor) -> Tensor:
        targets = labels.expand(len(outputs), -1)
        return F.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").double().sum(1).cpu()


class _Population:
    """One chunk in training: stacked parameters, pruned positions, optimiser state."""

    def __init__(self, engine: DenseEngine, job: Job) -> None:
        self._engine, self._job = engine, job
        masks = engine._tensors(job.masks, engine._shapes)
        population = len(job.masks)
        self._trained = [*engine._shapes, *(n for n in engine.layout.rest_shapes if n in engine.layout.trained_rest)]
        self._pruned = {name: ~mask for name, mask in masks.items()}
        vector = np.broadcast_to(job.start.vector, (population, job.masks.shape[1]))
        rest = np.broadcast_to(job.start.rest, (population, job.start.rest.shape[-1]))
        self.state = engine._tensors(vector, engine._shapes) | engine._tensors(rest, engine.layout.rest_shapes)
        shape = job.masks.shape
        self._held = {} if job.held is None else engine._tensors(np.broadcast_to(job.held, shape), engine._shapes)
        if job.rest_mask is not None:
            rest_masks = engine._tensors(job.rest_mask, engine.layout.rest_shapes)
            self._pruned |= {name: ~mask for name, mask in rest_masks.items() if not bool(mask.all())}
        for name, pruned in self._pruned.items():
            self.state[name].masked_fill_(pruned, 0)
        self._hold()
        self._optimizer = make_optimizer(job.recipe, [self.state[name] for name in self._trained])

    def advance(self, first: int, last: int) -> ScoreArray:
        """Take steps ``first`` to ``last``; the mean training loss of each network and step, ``(P, last - first)``."""
        tensors = [self.state[name] for name in self._trained]
        losses: list[Tensor] = []
        bits = self._job.recipe.precision
        with self._engine._called(training=True) as call, low_precision_inputs(call.module, bits):
            for step in range(first, last):
                examples = self._job.batches[..., step, :]  # (B,) or (P, B)
                for tensor in tensors:
                    tensor.requires_grad_()
                state, position = self._at_precision(bits), self._job.first_step + step
                loss = self._engine._loss(call, state, position, examples)  # (P,)
                grads = gradients_of(loss.sum(), tensors)
                losses.append(loss.detach())
                for tensor in tensors:
                    tensor.requires_grad_(False)
                for name, grad in zip(self._trained, grads, strict=True):
                    if grad is not None:  # a branch not taken: as in PyTorch, such a parameter stays as it is
                        self._adjust(name, grad)
                self._optimizer.step(tensors, grads, float(self._job.rates[step]))
                self._hold()
        if not losses:
            return np.zeros((len(self._job.masks), 0))
        trace: ScoreArray = torch.stack(losses, 1).double().cpu().numpy()
        return trace

    def _adjust(self, name: str, grad: Tensor) -> None:
        """Leave a gradient no way to move what is pruned; add the terms of the loss that favour sparse weights."""
        recipe, state = self._job.recipe, self.state[name]
        if name in self._pruned:
            grad.masked_fill_(self._pruned[name], 0)  # not a product: 0 * NaN is NaN
        if recipe.sparsifies and name in self._engine._shapes:
            _sparsify(recipe, state, grad)
        if recipe.scale_l1 and name in self._engine._scales:
            grad.add_(state.sign(), alpha=recipe.scale_l1)

    def _at_precision(self, bits: int | None) -> dict[str, Tensor]:
        """The state that a training pass computes with."""
        if bits is None:
            return self.state
        return self.state | {name: rounded(self.state[name], bits, per_network=True) for name in self._engine._shapes}

    def _hold(self) -> None:
        """Put back what moves without a gradient: held weights, by weight decay; running statistics, by every batch."""
        for name, held in self._held.items():
            self.state[name].copy_(torch.where(self._pruned[name], held, self.state[name]))
        for name in self._pruned.keys() - set(self._trained):
            self.state[name].masked_fill_(self._pruned[name], 0)

    def measure(self, split: Split) -> Measures:
        return self._engine._measure(self.state, split)

    def weights(self) -> Weights:
        def flat(names: Iterator[str]) -> FloatArray:
            parts = [self.state[name].reshape(len(self._job.masks), -1).float().cpu().numpy() for name in names]
            return np.concatenate(parts, axis=1) if parts else np.zeros((len(self._job.masks), 0), dtype=np.float32)

        return Weights(flat(iter(self._engine._shapes)), flat(iter(self._engine.layout.rest_shapes)))


def _sparsify(recipe: Recipe, weights: Tensor, grad: Tensor) -> None:
    """Add the gradients of the terms that favour sparse weights, ``(P, *shape)``; zero at a weight that is zero."""
    axes = tuple(range(1, weights.ndim))
    total, squares = weights.abs().sum(axes, keepdim=True), weights.square().sum(axes, keepdim=True)
    ratio = torch.where(squares > 0, total / squares, 0)
    grad.add_((recipe.l1 + 2 * recipe.hoyer * ratio) * weights.sign() - 2 * recipe.hoyer * ratio.square() * weights)


def _to(split: Split, device: torch.device) -> Split:
    return Split(split.inputs.to(device), split.labels.to(device))


def _channels_last(tensor: Tensor, ndim: int) -> Tensor:
    """Images ``(B, C, H, W)``, or convolutions' weights ``(P, O, C, H, W)``, with C innermost in memory.

    A tensor of other than ``ndim`` axes is no such thing, and stays as it is.
    """
    return tensor.movedim(-3, -1).contiguous().movedim(-1, -3) if tensor.ndim == ndim else tensor.contiguous()
