"""A batch of evaluations shared out among the workers of a Ray cluster: an engine in front of many.

The driver, where the search runs, draws the batches, charges and records; what it sends are the masks, packed, and
once for all of them what they share. The tensors of the task lie in Ray's object store, once on each machine, and
workers compute on them where they lie. Trainings and derivatives, which are one network's, stay with the driver.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from ticketsearch.arrays import BoolArray, ByteArray, FloatArray, IntArray, ScoreArray
from ticketsearch.cluster.connection import connected, environment, slots
from ticketsearch.cluster.fleet import Fleet, GivenUp
from ticketsearch.engine.base import Engine, Job, Kept, Measures, Relaxed
from ticketsearch.engine.choice import make_engine
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.errors import ClusterError, InvalidValue
from ticketsearch.masks import pack, unpack
from ticketsearch.masks.ticket import Weights

if TYPE_CHECKING:
    from ticketsearch.tasks import Split, Task

SHARES = 4
"""Chunks for each worker, at first; then fewer and smaller ones, so that all end together."""
Answer: TypeAlias = tuple[ScoreArray, ScoreArray, float, ScoreArray | None]
"""Accuracies and losses ``(P,)``, and CPU seconds."""
PackedTask: TypeAlias = tuple[dict[str, Any], dict[str, tuple[Any, ...]]]
"""What a task is but for its data, and the arrays of each split."""
SPLITS = ("train", "validation", "test")
KEPT = 4
"""Kinds of job whose common parts are kept at hand."""


class ChunkWorker:
    """The other side: an engine of one thread, or of one GPU, that evaluates what it is sent."""

    def begin(self, settings: dict[str, str], parcel: list[Any], device: str, wish: str) -> None:
        """Make the engine.

        Args:
            settings: environment variables of the driver's.
            parcel: reference to the task, see :func:`packed_task`.
            device: ``cpu`` or ``cuda``: Ray shows each worker a GPU of its own.
            wish: as in :func:`ticketsearch.engine.make_engine`.
        """
        os.environ.update(settings)
        try:
            task = unpacked_task(_get(parcel))
        except ImportError as error:
            raise ClusterError(
                f"a worker cannot import the task ({error}): its module must be on every machine, installed or in a "
                "folder that all of them share"
            ) from None
        self._task, self._engine = task, make_engine(task, device, wish, workers=1)
        self._engine.warm_up()
        self._common: OrderedDict[int, tuple[Job, Split]] = OrderedDict()

    def evaluate(self, key: int, parcel: list[Any], packed: ByteArray, packed_rest: ByteArray | None) -> Answer:
        """Evaluate some masks.

        Args:
            key: of the common part; the same one is fetched once.
            parcel: reference to it.
            packed: ``(P, ceil(D / 8))`` masks.
            packed_rest: ``(P, ceil(R / 8))`` masks of the rest, if there are any.
        """
        if key not in self._common:
            self._common[key] = self._fetched(parcel)
            if len(self._common) > KEPT:
                self._common.popitem(last=False)
        common, split = self._common[key]
        masks = unpack(packed, common.start.vector.size)
        rest_mask = None if packed_rest is None else unpack(packed_rest, common.start.rest.size)
        begin = time.process_time()
        measures = self._engine.evaluate(replace(common, masks=masks, rest_mask=rest_mask), split)
        return measures.accuracy, measures.loss, time.process_time() - begin, measures.training

    def _fetched(self, parcel: list[Any]) -> tuple[Job, Split]:
        """The common part as a job without masks, in arrays of this worker's own: those of the store are read-only."""
        start, recipe, batches, first_step, held, traced, split = _get(parcel)
        own = Weights(np.array(start.vector), np.array(start.rest))
        job = Job(np.zeros((0, own.vector.size), dtype=bool), own, recipe, np.array(batches), first_step, traced=traced)
        job = job if held is None else replace(job, held=np.array(held))
        return job, getattr(self._task, split) if isinstance(split, str) else split


