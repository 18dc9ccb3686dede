"""The shared evaluator: short trainings of many masks, charged, run or replayed, recorded, remembered."""

from __future__ import annotations

import math
from itertools import accumulate

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.cost import Cost
from ticketsearch.engine import Job, batch_indices
from ticketsearch.errors import BudgetExhausted, SearchStalled
from ticketsearch.masks import digest
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.problem.scores import Incumbent, Score
from ticketsearch.problem.session import Session
from ticketsearch.records.ledger import Question
from ticketsearch.seeds import stream

SLAB, ROUNDS = 64, 4
"""Masks recorded together, which is what a killed run may lose; a wide engine gets as many times that as give each of
its networks four masks in turn."""
FREE_CALLS, FREE_MASKS = 20, 1000
"""Calls in a row, and masks in them, that may be answered from memory before the search counts as stalled."""


class Evaluator:
    """Scores masks on the same batches from the same start; a known mask is answered from memory, free."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[str, int], Score] = {}
        self._batches: dict[int, IntArray] = {}
        self._free_calls = self._free_masks = 0

    def thirds(self, steps: int) -> int:
        """Thirds of a training example that one evaluation costs, the same for every mask."""
        return evaluation_thirds(steps, self._session.recipe.batch_size, len(self._session.validation.labels))

    def epochs(self, steps: int) -> float:
        """Epochs of one evaluation."""
        return self.thirds(steps) / (3 * self._session.meter.train_size)

    def affordable(self, steps: int) -> float:
        """Evaluations that the rest of the budget pays for."""
        unit = self.thirds(steps)
        return self._session.meter.remaining_thirds // unit if unit else math.inf

    def evaluate(self, population: BoolArray, steps: int) -> list[Score]:
        """Score ``(P, U)`` masks of units; see :meth:`ticketsearch.MaskProblem.evaluate`."""
        keys = [(digest(mask), steps) for mask in population]
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
        rows = sorted(new.values())
        self._count_call(0 if rows else len(keys))
        affordable = int(min(len(rows), self.affordable(steps)))
        rows, left = rows[:affordable], rows[affordable:]
        while rows:
            chosen, rows = rows[: self._slab()], rows[self._slab() :]
            masks = population[chosen[0] : chosen[-1] + 1] if _in_a_row(chosen) else population[chosen]
            self._evaluate_slab(masks, [keys[row] for row in chosen], steps)
        if left:
            epochs = self._session.meter.remaining_epochs
            raise BudgetExhausted(f"an evaluation costs {self.epochs(steps):.4g}ep, {epochs:.4g}ep are left")
        return [self._known[key] for key in keys]

    def _slab(self) -> int:
        """Masks to record together, a multiple of SLAB: all on record or none, whatever engine recorded them."""
        slabs, recorded = max(1, -(-ROUNDS * self._session.engine.width // SLAB)), self._session.replay.recorded
        return SLAB * (min(slabs, -(-recorded // SLAB)) if recorded else slabs)

    def _evaluate_slab(self, masks: BoolArray, keys: list[tuple[str, int]], steps: int) -> None:
        """Charge, run (or replay) and record masks none of which is known."""
        prices = self._prices(self._session.units.expand(masks), steps)
        questions: list[Question] = [("evaluate", *key) for key in keys]
        before = self._session.meter.spent
        self._session.meter.charge(sum(prices, Cost()))
        if self._session.replay.replaying:
            reached = accumulate(prices, initial=before)
            next(reached)
            trials = [self._session.replay.next(*pair) for pair in zip(questions, reached, strict=True)]
            scores = [Score.of(trial.score, trial.loss, trial.reason) for trial in trials]
            costs = [before, *(trial.after for trial in trials)]
        else:
            scores = self._short_trainings(masks, steps)
            self._session.meter.lap(strategy=False)  # so that these seconds are these trials' own
            seconds = (self._session.meter.spent - before).seconds().shared(len(prices))
            costs = list(accumulate([before, *(price + seconds for price in prices)]))
            self._session.replay.record(questions, scores, costs)
        incumbents = self._session.incumbents
        for mask, key, score, cost in zip(masks, keys, scores, costs[1:], strict=True):
            self._known[key] = score
            best = incumbents[-1] if incumbents else None
            if not score.failed and (best is None or (steps, score) > (best.fidelity, best.score)):
                incumbents.append(Incumbent(mask.copy(), score, steps, cost))
        self._session.tell()
        self._session.stop_if_asked()

    def _short_trainings(self, masks: BoolArray, steps: int) -> list[Score]:
        if steps not in self._batches:  # drawn once per fidelity: the same batches for every mask of the run
            rng = stream(self._session.seed, "evaluate")
            self._batches[steps] = batch_indices(
                self._session.meter.train_size, self._session.recipe.batch_size, steps, rng
            )
        with self._session.meter.engine():
            units, recipe = self._session.units, self._session.recipe.lasting(steps)
            job = Job(
                units.expand(masks),
                self._session.initial,
                recipe,
                self._batches[steps],
                rest_mask=units.rest_mask(masks),
            )
            measures = self._session.engine.evaluate(job, self._session.validation)
        self._session.meter.book_cpu(measures.cpu_s)
        return [Score.of(a, b) for a, b in zip(measures.accuracy.tolist(), measures.loss.tolist(), strict=True)]

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
