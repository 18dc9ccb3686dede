"""Tickets of channels trained as the smaller networks they are.

A network whose channels are masked learns what a network without them does, but takes the dense network's time. So
trainings of such masks run on the compacted network (:mod:`ticketsearch.compaction`): cut, trained by a dense engine of
its own, and scattered back into the whole network's vectors. Results agree within float tolerance.

Two things are not in the cut network. Weights that read a pruned channel have no gradient, and decay as weight decay
says; that is computed here. Running statistics of what nothing reads stay where they started. Evaluations and short
trainings are not cut: tracing a network takes longer than they would save.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ticketsearch.arrays import BoolArray, FloatArray, ScoreArray
from ticketsearch.compaction import Compaction, compact
from ticketsearch.engine.base import Job
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.engine.dense.optimizers import make_optimizer
from ticketsearch.engine.threads import pool
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Weights
from ticketsearch.tasks.layout import Layout

WORTH_FLOPS = 1e11
"""Dense FLOPs of a training that is worth cutting: some seconds of a core, where cutting takes one."""
Trained = tuple[Weights, ScoreArray]


class CompactedEngine(DenseEngine):
    """A dense engine that trains tickets of channels cut."""

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[Trained]:
        """Implements :meth:`ticketsearch.engine.Engine.train`."""
        groups = self._groups(job) if self._can_cut(job) else []
        if not groups:
            yield from super().train(job, stops)
            return
        threads = min(len(groups), self.threads)
        trainings = [self._training(job, rows, stops, self.threads // threads) for rows in groups]
        order = np.argsort(np.concatenate(groups))
        with pool(threads) as workers:
            for _ in stops:
                parts = list(workers.map(next, trainings))
                vector, rest, losses = (
                    np.concatenate(arrays)[order]
                    for arrays in zip(*((w.vector, w.rest, loss) for w, loss in parts), strict=True)
                )
                yield Weights(vector, rest), losses

    def _can_cut(self, job: Job) -> bool:
        """Whether it is worth it, and the cut network's loss is the masked one's.

        Terms over all weights of a layer count dead ones too; dropout draws other numbers in a smaller network.
        """
        recipe = job.recipe
        if 3 * job.steps * recipe.batch_size * self.layout.space.flops_per_example() < WORTH_FLOPS:
            return False
        plain = recipe.precision is None and not recipe.sparsifies and job.held is None
        return plain and job.rest_mask is not None and not self._draws and not job.masks.all(1).any()

    @staticmethod
    def _groups(job: Job) -> list[np.ndarray]:
        """Rows of each mask."""
        rows: dict[str, list[int]] = {}
        for row, mask in enumerate(job.masks):
            rows.setdefault(digest(mask), []).append(row)
        return [np.array(own) for own in rows.values()]

    def _training(self, job: Job, rows: np.ndarray, stops: tuple[int, ...], workers: int) -> Iterator[Trained]:
        """Some rows of one mask, cut; or masked, where the network has no graph to cut."""
        own = _rows(job, rows)
        assert own.rest_mask is not None  # of channels
        state = _State(self.layout, self._task.build(seed=0).state_dict())
        masks = state.named(own.masks[0], own.rest_mask[0])
        parameters = dict(self._task.build(seed=0).named_parameters())
        compaction = compact(
            self._task.build(seed=0),
            {name: mask.numpy() for name, mask in masks.items() if name in parameters},
            example=self._task.train.inputs[:1],
            training=True,
        )
        if not compaction.layers or compaction.parameters[1] == compaction.parameters[0]:
            return super().train(own, stops)
        task = replace(self._task, network=lambda: copy.deepcopy(compaction.module))
        engine = DenseEngine(task, self._device, max(1, workers), train=self._train)
        return _CutTraining(engine, compaction, state, own).run(stops)


@dataclass(frozen=True, eq=False)
class _State:
    """Between vectors and a module's state dict."""

    layout: Layout
    base: dict[str, Tensor]

    def named(self, vector: FloatArray | BoolArray, rest: FloatArray | BoolArray) -> dict[str, Tensor]:
        """``(D,)`` and ``(R,)`` by name; what neither holds is the base's."""
        found, offset = dict(self.base), 0
        for layer, part in self.layout.space.split(vector):
            found[layer.name] = torch.from_numpy(np.array(part))
        for name, shape in self.layout.rest_shapes.items():
            size = int(np.prod(shape))
            found[name] = torch.from_numpy(np.array(rest[offset : offset + size])).reshape(shape)
            offset += size
        return found

    def flat(self, state: dict[str, Tensor]) -> Weights:
        """The inverse."""
        parts = (
            [state[layer.name] for layer in self.layout.space.layers],
            [state[name] for name in self.layout.rest_shapes],
        )
        vector, rest = (np.concatenate([np.zeros(0, np.float32), *(t.numpy().reshape(-1) for t in p)]) for p in parts)
        return Weights(vector, rest)


