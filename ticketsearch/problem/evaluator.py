"""The shared evaluator: short trainings of many masks, charged, run or replayed, recorded, remembered."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TypeAlias

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.cost import Cost
from ticketsearch.errors import BudgetExhausted, SearchStalled
from ticketsearch.masks import digest
from ticketsearch.problem.inheritance import Network, Order
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.problem.scores import BASIN, Incumbent, Orders, Origin, Score, ScoreName
from ticketsearch.problem.session import Session
from ticketsearch.problem.short import ShortTrainer, ShortTrainings
from ticketsearch.records.ledger import Question

SLAB, ROUNDS = 64, 4
"""Masks recorded together, which is what a killed run may lose; a wide engine gets as many times that as give each of
its networks four masks in turn."""
Key: TypeAlias = tuple[str, int, ScoreName, int, int]
"""What a score is of: mask, steps, what is scored, the call if its scores are its own (else 0), repeats."""
FREE_CALLS, FREE_MASKS = 20, 1000
"""Calls in a row, and masks in them, that may be answered from memory before the search counts as stalled."""


class Evaluator:
    """Scores masks from the same start, by default on the same batches; a known mask is then answered from memory."""

    def __init__(self, session: Session) -> None:
        self.goal: FloatArray | None = None
        """How a dense training moved the weights, ``(D,)``, once the basin score was asked for."""
        self._session = session
        self._known: dict[Key, Score] = {}
        self._short = ShortTrainer(session)
        self._free_calls = self._free_masks = self._own_calls = 0

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
        self, population: BoolArray, steps: int, score: ScoreName, orders: Orders, repeats: int, weights: Origin
    ) -> list[Score]:
        """Score ``(P, U)`` masks of units; see :meth:`ticketsearch.MaskProblem.evaluate`."""
        own = orders == "fresh" or weights == "inherited"
        self._own_calls += own
        call = self._own_calls if own else 0
        tried = [Order(steps, call if orders == "fresh" else 0, index) for index in range(repeats)]
        keys = [(digest(mask), steps, score, call, repeats) for mask in population]
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
        rows = sorted(new.values())
        self.count_call(0 if rows else len(keys))
        affordable = int(min(len(rows), self.affordable(steps, repeats)))
        rows, left = rows[:affordable], rows[affordable:]
        networks = self._heirs(population, rows, tried) if weights == "inherited" else {}
        while rows:
            together = self._slab() if repeats == 1 else SLAB  # the order of trials is no matter of the engine's width
            chosen, rows = rows[:together], rows[together:]
            masks = population[chosen[0] : chosen[-1] + 1] if _in_a_row(chosen) else population[chosen]
            names = [keys[row][0] for row in chosen]
            tries = [
                self._trainings(
                    ShortTrainings(
                        masks,
                        score,
                        order,
                        tuple(networks[row, order] for row in chosen) if networks else None,
                        self.goal if score == BASIN else None,
                    ),
                    names,
                )
                for order in tried
            ]
            self._remember(masks, [keys[row] for row in chosen], tries)
        self._short.descent.add(network for (_, order), network in networks.items() if order == tried[0])
        if left:
            epochs = self._session.meter.remaining_epochs
            raise BudgetExhausted(f"an evaluation costs {self.epochs(steps, repeats):.4g}ep, {epochs:.4g}ep are left")
        scores = [self._known[key] for key in keys]
        if own:  # nobody can ask for them again
            for key in new:
                del self._known[key]
        return scores

    def _slab(self) -> int:
        """Masks to record together, a multiple of SLAB: all on record or none, whatever engine recorded them."""
        slabs, recorded = max(1, -(-ROUNDS * self._session.engine.width // SLAB)), self._session.replay.recorded
        return SLAB * (min(slabs, -(-recorded // SLAB)) if recorded else slabs)

    def _heirs(self, population: BoolArray, rows: list[int], tried: list[Order]) -> dict[tuple[int, Order], Network]:
        """What the trainings of some of the masks will leave, each with its parent: none of this call."""
        parents = self._short.descent.parents_of(population[rows]) if rows else []
        return {
            (row, order): Network.untrained(population[row], order, parent)
            for row, parent in zip(rows, parents, strict=True)
            for order in tried
        }

    def _trainings(self, trainings: ShortTrainings, names: list[str]) -> list[tuple[Score, Cost]]:
        """Charge, run (or replay) and record one training of each mask: its score, and the run's cost after it."""
        self.looked_on(self._session.replay.length, trainings)
        steps = trainings.order.steps
        prices = self._prices(self._session.units.expand(trainings.masks), steps)
        questions: list[Question] = [("evaluate", name, steps) for name in names]
        before = self._session.meter.spent
        self._session.meter.charge(sum(prices, Cost()))
        if self._session.replay.replaying:
            reached = accumulate(prices, initial=before)
            next(reached)
            trials = [self._session.replay.next(*pair) for pair in zip(questions, reached, strict=True)]
            return [(Score.of(trial.score, trial.loss, trial.reason), trial.after) for trial in trials]
        scores = self._short.scores(trainings)
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

    def looked_on(self, first: int, trainings: ShortTrainings) -> None:
        """Called before trainings, the first of which is the trial of number ``first``; for those who look on."""

    def count_call(self, known: int) -> None:
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
