"""Single trainings and derivatives: the verbs of strategies that look at weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray, IntArray
from ticketsearch.cost import Cost
from ticketsearch.engine import Job, Relaxed, batch_indices
from ticketsearch.errors import StrategyError, TicketsearchError
from ticketsearch.ledger import Kind
from ticketsearch.masks import digest
from ticketsearch.recipe import Recipe
from ticketsearch.relaxation import Relaxation
from ticketsearch.scores import Score, Snapshot
from ticketsearch.seeds import stream
from ticketsearch.session import Session
from ticketsearch.tickets import Weights

Running = Callable[[tuple[int, ...]], Iterator[Relaxed]]
"""From the steps to stop at to the training that does."""
Result = TypeVar("Result")


class Trainer:
    """Charges stretch by stretch, runs, and records a training when it ends or is broken off."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._trainings = self._derivatives = 0

    def train(
        self,
        mask: BoolArray,
        start: Weights,
        recipe: Recipe,
        first_step: int,
        stops: list[int],
        *,
        held: FloatArray | None,
        validate: bool,
        relaxation: Relaxation | None,
    ) -> Iterator[Snapshot]:
        """Train one network with snapshots at ``stops``, steps of the recipe; each call draws its own data order."""
        session, number = self._session, self._trainings
        self._trainings += 1
        rng = stream(session.seed, "train", number)
        order = batch_indices(session.meter.train_size, recipe.batch_size, recipe.steps, rng)[first_step:]
        job = Job(mask[None], start, recipe, order, first_step, held)

        def run(ticks: tuple[int, ...]) -> Iterator[Relaxed]:
            if relaxation is None:
                return ((*state, {}) for state in session.engine.train(job, ticks))
            seed = int(stream(session.seed, "relaxation", number).integers(2**62))
            return session.engine.train_relaxed(job, relaxation, ticks, seed)

        return self._training(job, [step - first_step for step in stops], validate, run)

    def derivative(
        self,
        kind: Kind,
        mask: BoolArray,
        start: Weights,
        examples: int,
        price: int,
        compute: Callable[[Weights, IntArray], Result],
    ) -> Result:
        """Charge ``price`` trainings of the examples, draw them, compute at the masked weights, record."""
        session = self._session
        with session.verb():
            rng = stream(session.seed, "gradients", self._derivatives)
            self._derivatives += 1
            before = session.meter.spent
            session.meter.charge(session.pricing.training(mask, price * examples))
            with session.meter.engine():
                chosen: IntArray = rng.choice(session.meter.train_size, examples, replace=False).astype(np.int64)
                result = compute(Weights(np.where(mask, start.vector, 0), start.rest), chosen)
            session.record((kind, digest(mask), examples), before)
            return result

    def _training(self, job: Job, stops: list[int], validate: bool, run: Running) -> Iterator[Snapshot]:
        """The generator: stretches of at most an epoch, each charged before it runs."""
        mask, wanted, last = job.masks[0], set(stops), max(stops, default=0)
        ticks = sorted(wanted | set(range(self._session.steps_per_epoch, last, self._session.steps_per_epoch)))
        running = run(tuple(ticks))
        before, done, seen, loss = self._session.meter.spent, 0, 0, 0.0
        score: Score | None = None
        repeatable = closed = False  # whether a resumed run would end this training at the same step; broken off
        try:
            for tick in ticks:
                with self._session.verb():
                    measuring = validate and tick in wanted
                    self._session.meter.charge(self._stretch(job, tick - done, first=done == 0, measuring=measuring))
                    with self._session.meter.engine():
                        weights, losses, trained = next(running)
                    loss += float(losses[0]) * (tick - done)
                    done = tick
                    if not np.isfinite(loss):
                        score = Score.of(None, None, f"training diverged before step {job.first_step + tick}")
                        raise StrategyError(f"{score.reason}; lower the rate")
                    if measuring:
                        score = self._measured(weights)
                    self._session.tell()
                if tick in wanted:
                    own = Weights(weights.vector[0], weights.rest[0])
                    yield Snapshot(job.first_step + tick, own, loss / (tick - seen), score, trained)
                    seen, loss = tick, 0.0
            repeatable = True
        except TicketsearchError:
            repeatable = True
            raise
        except GeneratorExit:
            repeatable = closed = True
            raise
        finally:
            if done and repeatable and not self._session.interrupted:
                record = self._session.postpone if closed else self._session.record
                record(("train", digest(mask), done), before, score)

    def _stretch(self, job: Job, steps: int, *, first: bool, measuring: bool) -> Cost:
        """The price of some steps of one training, and of a validation after them."""
        mask = job.computed[0]
        cost = self._session.pricing.training(mask, steps * job.recipe.batch_size) + Cost(trainings=int(first))
        return cost + self._session.pricing.forward(mask, len(self._session.validation.labels)) if measuring else cost

    def _measured(self, weights: Weights) -> Score:
        with self._session.meter.engine():
            measures = self._session.engine.measure(weights, self._session.validation)
        return Score.of(float(measures.accuracy[0]), float(measures.loss[0]))