class _CutTraining:
    """Rows of one mask in training: gathered, trained, scattered."""

    def __init__(self, engine: DenseEngine, compaction: Compaction, whole: _State, job: Job) -> None:
        assert job.rest_mask is not None
        self._engine, self._compaction, self._whole, self._recipe = engine, compaction, whole, job.recipe
        self._small = _State(engine.layout, compaction.module.state_dict())
        count = len(job.masks)
        vectors = np.broadcast_to(job.start.vector, (count, job.masks.shape[1])) * job.masks
        rests = np.broadcast_to(job.start.rest, (count, job.rest_mask.shape[1])) * job.rest_mask
        self._starts = [whole.named(*pair) for pair in zip(vectors, rests, strict=True)]
        starts = [self._gather(start) for start in self._starts]
        masks = self._gather(whole.named(job.masks[0].astype(np.float32), job.rest_mask[0].astype(np.float32)))
        start = Weights(np.stack([one.vector for one in starts]), np.stack([one.rest for one in starts]))
        self._job = replace(
            job,
            masks=np.tile(masks.vector > 0, (count, 1)),
            start=start,
            rest_mask=np.tile(masks.rest > 0, (count, 1)),
        )
        there = Weights(np.ones(engine.layout.space.size, np.float32), np.ones(starts[0].rest.size, np.float32))
        nothing = whole.named(np.zeros_like(vectors[0]), np.zeros_like(rests[0]))
        self._unread = job.masks[0] & (self._scatter(there, nothing).vector == 0)
        self._unread_values = torch.from_numpy(vectors[:, self._unread])
        self._decay = make_optimizer(job.recipe, [self._unread_values])

    def run(self, stops: tuple[int, ...]) -> Iterator[Trained]:
        """Weights of the whole network, and losses, at each stop."""
        done = 0
        for stop, (weights, losses) in zip(stops, self._engine.train(self._job, stops), strict=True):
            for step in range(done, stop if self._recipe.weight_decay else done):
                nothing = torch.zeros_like(self._unread_values)
                self._decay.step([self._unread_values], [nothing], float(self._job.rates[step]))
            done = stop
            rows = zip(weights.vector, weights.rest, self._starts, strict=True)
            wholes = [self._scatter(Weights(vector, rest), start) for vector, rest, start in rows]
            vector = np.stack([one.vector for one in wholes])
            vector[:, self._unread] = self._unread_values.numpy()
            yield Weights(vector, np.stack([one.rest for one in wholes])), losses

    def _gather(self, state: dict[str, Tensor]) -> Weights:
        return self._small.flat(self._compaction.gather(state))

    def _scatter(self, weights: Weights, into: dict[str, Tensor]) -> Weights:
        return self._whole.flat(self._compaction.scatter(self._small.named(weights.vector, weights.rest), into))


def _rows(job: Job, rows: np.ndarray) -> Job:
    """The same job for some of the masks, in any order."""
    vector, rest = job.start.vector, job.start.rest
    start = Weights(vector[rows] if vector.ndim == 2 else vector, rest[rows] if rest.ndim == 2 else rest)
    return replace(
        job,
        masks=job.masks[rows],
        start=start,
        batches=job.batches[rows] if job.batches.ndim == 3 else job.batches,
        rest_mask=None if job.rest_mask is None else job.rest_mask[rows],
    )