class RayEngine:
    """An engine whose evaluations are computed by workers; all else by ``local``. A context manager.

    Workers are asked for when it is warmed up.

    Args:
        local: the driver's own engine.
        task: what is trained.
        address: of the cluster; see :func:`ticketsearch.cluster.connection.connected`.
        wish: the engine asked for: workers choose theirs by the same.
        device: the driver's.
        workers: most workers.
        kind: class of the workers.
    """

    def __init__(
        self,
        local: Engine,
        task: Task,
        address: str | None,
        wish: str,
        device: str,
        workers: int | None,
        kind: type = ChunkWorker,
    ) -> None:
        self._local, self._task, self._address, self._wish = local, task, address, wish
        self._kind, self._most, self._device = kind, workers, device.partition(":")[0]
        self.name, self.layout, self.threads = local.name, local.layout, local.threads
        self.grain, self.width = local.grain, local.width
        self._stack = ExitStack()
        self._fleet: Fleet | None = None
        self._common: OrderedDict[tuple[int, ...], tuple[int, tuple[object, ...], Any]] = OrderedDict()
        self._keys = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fleet = None
        self._stack.close()

    @property
    def device(self) -> str:
        """Implements :attr:`ticketsearch.engine.Engine.device`."""
        return self._local.device

    @property
    def ready(self) -> int:
        """Workers that have begun."""
        return self._fleet.working if self._fleet else 0

    def warm_up(self) -> None:
        """Connect, and wait for a first worker whose engine is warm."""
        if self._fleet is not None:
            return
        self._local.warm_up()
        self._ray = self._stack.enter_context(connected(self._address))
        if slots(self._ray, self._device) < 1:
            raise InvalidValue(f"the Ray cluster has no {'CPU' if self._device == 'cpu' else 'GPU'} for a worker")
        parcel = [self._ray.put(packed_task(self._task))]  # in a list: a worker fetches it when it wants to
        arguments = (environment(), parcel, self._device, self._wish)
        self._fleet = Fleet(self._ray, self._kind, arguments, self._device, self._most)
        self._stack.callback(self._fleet.close)
        self._fleet.start()
        self.threads, self.width = self._fleet.size, self.grain * self._fleet.size

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.evaluate`."""
        if self._fleet is None or len(job.masks) <= self.grain or not _common_to_all(job):
            return self._local.evaluate(job, split)
        key, parcel = self._shared(job, split)
        rows = list(shares(len(job.masks), self._fleet.size, self.grain))
        rest = job.rest_mask
        pieces = [
            (key, parcel, pack(job.masks[chosen]), None if rest is None else pack(rest[chosen])) for chosen in rows
        ]
        sizes = [float((chosen.stop - chosen.start) * (1 + job.steps)) for chosen in rows]
        accuracy, loss, cpu_s = np.empty(len(job.masks)), np.empty(len(job.masks)), 0.0
        training = np.empty((len(job.masks), job.steps)) if job.traced else None
        for index, answer in self._fleet.work("evaluate", pieces, sizes):
            if isinstance(answer, GivenUp):
                raise ClusterError(
                    f"{len(pieces[index][2])} evaluations got no answer: {answer.reason}; the same command goes on "
                    "where this one stopped"
                )
            accuracy[rows[index]], loss[rows[index]] = answer[0], answer[1]
            cpu_s += answer[2]
            if training is not None:
                training[rows[index]] = answer[3]
        return Measures(accuracy, loss, cpu_s, training)

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Implements :meth:`ticketsearch.engine.Engine.train`."""
        return self._local.train(job, stops)

    def train_relaxed(self, job: Job, relaxation: Relaxation, stops: tuple[int, ...], seed: int) -> Iterator[Relaxed]:
        """Implements :meth:`ticketsearch.engine.Engine.train_relaxed`."""
        return self._local.train_relaxed(job, relaxation, stops, seed)

    def measure(self, weights: Weights, split: Split) -> Measures:
        """Implements :meth:`ticketsearch.engine.Engine.measure`."""
        return self._local.measure(weights, split)

    def gradients(self, weights: Weights, indices: IntArray) -> FloatArray:
        """Implements :meth:`ticketsearch.engine.Engine.gradients`."""
        return self._local.gradients(weights, indices)

    def hessian_gradient(self, weights: Weights, indices: IntArray, temperature: float) -> FloatArray:
        """Implements :meth:`ticketsearch.engine.Engine.hessian_gradient`."""
        return self._local.hessian_gradient(weights, indices, temperature)

    def synaptic_flow(self, weights: Weights) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.synaptic_flow`."""
        return self._local.synaptic_flow(weights)

    def ntk_sensitivity(self, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.ntk_sensitivity`."""
        return self._local.ntk_sensitivity(mask, seed, examples, scale)

    def hessian_product(self, weights: Weights, indices: IntArray, direction: FloatArray) -> FloatArray:
        """Implements :meth:`ticketsearch.engine.Engine.hessian_product`."""
        return self._local.hessian_product(weights, indices, direction)

    def tangent_kernel(self, weights: Weights, kept: Kept, indices: IntArray) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.tangent_kernel`."""
        return self._local.tangent_kernel(weights, kept, indices)

    def activation_patterns(self, weights: Weights, indices: IntArray) -> BoolArray:
        """Implements :meth:`ticketsearch.engine.Engine.activation_patterns`."""
        return self._local.activation_patterns(weights, indices)

    def ntk_change(self, weights: Weights, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """Implements :meth:`ticketsearch.engine.Engine.ntk_change`."""
        return self._local.ntk_change(weights, mask, seed, examples, scale)

    def _shared(self, job: Job, split: Split) -> tuple[int, list[Any]]:
        """The part that all masks have in common, in the object store: put there once for the same objects."""
        parts = (job.start, job.batches, job.held, split)
        identity = (*map(id, parts), hash(job.recipe), job.first_step, job.traced)
        if identity not in self._common:
            known = next((name for name in SPLITS if getattr(self._task, name) is split), split)
            common = (job.start, job.recipe, job.batches, job.first_step, job.held, job.traced, known)
            self._keys += 1
            self._common[identity] = self._keys, parts, [self._ray.put(common)]  # parts: so that ids stay theirs
            if len(self._common) > KEPT:
                self._common.popitem(last=False)
        key, _, parcel = self._common[identity]
        return key, parcel


def _common_to_all(job: Job) -> bool:
    """Whether masks are all that differs between the networks of a job."""
    held = 1 if job.held is None else job.held.ndim
    return job.start.vector.ndim == job.start.rest.ndim == held == 1 and job.batches.ndim == 2


def shares(population: int, workers: int, grain: int) -> Iterator[slice]:
    """Rows of the chunks, whole grains but for the last: large ones first."""
    first, share = 0, SHARES * max(1, workers) * grain
    while first < population:
        last = min(population, first + grain * max(1, (population - first) // share))
        yield slice(first, last)
        first = last


def packed_task(task: Task) -> PackedTask:
    """A task with its tensors as arrays, which workers on one machine read where the object store has them."""
    splits = {name: tuple(tensor.cpu().numpy() for tensor in getattr(task, name)) for name in SPLITS}
    return {one.name: getattr(task, one.name) for one in fields(task) if one.name not in SPLITS}, splits


def unpacked_task(packed: PackedTask) -> Task:
    """The inverse of :func:`packed_task`; no array is copied."""
    import torch

    from ticketsearch.tasks import Split, Task

    others, arrays = packed
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor does anybody write to it
        splits: dict[str, Any] = {name: Split(*map(torch.from_numpy, pair)) for name, pair in arrays.items()}
    return Task(**others, **splits)


def _get(parcel: list[Any]) -> Any:
    """What a reference in a list stands for, on a worker."""
    import ray

    return ray.get(parcel[0])
