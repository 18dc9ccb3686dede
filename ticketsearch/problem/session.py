"""The host's side of a search: engine, account, record, clocks, what was reported, and the wish to stop.

A strategy is handed a :class:`ticketsearch.MaskProblem`, which has its verbs and nothing else; what only the host may
do stands here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ticketsearch.arrays import IntArray
from ticketsearch.cost import Cost, Meter, levels_between
from ticketsearch.engine import Engine
from ticketsearch.errors import StrategyError, TimeLimitReached
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units
from ticketsearch.problem.pricing import Pricing
from ticketsearch.problem.replay import Replay
from ticketsearch.problem.scores import Belief, Incumbent, Score, TrainedRound
from ticketsearch.recipe import Recipe
from ticketsearch.records.ledger import Question
from ticketsearch.records.resume import ResumeStore

if TYPE_CHECKING:
    from ticketsearch.tasks import Split


PATIENCE = 5
"""How often a strategy may catch TimeLimitReached in code of its own and go on."""


def _nobody(*_facts: object) -> None:
    """Nobody watches."""


class Stubborn(BaseException):
    """Raised instead from then on: not an Exception, so that ``except Exception`` in a loop does not catch it."""


@dataclass(eq=False)
class Session:
    """One run's search in this process.

    Attributes:
        engine: computes.
        validation: what scores are measured on.
        labels: of the training examples, ``(N,)``.
        recipe: the task's full training.
        initial: the run's initial weights.
        units: what masks are of.
        seed: the run's.
        sparsity: fraction of the units to prune.
        fidelity: steps of the evaluator's training.
        fidelity_end: steps that it rises to, if it rises.
        meter: the account.
        replay: the record, and the place in it.
        resume: results that the ledger does not hold.
        limit_s: wall seconds the search may take; ``None`` = no limit.
        tell: called after each recorded batch of work.
        tell_round: called with each round that the strategy reports.
        notes: what the strategy reported with ``note``.
        rounds: what it reported with ``record_round``, in order.
        incumbents: the best mask so far, at the highest fidelity used, last; before it, those that were.
        beliefs: what the strategy would have returned at some points, in order.
        interrupted: whether to stop at the next verb, and to record nothing that a resumed run would not repeat.
        late: whether the time is up: likewise.
        busy: whether the host is at work, and not the strategy: its work is not cut off in the middle.
        closed: whether the search has returned, and no work is done any more.
        refused: calls since then.
        handed_out: identities of the weights that trainings gave to the strategy.
    """

    engine: Engine
    validation: Split
    labels: IntArray
    recipe: Recipe
    initial: Weights
    units: Units
    seed: int
    sparsity: float
    fidelity: int
    meter: Meter
    replay: Replay
    fidelity_end: int | None = None
    resume: ResumeStore = field(default_factory=ResumeStore)
    limit_s: float | None = None
    tell: Callable[[], None] = _nobody
    tell_round: Callable[[TrainedRound], None] = _nobody
    notes: dict[str, Any] = field(default_factory=dict, init=False)
    rounds: list[TrainedRound] = field(default_factory=list, init=False)
    incumbents: list[Incumbent] = field(default_factory=list, init=False)
    beliefs: list[Belief] = field(default_factory=list, init=False)
    interrupted: bool = field(default=False, init=False)
    late: bool = field(default=False, init=False)
    busy: bool = field(default=True, init=False)
    closed: bool = field(default=False, init=False)
    refused: int = field(default=0, init=False)
    handed_out: set[str] = field(default_factory=set, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _told: int = field(default=0, init=False)
    _postponed: tuple[Question, Cost, Score | None] | None = field(default=None, init=False)

    @property
    def fidelities(self) -> list[int]:
        """Steps of the evaluator's training, level by level."""
        return levels_between(self.fidelity, self.fidelity_end)

    @cached_property
    def pricing(self) -> Pricing:
        """Prices for this network."""
        return Pricing(self.engine.layout.space, self.engine.layout.fixed_flops)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch of the task's batches."""
        return self.meter.train_size // self.recipe.batch_size

    @contextmanager
    def verb(self) -> Iterator[None]:
        """Around every metered call: time before it was the strategy's own, time in it is not.

        One thread at a time; and none once the search has returned.
        """
        with self._lock, self.undisturbed():
            if self.closed:
                self.refused += 1
                raise StrategyError("the search has returned; nothing more is computed for it")
            self.meter.lap(strategy=True)
            try:
                self.catch_up()
                self.stop_if_asked()
                yield
                self.stop_if_asked()
            finally:
                self.meter.lap(strategy=False)

    def run(self, search: Callable[[], object]) -> object:
        """Run a strategy's search; while its own code is at work it can be stopped, see :meth:`stop_if_hanging`."""
        self.busy = False
        try:
            return search()
        finally:
            self.busy = True

    def record_round(self, one: TrainedRound) -> None:
        """Keep a round that the strategy reports, and tell of it."""
        with self._lock, self.undisturbed():
            self.rounds.append(one)
            self.tell_round(one)

    def interrupt(self) -> None:
        """Let the batch in progress be finished and recorded, then raise KeyboardInterrupt out of the verb."""
        self.interrupted = True

    def end(self, reason: str) -> None:
        """Record that and why the search ended before its budget, so that a resumed run ends there too."""
        self.replay.end(reason, self.meter.spent)

    def close(self) -> None:
        """The search has returned: wait for what another thread has under way, and refuse the rest."""
        with self._lock:
            self.closed = True

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Around work of the host's."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def stop_if_asked(self) -> None:
        """Raise KeyboardInterrupt if that was asked for, or TimeLimitReached if the time is up.

        A replay takes as long as it takes: it has to end where the record does.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        if self.limit_s is None or self.replay.replaying:
            return
        if self.late or self.replay.ended or self.meter.elapsed_s >= self.limit_s:
            self.late = True
            raise TimeLimitReached(f"the search may take {self.limit_s:g} s")

    def stop_if_hanging(self) -> None:
        """Raise TimeLimitReached if the strategy's own code is at work and the time is up; for a signal handler."""
        if self.busy:
            return
        with self.undisturbed():
            self.catch_up()
        self._told += self.late
        if self._told > PATIENCE:
            raise Stubborn
        self.stop_if_asked()

    def postpone(self, question: Question, before: Cost, score: Score | None) -> None:
        """Record a call at the next chance: from a generator that is being closed no error would get out."""
        if not self.closed:
            self._postponed = question, before, score

    def catch_up(self) -> None:
        """Record what was postponed."""
        if self._postponed is not None and not self.interrupted and not self.late and not self.closed:
            postponed, self._postponed = self._postponed, None
            self.record(*postponed)

    def record(self, question: Question, before: Cost, score: Score | None = None) -> None:
        """Record a call whose result is not in the ledger: a replay has it from the resume store, or makes it anew."""
        if self.closed:
            return
        with self.undisturbed():
            if self.replay.replaying:
                self.replay.next(question, self.meter.spent)
            else:
                self.replay.record([question], [score], [before, self.meter.spent])
                self.tell()
