"""Single trainings and derivatives: the verbs of strategies that look at weights.

What they give is not in the ledger but in the resume store; charges are made and trials recorded just the same when a
resumed run takes it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray, ScoreArray
from ticketsearch.cost import Cost
from ticketsearch.digests import digest_of
from ticketsearch.engine import Job, Relaxed, batch_indices
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.errors import BudgetExhausted, StrategyError
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem.scores import Score, Snapshot
from ticketsearch.problem.session import Session
from ticketsearch.recipe import Recipe
from ticketsearch.records.ledger import Kind
from ticketsearch.records.resume import Saved, keyed
from ticketsearch.seeds import stream

COMMON = "common"
"""Name of the stream that calls share which see the same examples."""
Running = Callable[[tuple[int, ...]], Iterator[Relaxed]]
"""From the steps to stop at to the training that does."""
Values = TypeVar("Values", FloatArray, ScoreArray, BoolArray)


@dataclass(frozen=True, eq=False)
class Asked:
    """Something to be computed of a network at one point.

    Attributes:
        kind: what.
        examples: passed.
        price: passes of each.
        forward: whether they are forward passes, a third of the others.
        common: whether all calls of the kind draw the same; else each draws its own.
        of: what else decides the answer.
    """

    kind: Kind
    examples: int
    price: int
    forward: bool = False
    common: bool = False
    of: str | FloatArray = ""


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
        relaxation: Relaxation | None,
    ) -> Generator[Snapshot]:
        """Train one network with snapshots at ``stops``, steps of the recipe; each call draws its own data order.

        The mask is of units, ``(U,)``.
        """
        session, number = self._session, self._trainings
        self._trainings += 1
        rng = stream(session.seed, "train", number)
        steps = max(stops, default=first_step) - first_step
        order = batch_indices(session.meter.train_size, recipe.batch_size, steps, rng)
        units = session.units
        job = Job(units.expand(mask[None]), start, recipe, order, first_step, held, units.rest_mask(mask[None]))

        def run(ticks: tuple[int, ...]) -> Iterator[Relaxed]:
            if relaxation is None:
                yield from ((*state, {}) for state in session.engine.train(job, ticks))
            else:
                seed = int(stream(session.seed, "relaxation", number).integers(2**62))
                yield from session.engine.train_relaxed(job, relaxation, ticks, seed)

        ticks = [step - first_step for step in stops]
        taught = relaxation is not None and relaxation.teacher is not None
        return self._training(job, ticks, run, _Shelf(session, number, job, ticks, relaxation), taught=taught)

    def train_alike(self, mask: BoolArray, start: Weights, recipe: Recipe) -> Snapshot:
        """Train one network under a mask of units ``(U,)`` by a recipe, on the data order of all such calls."""
        session, number, units = self._session, self._trainings, self._session.units
        self._trainings += 1
        rng = stream(session.seed, "train", COMMON)
        order = batch_indices(session.meter.train_size, recipe.batch_size, recipe.steps, rng)
        job = Job(units.expand(mask[None]), start, recipe, order, rest_mask=units.rest_mask(mask[None]))

        def run(ticks: tuple[int, ...]) -> Iterator[Relaxed]:
            yield from ((*state, {}) for state in session.engine.train(job, ticks))

        stops = [recipe.steps]
        [snapshot] = self._training(job, stops, run, _Shelf(session, number, job, stops, None), taught=False)
        return snapshot

    def validate(self, mask: BoolArray, start: Weights) -> Score:
        """Measure a network under a mask of units ``(U,)`` on the validation split."""
        session = self._session
        masked = session.units.ticket(Ticket(mask, start)).started(start)
        assert masked.weights is not None  # started
        examples = len(session.validation.labels)
        with session.verb():
            before = session.meter.spent
            session.meter.charge(session.pricing.forward(masked.mask, examples))
            network = Weights(masked.weights.vector[None], masked.weights.rest[None])
            with session.meter.engine():
                measures = session.engine.measure(network, session.validation)
            score = Score.of(float(measures.accuracy[0]), float(measures.loss[0]))
            session.record(("validate", digest(masked.mask), examples), before, score)
            return score

    def derivative(
        self,
        asked: Asked,
        mask: BoolArray,
        start: Weights,
        compute: Callable[[Weights, np.random.Generator], Values],
    ) -> Values:
        """Charge what is asked, compute it under a mask of units ``(U,)``, record.

        What is computed draws from the stream that it is given.
        """
        session, number, examples = self._session, self._derivatives, asked.examples
        masked = session.units.ticket(Ticket(mask, start)).started(start)
        mask, point = masked.mask, masked.weights
        assert point is not None  # started
        keep = session.resume and examples >= session.recipe.batch_size  # fewer cost no more than their file
        with session.verb():
            rng = stream(session.seed, "gradients", *((asked.kind, COMMON) if asked.common else (number,)))
            self._derivatives += 1
            name = f"{asked.kind}-{number}"
            identity = digest_of(mask, start.vector, start.rest, examples, asked.of) if keep else ""
            before = session.meter.spent
            prices = session.pricing.forward if asked.forward else session.pricing.gradients
            session.meter.charge(prices(mask, asked.price * examples))
            if keep and (kept := session.resume.load(name, identity)):
                result: Values = kept.arrays["result"]
            else:
                with session.meter.engine():
                    result = compute(point, rng)
                if keep:
                    session.resume.save(name, identity, {"result": result})
            session.record((asked.kind, digest(mask), examples), before)
            return result

    def _training(
        self, job: Job, stops: list[int], run: Running, shelf: _Shelf, *, taught: bool
    ) -> Generator[Snapshot]:
        """The generator: stretches of at most an epoch, each charged before it runs, or taken from the resume store."""
        mask, wanted, last = job.masks[0], set(stops), max(stops, default=0)
        ticks = sorted(wanted | set(range(self._session.steps_per_epoch, last, self._session.steps_per_epoch)))
        running = zip(ticks, run(tuple(ticks)), strict=True)
        kept = shelf.load(min(wanted, default=0))
        before, done, seen, loss = self._session.meter.spent, 0, 0, 0.0
        score: Score | None = None
        repeatable = closed = False  # whether a resumed run would end this training at the same step; broken off
        try:
            for tick in ticks:
                with self._session.verb():
                    self._session.meter.charge(self._stretch(job, tick - done, first=done == 0, taught=taught))
                    if kept is None:
                        with self._session.meter.engine():  # from the beginning, if that was kept and this is not
                            weights, losses, trained = next(state for reached, state in running if reached == tick)
                        loss += float(losses[0]) * (tick - done)
                    done = tick
                    if not np.isfinite(loss):
                        score = Score.of(None, None, f"training diverged before step {job.first_step + tick}")
                        raise StrategyError(f"{score.reason}; lower the rate")
                    if tick in wanted and kept is None:
                        own = Weights(weights.vector[0], weights.rest[0])
                        snapshot = Snapshot(job.first_step + tick, own, loss / (tick - seen), trained)
                        shelf.save(tick, snapshot)
                    elif tick in wanted and kept is not None:
                        snapshot = kept
                    self._session.tell()
                if tick in wanted:
                    self._session.handed_out.add(digest_of(snapshot.weights.vector, snapshot.weights.rest))
                    yield snapshot
                    seen, loss = tick, 0.0
                    kept = shelf.load(min((stop for stop in wanted if stop > tick), default=0))
            repeatable = True
        except (BudgetExhausted, StrategyError):
            repeatable = True
            raise
        except GeneratorExit:
            repeatable = closed = True
            raise
        finally:
            if done and repeatable and not self._session.interrupted and not self._session.late:
                record = self._session.postpone if closed else self._session.record
                record(("train", digest(mask), done), before, score)

    def _stretch(self, job: Job, steps: int, *, first: bool, taught: bool) -> Cost:
        """The price of some steps of one training; a teacher's outputs are those of the dense network."""
        examples = steps * job.recipe.batch_size
        price = self._session.pricing.training(job.computed[0], examples) + Cost(trainings=int(first))
        if taught:
            price += self._session.pricing.forward(np.ones_like(job.masks[0]), examples)
        return price


