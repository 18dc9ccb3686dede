"""Who watches a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import TrainedRound
from ticketsearch.records.results import Result
from ticketsearch.runner.forecast import Forecast

Tick: TypeAlias = Callable[[str, float], None]
"""Told what is going on and the fraction done."""


class Progress(Protocol):
    """Watches a run."""

    def begin(self, forecast: Callable[[], Forecast]) -> None:
        """Called before the search; to call ``forecast`` times a few steps of training."""
        ...

    def search(self, problem: MaskProblem) -> None:
        """Called after each recorded batch of trials."""
        ...

    def round(self, problem: MaskProblem, trained: TrainedRound) -> None:
        """Called with each round that an iterative search reports, also in a replay."""
        ...

    def confirm(self, what: str, fraction: float) -> None:
        """Called during confirmation with the network being trained and the fraction done."""
        ...

    def found(self, result: Result) -> None:
        """Called in place of all that when the run is finished already, and its result is shown."""
        ...


class Silent:
    """Progress that nobody watches."""

    def begin(self, forecast: Callable[[], Forecast]) -> None:
        """Does nothing."""

    def search(self, problem: MaskProblem) -> None:
        """Does nothing."""

    def round(self, problem: MaskProblem, trained: TrainedRound) -> None:
        """Does nothing."""

    def confirm(self, what: str, fraction: float) -> None:
        """Does nothing."""

    def found(self, result: Result) -> None:
        """Does nothing."""


def quiet(_what: str, _fraction: float) -> None:
    """A :data:`Tick` that says nothing."""
