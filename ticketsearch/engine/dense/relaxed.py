"""Training through a relaxation; one network, one thread."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.arrays import FloatArray, ScoreArray
from ticketsearch.engine.base import Job, Relaxed
from ticketsearch.engine.dense.calling import Caller
from ticketsearch.engine.dense.draws import Drawing, augmented, drawing
from ticketsearch.engine.dense.fused import FusedPerceptron
from ticketsearch.engine.dense.maps import map_of
from ticketsearch.engine.dense.optimizers import Setting, make_optimizer
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.engine.threads import pool
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Weights
from ticketsearch.seeds import torch_stream
from ticketsearch.tasks import Task
from ticketsearch.tasks.layout import unflatten


class RelaxedTraining:
    """State of one training through a relaxation.

    Args:
        task: network and training split.
        device: where to compute.
        job: recipe, batches, start of the rest; one row. Its mask is not used.
        relaxation: what is trained, and how the weights follow.
        seed: of the relaxation's own randomness.
        draws: what the network draws from in training.
    """

    def __init__(
        self, task: Task, device: torch.device, job: Job, relaxation: Relaxation, seed: int, draws: Drawing = ""
    ) -> None:
        if job.recipe.sparsifies or job.recipe.scale_l1 or job.recipe.precision:
            raise InvalidValue("a relaxation has terms of its own; use a recipe without l1, hoyer, scale_l1, precision")
        self._call = Caller(task.build(seed=0).to(device).train(not relaxation.evaluating))
        self._inputs, self._labels = task.train.inputs.to(device), task.train.labels.to(device)
        layout = task.layout
        self._layout, self._job = layout, job
        self._draws: Drawing = "" if relaxation.evaluating else draws
        self._shapes = {layer.name: layer.shape for layer in layout.space.layers}
        self._task, self._device = task, device
        self._map = map_of(relaxation, device, torch_stream(seed, device))
        row = torch.from_numpy(np.array(job.start.rest, order="C")[None]).to(device)
        self._rest = {
            name: part[0].clone().to(layout.dtypes.get(name, torch.float32))
            for name, part in unflatten(row, layout.rest_shapes).items()
        }
        if relaxation.train_rest:
            for name in layout.trained_rest:
                self._rest[name].requires_grad_()
        teacher = relaxation.teacher
        self._teacher = None if teacher is None else self._named(torch.from_numpy(teacher.copy()).to(device))
        decay = job.recipe.weight_decay
        rest = [tensor for tensor in self._rest.values() if tensor.requires_grad]
        self._trained_rest = rest
        settings = [
            Setting(one.rate, decay if one.decay is None else one.decay) for one in relaxation.trainables.values()
        ]
        trained = [*self._map.values.values(), *rest]
        self._optimizer = make_optimizer(
            job.recipe, trained, settings + [Setting(1.0, decay)] * len(rest), stacked=False
        )
        fused = teacher is None and device.type == "cpu"
        self._fused = FusedPerceptron.of(self._call.module, layout) if fused else None
        self._thread = pool(1)

    def run(self, stops: tuple[int, ...]) -> Iterator[Relaxed]:
        """Implements :meth:`ticketsearch.engine.Engine.train_relaxed`."""
        before = 0
        for stop in stops:
            yield self._thread.submit(self._advance, before, stop).result()
            before = stop

    def _advance(self, first: int, last: int) -> Relaxed:
        values, rest, total = self._map.values, self._trained_rest, 0.0
        for step in range(first, last):
            examples, position = self._job.batches[step], self._job.first_step + step
            chosen = torch.from_numpy(examples).to(self._device)
            try:
                weights = self._map.weights(step)
            except RuntimeError:  # of what is no number, PyTorch draws nothing
                if all(bool(value.isfinite().all()) for value in values.values()):
                    raise
                return self._diverged()
            inputs = augmented(self._task, self._inputs[chosen], position, examples)
            with drawing(self._draws, position, examples, self._device):
                loss = self._loss(weights, inputs, self._labels[chosen])
            value = float(loss.detach())
            total += value
            if not math.isfinite(value + self._map.penalty(step)):
                return self._diverged()  # what comes after would be computed with what is no number
            grads = self._map.gradients(loss, rest)
            self._optimizer.step([*values.values(), *rest], grads, float(self._job.rates[step]))
        mean: ScoreArray = np.array([total / max(1, last - first)])
        vector = _array(self._map.weights_to_look_at(last))
        parts = [_array(part.float()).reshape(-1) for part in self._rest.values()]
        biases = np.concatenate(parts or [np.zeros(0, np.float32)])
        return Weights(vector[None], biases[None]), mean, {name: _array(value) for name, value in values.items()}

    def _loss(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        if self._fused is not None:
            return self._fused.loss(weights, self._rest, inputs, labels)
        outputs = self._call(self._named(weights) | self._rest, inputs)
        if self._teacher is None:
            return F.cross_entropy(outputs, labels)
        with torch.no_grad():
            target = self._call(self._teacher | self._rest, inputs).log_softmax(-1)
        own = outputs.log_softmax(-1)
        return F.kl_div(target, own, reduction="batchmean", log_target=True)

    def _diverged(self) -> Relaxed:
        """As if trained to the end: no weight and no loss is a number."""
        vector, rest = self._job.start.vector, self._job.start.rest
        lost = Weights(np.full((1, vector.size), np.nan, np.float32), np.full((1, rest.size), np.nan, np.float32))
        return lost, np.array([np.nan]), {name: _array(value) for name, value in self._map.values.items()}

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        types = self._layout.dtypes
        return {
            name: part[0].to(types.get(name, torch.float32))
            for name, part in unflatten(weights[None], self._shapes).items()
        }


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().cpu().numpy().copy()
    return array