class _Shelf:
    """What resuming one training needs: its snapshots, by the steps done."""

    def __init__(
        self, session: Session, number: int, job: Job, stops: list[int], relaxation: Relaxation | None
    ) -> None:
        self._store, self._number, self._identity = session.resume, number, ""
        if self._store:
            trained = [
                part
                for name, one in sorted((relaxation.trainables if relaxation else {}).items())
                for part in (name, one.start, repr((one.rate, one.decay)))
            ]
            trained.append("" if relaxation is None or relaxation.teacher is None else digest_of(relaxation.teacher))
            asked = repr((asdict(job.recipe), job.first_step, stops))
            self._identity = digest_of(job.masks, job.start.vector, job.start.rest, job.held, asked, *trained)

    def load(self, done: int) -> Snapshot | None:
        kept = self._store.load(f"train-{self._number}-{done}", self._identity) if done else None
        return _snapshot(kept) if kept else None

    def save(self, done: int, snapshot: Snapshot) -> None:
        arrays = {"vector": snapshot.weights.vector, "rest": snapshot.weights.rest}
        arrays |= {f"trained.{name}": array for name, array in snapshot.trained.items()}
        facts = {"step": snapshot.step, "train_loss": snapshot.train_loss}
        self._store.save(f"train-{self._number}-{done}", self._identity, arrays, facts)


def _snapshot(saved: Saved) -> Snapshot:
    arrays, facts = saved.arrays, saved.facts
    trained = keyed(arrays, "trained.")
    return Snapshot(facts["step"], Weights(arrays["vector"], arrays["rest"]), facts["train_loss"], trained)
