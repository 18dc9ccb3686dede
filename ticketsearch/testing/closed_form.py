"""A problem whose every answer is a formula: the interface of a real one, in microseconds, at any size.

Each weight has a target t and an importance a, and the loss is the quadratic ``sum a (w - t)^2``, scaled by its value
at zero. A planted mask of the size asked for has a = 1 and t = 0.7 w0; elsewhere a = 0.1 and t = 0. Gradient descent
on it is an exponential decay, so trainings of any length are one expression; planted weights are larger at the start,
at the end, and in sensitivity, so that every kind of method finds something to go by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.cost import Meter
from ticketsearch.engine import Job, Kept, Measures, Relaxed
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import ChannelTies, Units, block_units, channel_units, parse_granularity, weight_units
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.replay import Replay
from ticketsearch.problem.session import Session
from ticketsearch.recipe import Recipe
from ticketsearch.records.ledger import Ledger
from ticketsearch.seeds import stream, torch_stream

if TYPE_CHECKING:
    from ticketsearch.engine.relaxation import Relaxation
    from ticketsearch.tasks import Split
    from ticketsearch.tasks.layout import Layout

SMALL: dict[str, tuple[int, ...]] = {"first.weight": (12, 16), "second.weight": (10, 12), "output.weight": (5, 10)}
MILLION: dict[str, tuple[int, ...]] = {
    "first.weight": (800, 1000),
    "second.weight": (900, 200),
    "output.weight": (100, 200),
}
TRAIN_SIZE, VALIDATION_SIZE, REST = 300, 90, 4
RECIPE = Recipe(steps=60, batch_size=30, learning_rate=0.1, momentum=0.9, schedule="cosine")
FIDELITY = 10
EVALUATION_THIRDS = 3 * FIDELITY * RECIPE.batch_size + VALIDATION_SIZE
_PLANTED, _OTHER, _RATE = 1.0, 0.1, 0.5


class _Labels(NamedTuple):
    """Stands for a split: nothing but its length is used."""

    inputs: FloatArray
    labels: IntArray


class _Layout(NamedTuple):
    space: MaskSpace
    rest_shapes: dict[str, tuple[int, ...]]
    trained_rest: frozenset[str]
    fixed_flops: int = 0


class ClosedFormEngine:
    """An engine that evaluates formulas, and counts what it was asked for.

    Args:
        units: of a space of any size.
        n_kept: units of the planted mask.
        seed: of the initial weights and of the planted mask.
        fails: masks whose training "diverges".

    Attributes:
        thirds: work done so far, in thirds of a training example, as a budget counts it.
    """

    name = "closed-form"
    device = "cpu"
    threads = grain = width = 1

    def __init__(self, units: Units, n_kept: int, seed: int, fails: Callable[[BoolArray], bool] | None = None) -> None:
        rng, space = stream(seed, "closed form"), units.weights
        self.layout = cast("Layout", _Layout(space, {"bias": (REST,)}, frozenset({"bias"})))
        self.initial = Weights(
            np.concatenate([rng.normal(0, layer.shape[-1] ** -0.5, layer.size) for layer in space.layers]).astype("f4"),
            np.zeros(REST, dtype=np.float32),
        )
        vector = self.initial.vector
        worth = units.reduce(np.abs(vector) * np.exp(0.7 * rng.normal(size=space.size)))
        self.planted = units.expand(units.space.top(worth, n_kept))
        self._target: FloatArray = np.where(self.planted, np.float32(0.7) * vector, np.float32(0))
        self._importance: FloatArray = np.where(self.planted, np.float32(_PLANTED), np.float32(_OTHER))
        self._scale = float(np.square(self._target, dtype=float).sum())
        self._fails = fails
        self.thirds = 0

    def warm_up(self) -> None:
        """Nothing to compile."""

    def train(self, job: Job, stops: tuple[int, ...]) -> Iterator[tuple[Weights, ScoreArray]]:
        """Implements :class:`ticketsearch.engine.Engine`; so do the others."""
        rest = np.broadcast_to(job.start.rest, (len(job.masks), REST))
        done = 0
        for stop in stops:
            self.thirds += 3 * len(job.masks) * (stop - done) * job.recipe.batch_size
            done = stop
            vectors = np.stack([self._trained(job, row, stop) for row in range(len(job.masks))])
            yield Weights(vectors, rest.copy()), self._losses(vectors)

    def train_relaxed(self, job: Job, relaxation: Relaxation, stops: tuple[int, ...], seed: int) -> Iterator[Relaxed]:
        """Gradient descent on the quadratic, through the relaxation, by PyTorch."""
        import torch

        from ticketsearch.engine.dense.optimizers import Setting, make_optimizer

        generator = torch_stream(seed, torch.device("cpu"))
        values = {
            name: torch.from_numpy(np.array(trainable.start, dtype=np.float32)).requires_grad_()
            for name, trainable in relaxation.trainables.items()
        }
        parameters = list(values.values())
        settings = [Setting(one.rate, 0.0) for one in relaxation.trainables.values()]
        optimizer = make_optimizer(
            replace(job.recipe, optimizer="sgd", nesterov=False), parameters, settings, stacked=False
        )
        passes = 3 if relaxation.teacher is None else 4  # whose outputs are the target's
        target, importance = torch.from_numpy(self._target), torch.from_numpy(self._importance)
        done, losses = 0, [0.0]
        for stop in stops:
            self.thirds += passes * (stop - done) * job.recipe.batch_size
            for step in range(done, stop):
                weights = relaxation.weights(values, step, generator)
                loss = (importance * (weights - target).square()).sum() / self._scale
                losses.append(float(loss.detach()))
                if relaxation.penalty is not None:
                    loss = loss + relaxation.penalty(values, step)
                grads = torch.autograd.grad(loss, parameters, allow_unused=True)
                optimizer.step(parameters, grads, float(job.rates[step]))
            done = stop
            with torch.no_grad():
                vector = relaxation.weights(values, stop, generator).numpy().copy()
            trained: dict[str, FloatArray] = {name: value.detach().numpy().copy() for name, value in values.items()}
            yield Weights(vector[None], job.start.rest[None].copy()), np.array(losses[-1:]), trained

    def evaluate(self, job: Job, split: Split) -> Measures:
        """Train, then measure; a mask that ``fails`` has a NaN loss."""
        self.thirds += len(job.masks) * (3 * job.steps * job.recipe.batch_size + len(split.labels))
        losses = np.array([self._losses(self._trained(job, row, job.steps)[None])[0] for row in range(len(job.masks))])
        if self._fails is not None:
            losses[[self._fails(mask) for mask in job.masks]] = np.nan
        training = np.stack([self._trace(job, row) for row in range(len(job.masks))]) if job.traced else None
        return Measures(_accuracy(losses), losses, training=training)

    def _trace(self, job: Job, row: int) -> ScoreArray:
        """The loss before each step, ``(S,)``."""
        return self._losses(np.stack([self._trained(job, row, step) for step in range(job.steps)]))

    def measure(self, weights: Weights, split: Split) -> Measures:
        """The quadratic at these weights."""
        self.thirds += len(weights.vector) * len(split.labels)
        losses = self._losses(weights.vector)
        return Measures(_accuracy(losses), losses)

    def gradients(self, weights: Weights, indices: IntArray) -> FloatArray:
        """Of the quadratic; every example has the same."""
        self.thirds += 3 * len(indices)
        gradient: FloatArray = (self._importance * (weights.vector - self._target) / self._scale).astype(np.float32)
        return gradient

    def hessian_gradient(self, weights: Weights, indices: IntArray, temperature: float) -> FloatArray:
        """Of the quadratic, divided by the temperature."""
        self.thirds += 3 * len(indices)
        return self.gradients(weights, indices) * self._importance / np.float32(temperature)

    def synaptic_flow(self, weights: Weights) -> ScoreArray:
        """Magnitudes."""
        self.thirds += 3
        return np.abs(weights.vector).astype(float)

    def ntk_sensitivity(self, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """The change of an output that is the sum of all weights, differentiated by the mask's bits."""
        self.thirds += 6 * examples
        rng = np.random.default_rng(seed)
        return np.abs(2 * scale**2 * rng.standard_normal(mask.size) * (rng.standard_normal(mask.size) @ mask))

    def hessian_product(self, weights: Weights, indices: IntArray, direction: FloatArray) -> FloatArray:  # noqa: ARG002
        """Of the quadratic: twice the importances, scaled."""
        self.thirds += 6 * len(indices)
        product: FloatArray = (self._importance * direction / self._scale).astype(np.float32)
        return product

    def tangent_kernel(self, weights: Weights, kept: Kept, indices: IntArray) -> ScoreArray:  # noqa: ARG002
        """Of an output that is the sum of the weights, times the example's number."""
        self.thirds += 3 * len(indices) ** 2
        numbers = np.arange(1.0, len(indices) + 1)
        return np.outer(numbers, numbers) * np.count_nonzero(kept.mask) + np.eye(len(indices))

    def activation_patterns(self, weights: Weights, indices: IntArray) -> BoolArray:
        """A unit for each weight, at work if it is above the example's share of the largest."""
        self.thirds += len(indices)
        shares = np.linspace(0, 1, len(indices), endpoint=False)[:, None] * np.abs(weights.vector).max()
        patterns: BoolArray = weights.vector[None] > shares
        return patterns

    def ntk_change(self, weights: Weights, mask: BoolArray, seed: int, examples: int, scale: float) -> ScoreArray:
        """The change of an output that is the sum of all weights."""
        self.thirds += 2 * examples
        noise = np.random.default_rng(seed).standard_normal(weights.vector.size)
        return np.array([(scale * noise @ mask) ** 2])

    def value(self, mask: BoolArray) -> float:
        """What a mask is worth after the full recipe: minus the loss. Not counted."""
        job = Job(mask[None], self.initial, RECIPE, np.zeros((RECIPE.steps, 1), dtype=np.int64))
        return -float(self._losses(self._trained(job, 0, RECIPE.steps)[None])[0])

    def _trained(self, job: Job, row: int, steps: int) -> FloatArray:
        start = job.start.vector if job.start.vector.ndim == 1 else job.start.vector[row]
        decay = np.where(self.planted, np.float32(np.exp(-_RATE * _PLANTED * steps)), np.exp(-_RATE * _OTHER * steps))
        vector = self._target + (start - self._target) * decay.astype(np.float32)
        return np.where(job.masks[row], vector, np.float32(0))

    def _losses(self, vectors: FloatArray) -> ScoreArray:
        """``(P, D) -> (P,)``."""
        errors = self._importance * np.square(vectors - self._target)
        losses: ScoreArray = errors.sum(axis=1, dtype=float) / self._scale
        return losses


