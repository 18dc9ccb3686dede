"""Short trainings: many masks from one start, or each from its parent's weights, and what is scored of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine import Job, Measures, batch_indices
from ticketsearch.engine.base import joined
from ticketsearch.masks.ticket import Weights
from ticketsearch.problem.inheritance import Descent, Network, Order, unheld
from ticketsearch.problem.scores import Score, ScoreName
from ticketsearch.problem.session import Session
from ticketsearch.seeds import stream

LAST = 10
"""``train-loss-last`` is the mean of this fraction of the steps: one in ten."""
EMA = 0.9
"""Weight of the newest step in ``train-loss-ema`` (TSE-EMA: Ru et al., arXiv:2006.04492)."""
TOGETHER = 16
"""Networks with start weights of their own that are trained at a time, for memory's sake."""


@dataclass(frozen=True, eq=False)
class ShortTrainings:
    """One training of each of some masks.

    Attributes:
        masks: of units, ``(P, U)``.
        score: what is scored.
        order: the data they all see, and for how many steps.
        goal: how a dense training moved the weights, ``(D,)``; of the basin score.
        networks: what the trainings will leave, and descend from; ``None`` = they start from the initial weights, and
            nothing of them is kept.
    """

    masks: BoolArray
    score: ScoreName
    order: Order
    networks: tuple[Network, ...] | None = None
    goal: FloatArray | None = None

    def only(self, row: int) -> ShortTrainings:
        """One of them, by itself."""
        networks = None if self.networks is None else (self.networks[row],)
        return ShortTrainings(self.masks[row : row + 1].copy(), self.score, self.order, networks, self.goal)


class ShortTrainer:
    """Trains and scores, on the engine of a session; neither charged nor recorded."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batches: dict[Order, IntArray] = {}
        self.descent = Descent(session.units, session.initial)

    def scores(self, trainings: ShortTrainings) -> list[Score]:
        """Of each of the masks, in order."""
        with self._session.meter.engine():
            if trainings.goal is not None:
                measures, values = self._towards(trainings, trainings.goal)
            else:
                from_initial = trainings.networks is None
                measures = self._from_initial(trainings) if from_initial else self._from_parents(trainings)
                values = values_of(measures, trainings.score)
        self._session.meter.book_cpu(measures.cpu_s)
        return [Score.of(*pair) for pair in zip(values.tolist(), measures.loss.tolist(), strict=True)]

    def _from_initial(self, trainings: ShortTrainings) -> Measures:
        job = self._job(trainings.masks, self._session.initial, trainings.order, trainings.score)
        return self._session.engine.evaluate(job, self._session.validation)

    def _towards(self, trainings: ShortTrainings, goal: FloatArray) -> tuple[Measures, ScoreArray]:
        """What was measured, and how far each network moved in the direction of the goal: the cosine of the angle."""
        session, initial, found, cosines = self._session, self._session.initial, [], []
        for first in range(0, len(trainings.masks), TOGETHER):
            job = self._job(trainings.masks[first : first + TOGETHER], initial, trainings.order, "loss")
            weights = [reached for reached, _ in session.engine.train(job, (job.steps,))][-1]
            found.append(session.engine.measure(weights, session.validation))
            cosines.append(cosines_of(np.where(job.masks, weights.vector - initial.vector, 0), job.masks * goal))
        return joined(found), np.concatenate(cosines)

    def _from_parents(self, trainings: ShortTrainings) -> Measures:
        networks = trainings.networks or ()
        parents = [network.parent for network in networks]
        missing = unheld(parents)
        for group in missing:
            for first in range(0, len(group), TOGETHER):
                self._trained(group[first : first + TOGETHER], "loss")
        found = [
            self._trained(networks[first : first + TOGETHER], trainings.score)
            for first in range(0, len(networks), TOGETHER)
        ]
        for ancestor in (network for group in missing for network in group):
            if ancestor not in self.descent:
                ancestor.forget()
        return joined(found)

    def _trained(self, networks: list[Network] | tuple[Network, ...], score: ScoreName) -> Measures:
        """Networks on one data order, each from its parent's weights, which are held; theirs are held afterwards."""
        masks, order = self.descent.masks_of(networks), networks[0].order
        job = self._job(masks, self.descent.starts_of(networks), order, score)
        weights, stretches, before = job.start, [], 0
        for stop, (reached, losses) in zip(
            _stops(order.steps, score), self._session.engine.train(job, _stops(order.steps, score)), strict=True
        ):
            weights = reached
            stretches.append(np.tile(losses[:, None], (1, stop - before)))
            before = stop
        if not order.steps:
            weights = Weights(np.where(self._session.units.expand(masks), weights.vector, 0), weights.rest)
        self.descent.hold(networks, masks, weights)
        measures = self._session.engine.measure(weights, self._session.validation)
        trace = np.concatenate(stretches, axis=1) if stretches else np.zeros((len(networks), 0))
        return Measures(measures.accuracy, measures.loss, measures.cpu_s, trace)

    def _job(self, masks: BoolArray, start: Weights, order: Order, score: ScoreName) -> Job:
        units = self._session.units
        return Job(
            units.expand(masks),
            start,
            self._session.recipe.lasting(order.steps),
            self._batches_of(order),
            rest_mask=units.rest_mask(masks),
            traced=score.startswith("train-"),
        )

    def _batches_of(self, order: Order) -> IntArray:
        """Batches ``(S, B)``; those of the common orders and of the newest call are kept."""
        if order not in self._batches:
            call: list[str | int] = [order.call] if order.call else []
            repeat: list[str | int] = ["repeat", order.repeat] if order.repeat else []
            rng = stream(self._session.seed, "evaluate", *call, *repeat)
            if order.call:
                kept = (0, order.call)
                self._batches = {known: batches for known, batches in self._batches.items() if known.call in kept}
            size, batch = self._session.meter.train_size, self._session.recipe.batch_size
            self._batches[order] = batch_indices(size, batch, order.steps, rng)
        return self._batches[order]


def _stops(steps: int, score: ScoreName) -> tuple[int, ...]:
    """Where a training is looked at, so that the mean losses in between say what is scored."""
    if score == "train-loss-ema":
        return tuple(range(1, steps + 1))
    last = steps - max(1, steps // LAST) if score == "train-loss-last" else 0
    return tuple(stop for stop in (last, steps) if stop)


def cosines_of(moves: FloatArray, goals: FloatArray) -> ScoreArray:
    """Cosines of the angles between rows ``(P, D)``; zero where one of them is zero."""
    one, other = moves.astype(np.float64), goals.astype(np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: ScoreArray = np.divide((one * other).sum(1), norms, out=np.zeros(len(one)), where=norms != 0)
    return cosines


def values_of(measures: Measures, score: ScoreName) -> ScoreArray:
    """What is scored of short trainings, ``(P,)``, higher is better."""
    if score == "accuracy":
        return measures.accuracy
    if score == "loss":
        return -measures.loss
    trace = measures.training
    assert trace is not None  # the job was traced
    if not trace.shape[1]:  # no step, no training loss
        return -measures.loss
    if score == "train-loss":
        return np.asarray(-trace.mean(1))
    if score == "train-loss-last":
        return np.asarray(-trace[:, -max(1, trace.shape[1] // LAST) :].mean(1))
    average: ScoreArray = trace[:, 0].copy()
    for column in trace.T[1:]:
        average = (1 - EMA) * average + EMA * column
    return -average
