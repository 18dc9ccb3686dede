"""The shared evaluator: short trainings of many masks, charged, run or replayed, recorded, remembered."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TypeAlias

import numpy as np

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray
from ticketsearch.cost import Cost
from ticketsearch.engine import Job, Measures, batch_indices
from ticketsearch.errors import BudgetExhausted, SearchStalled
from ticketsearch.masks import digest
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.problem.scores import Incumbent, Orders, Score, ScoreName
from ticketsearch.problem.session import Session
from ticketsearch.records.ledger import Question
from ticketsearch.seeds import stream

SLAB, ROUNDS = 64, 4
"""Masks recorded together, which is what a killed run may lose; a wide engine gets as many times that as give each of
its networks four masks in turn."""
Key: TypeAlias = tuple[str, int, ScoreName, int, int]
"""What a score is of: mask, steps, what is scored, which fresh orders (0 = common), repeats."""
LAST = 10
"""``train-loss-last`` is the mean of this fraction of the steps: one in ten."""
EMA = 0.9
"""Weight of the newest step in ``train-loss-ema`` (TSE-EMA: Ru et al., arXiv:2006.04492)."""
FREE_CALLS, FREE_MASKS = 20, 1000
"""Calls in a row, and masks in them, that may be answered from memory before the search counts as stalled."""


class Evaluator:
    """Scores masks from the same start, by default on the same batches; a known mask is then answered from memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[Key, Score] = {}
        self._batches: dict[tuple[int, int, int], IntArray] = {}
        self._free_calls = self._free_masks = self._fresh_calls = 0

    def thirds(self, steps: int, repeats: int = 1) -> int:
        """Thirds of a training example that one evaluation costs, the same for every mask."""
        session = self._session
        return repeats * evaluation_thirds(steps, session.recipe.batch_size, len(session.validation.labels))

    def epochs(self, steps: int, repeats: int = 1) -> float:
        """Epochs of one evaluation."""
        return self.thirds(steps, repeats) / (3 * self._session.meter.train_size)

    def affordable(self, steps: int, repeats: int = 1) -> float:
        """Evaluations that the rest of the budget pays for."""
        unit = self.thirds(steps, repeats)
        return self._session.meter.remaining_thirds // unit if unit else math.inf

    def evaluate(
        self, population: BoolArray, steps: int, score: ScoreName, orders: Orders, repeats: int
    ) -> list[Score]:
        """Score ``(P, U)`` masks of units; see :meth:`ticketsearch.MaskProblem.evaluate`."""
        self._fresh_calls += orders == "fresh"
        drawn = self._fresh_calls if orders == "fresh" else 0
        keys = [(digest(mask), steps, score, drawn, repeats) for mask in population]
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
        rows = sorted(new.values())
        self._count_call(0 if rows else len(keys))
        affordable = int(min(len(rows), self.affordable(steps, repeats)))
        rows, left = rows[:affordable], rows[affordable:]
        while rows:
            together = self._slab() if repeats == 1 else SLAB  # the order of trials is no matter of the engine's width
            chosen, rows = rows[:together], rows[together:]
            masks = population[chosen[0] : chosen[-1] + 1] if _in_a_row(chosen) else population[chosen]
            tries = [
                self._trainings(masks, [keys[row][0] for row in chosen], steps, score, self._order(steps, drawn, index))
                for index in range(repeats)
            ]
            self._remember(masks, [keys[row] for row in chosen], tries)
        if left:
            epochs = self._session.meter.remaining_epochs
            raise BudgetExhausted(f"an evaluation costs {self.epochs(steps, repeats):.4g}ep, {epochs:.4g}ep are left")
        scores = [self._known[key] for key in keys]
        if orders == "fresh":  # nobody can ask for them again
            for key in new:
                del self._known[key]
        return scores

    def _slab(self) -> int:
        """Masks to record together, a multiple of SLAB: all on record or none, whatever engine recorded them."""
        slabs, recorded = max(1, -(-ROUNDS * self._session.engine.width // SLAB)), self._session.replay.recorded
        return SLAB * (min(slabs, -(-recorded // SLAB)) if recorded else slabs)

    def _order(self, steps: int, drawn: int, index: int) -> IntArray:
        """Batches ``(S, B)``: one order for all masks of a run, or one for each call; others for repeats."""
        key = steps, drawn, index
        if key not in self._batches:
            call: list[str | int] = [drawn] if drawn else []
            repeat: list[str | int] = ["repeat", index] if index else []
            rng = stream(self._session.seed, "evaluate", *call, *repeat)
            if drawn:
                self._batches = {known: order for known, order in self._batches.items() if known[1] in (0, drawn)}
            self._batches[key] = batch_indices(
                self._session.meter.train_size, self._session.recipe.batch_size, steps, rng
            )
        return self._batches[key]

    def _trainings(
        self, masks: BoolArray, names: list[str], steps: int, score: ScoreName, order: IntArray
    ) -> list[tuple[Score, Cost]]:
        """Charge, run (or replay) and record one training of each mask: its score, and the run's cost after it."""
        self.looked_on(self._session.replay.length, masks, steps, score, order)
        prices = self._prices(self._session.units.expand(masks), steps)
        questions: list[Question] = [("evaluate", name, steps) for name in names]
        before = self._session.meter.spent
        self._session.meter.charge(sum(prices, Cost()))
        if self._session.replay.replaying:
            reached = accumulate(prices, initial=before)
            next(reached)
            trials = [self._session.replay.next(*pair) for pair in zip(questions, reached, strict=True)]
            return [(Score.of(trial.score, trial.loss, trial.reason), trial.after) for trial in trials]
        scores = self.short_trainings(masks, steps, score, order)
        self._session.meter.lap(strategy=False)  # so that these seconds are these trials' own
        seconds = (self._session.meter.spent - before).seconds().shared(len(prices))
        costs = list(accumulate([before, *(price + seconds for price in prices)]))
        self._session.replay.record(questions, scores, costs)
        return list(zip(scores, costs[1:], strict=True))

    def _remember(self, masks: BoolArray, keys: list[Key], tries: list[list[tuple[Score, Cost]]]) -> None:
        """Scores of masks, the mean of their tries; and the best of them."""
        incumbents = self._session.incumbents
        for row, (mask, key) in enumerate(zip(masks, keys, strict=True)):
            scores = [one[row][0] for one in tries]
            score = self._known[key] = Score.mean(scores)
            best, steps = incumbents[-1] if incumbents else None, key[1]
            if not score.failed and (best is None or (steps, score) > (best.fidelity, best.score)):
                values = tuple(one.value for one in scores)
                incumbents.append(Incumbent(mask.copy(), score, steps, tries[-1][row][1], values))
        self._session.tell()
        self._session.stop_if_asked()

    def looked_on(self, first: int, masks: BoolArray, steps: int, score: ScoreName, order: IntArray) -> None:
        """Called before trainings, the first of which is the trial of number ``first``; for those who look on."""

    def short_trainings(self, masks: BoolArray, steps: int, score: ScoreName, order: IntArray) -> list[Score]:
        """Train ``(P, U)`` masks on batches ``(S, B)`` and score them; neither charged nor recorded."""
        with self._session.meter.engine():
            units, recipe = self._session.units, self._session.recipe.lasting(steps)
            job = Job(
                units.expand(masks),
                self._session.initial,
                recipe,
                order,
                rest_mask=units.rest_mask(masks),
                traced=score.startswith("train-"),
            )
            measures = self._session.engine.evaluate(job, self._session.validation)
        self._session.meter.book_cpu(measures.cpu_s)
        values = values_of(measures, score)
        return [Score.of(*pair) for pair in zip(values.tolist(), measures.loss.tolist(), strict=True)]

    def _count_call(self, known: int) -> None:
        """Count calls that asked only for known masks, and how many; a call with a new one begins anew."""
        self._free_calls, self._free_masks = (self._free_calls + 1, self._free_masks + known) if known else (0, 0)
        if self._free_calls > FREE_CALLS and self._free_masks > FREE_MASKS:
            raise SearchStalled(f"the last {self._free_masks} masks asked for were scored already: nothing new to find")

    def _prices(self, masks: BoolArray, steps: int) -> list[Cost]:
        session = self._session
        return session.pricing.evaluations(masks, steps * session.recipe.batch_size, len(session.validation.labels))


def _in_a_row(rows: list[int]) -> bool:
    """Whether a slice says the same: no mask is copied then."""
    return rows[-1] - rows[0] == len(rows) - 1


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