def _accuracy(losses: ScoreArray) -> ScoreArray:
    accuracies: ScoreArray = 0.1 + 0.9 * np.exp(-losses)
    return accuracies


@dataclass(frozen=True)
class ClosedForm:
    """What a problem with formulas for answers looks like.

    Attributes:
        evaluations: how many its budget pays for.
        sparsity: fraction of the units to prune.
        seed: of everything.
        shapes: of the layers; their first dimension is output channels, their second inputs.
        steps: of the recipe.
        granularity: ``weight``, ``channel`` or ``N:M``.
        fails: masks of weights whose training "diverges".
    """

    evaluations: int
    sparsity: float = 0.9
    seed: int = 0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: SMALL)
    steps: int = RECIPE.steps
    granularity: str = "weight"
    fails: Callable[[BoolArray], bool] | None = None

    @property
    def units(self) -> Units:
        """What its masks are of; every layer but the last has channels that own nothing."""
        space, block = MaskSpace.from_shapes(dict(self.shapes)), parse_granularity(self.granularity)
        if block is not None:
            return block_units(space, *block)
        if self.granularity == "weight":
            return weight_units(space)
        *inner, output = self.shapes
        return channel_units(space, {"bias": (REST,)}, ChannelTies(output, dict.fromkeys(inner, ()), {}))

    def session(self, ledger: Ledger) -> tuple[Session, ClosedFormEngine]:
        """A search on it, and the engine behind it."""
        units = self.units
        engine = ClosedFormEngine(units, units.space.n_kept(self.sparsity), self.seed, self.fails)
        meter = Meter(TRAIN_SIZE)
        meter.limit_thirds = self.evaluations * EVALUATION_THIRDS
        validation: Any = _Labels(np.zeros((VALIDATION_SIZE, 1), np.float32), np.zeros(VALIDATION_SIZE, np.int64))
        session = Session(
            engine=engine,
            validation=validation,
            labels=np.zeros(TRAIN_SIZE, dtype=np.int64),
            recipe=RECIPE.lasting(self.steps),
            initial=engine.initial,
            units=units,
            seed=self.seed,
            sparsity=self.sparsity,
            fidelity=FIDELITY,
            meter=meter,
            replay=Replay(ledger),
        )
        return session, engine


def closed_form_problem(evaluations: int, **options: Any) -> tuple[MaskProblem, ClosedFormEngine]:
    """A problem that nobody watches, and the engine behind it; ``options`` are those of :class:`ClosedForm`."""
    session, engine = ClosedForm(evaluations, **options).session(Ledger())
    return MaskProblem(session), engine
