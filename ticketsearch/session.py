"""What the verbs of a problem share: engine, account, journal, clocks, and the wish to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ticketsearch.cost import Cost, Meter
from ticketsearch.engine import Engine
from ticketsearch.journal import Journal
from ticketsearch.ledger import Question
from ticketsearch.pricing import Pricing
from ticketsearch.recipe import Recipe
from ticketsearch.scores import Score
from ticketsearch.tickets import Weights

if TYPE_CHECKING:
    from ticketsearch.tasks import Split


@dataclass(eq=False)
class Session:
    """One run's search in this process.

    Attributes:
        engine: computes.
        meter: the account.
        journal: the record.
        validation: what scores are measured on.
        recipe: the task's full training.
        initial: the run's initial weights.
        seed: the run's.
        tell: called after each recorded batch of work.
        interrupted: whether to stop at the next verb, and to record nothing that a resumed run would not repeat.
    """

    engine: Engine
    meter: Meter
    journal: Journal
    validation: Split
    recipe: Recipe
    initial: Weights
    seed: int
    tell: Callable[[], None]
    interrupted: bool = field(default=False, init=False)
    _postponed: tuple[Question, Cost, Score | None] | None = field(default=None, init=False)

    @cached_property
    def pricing(self) -> Pricing:
        """Prices for this network."""
        return Pricing(self.engine.layout.space)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch of the task's batches."""
        return self.meter.train_size // self.recipe.batch_size

    @contextmanager
    def verb(self) -> Iterator[None]:
        """Around every metered call: time before it was the strategy's own, time in it is not."""
        self.meter.lap(strategy=True)
        try:
            self.catch_up()
            self.stop_if_interrupted()
            yield
            self.stop_if_interrupted()
        finally:
            self.meter.lap(strategy=False)

    def stop_if_interrupted(self) -> None:
        """Raise KeyboardInterrupt if that was asked for."""
        if self.interrupted:
            raise KeyboardInterrupt

    def postpone(self, question: Question, before: Cost, score: Score | None) -> None:
        """Record a call at the next chance: from a generator that is being closed no error would get out."""
        self._postponed = question, before, score

    def catch_up(self) -> None:
        """Record what was postponed."""
        if self._postponed is not None and not self.interrupted:
            postponed, self._postponed = self._postponed, None
            self.record(*postponed)

    def record(self, question: Question, before: Cost, score: Score | None = None) -> None:
        """Record a call that a replay makes anew, because its result is not in the ledger."""
        if self.journal.replaying:
            self.journal.replay(question)
        else:
            self.journal.record([question], [score], [before, self.meter.spent])
            self.tell()
