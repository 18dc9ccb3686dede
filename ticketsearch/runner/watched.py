"""A run's progress, told to callbacks: trials as they are recorded, rounds as they end.

The ledger says what is new: trials that were on record when this session began were told in the session before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ticketsearch.callbacks.audience import Audience
from ticketsearch.callbacks.base import Round, Running
from ticketsearch.masks import digest
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import TrainedRound
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.results import Result
from ticketsearch.records.spec import Spec
from ticketsearch.runner.forecast import Forecast
from ticketsearch.runner.progress import Progress


def watched(progress: Progress, audience: Audience, spec: Spec, ledger: Ledger) -> Progress:
    """Progress of a run that its audience is told of, if there is one."""
    if not audience:
        return progress
    about = spec.strategy, spec.parameters, spec.task, spec.sparsity, spec.seed, spec.budget
    return Watched(progress, audience, Running(spec.folder_name, *about), ledger)


@dataclass(eq=False)
class Watched:
    """A :class:`Progress` that tells an audience as well.

    Attributes:
        inner: whoever watches beside it.
        audience: is told.
        run: as it is before its first trial.
        ledger: the run's.
    """

    inner: Progress
    audience: Audience
    run: Running
    ledger: Ledger
    _before: int = field(init=False)
    _told: int = field(init=False)
    _rounds: int = field(default=0, init=False)
    _incumbents: list[tuple[int, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._before = self._told = len(self.ledger)

    def begin(self, forecast: Callable[[], Forecast]) -> None:
        """Tells nobody but the other one."""
        self.inner.begin(forecast)

    def search(self, problem: MaskProblem) -> None:
        """Tells of new trials, whatever the other one does then."""
        new = [self.ledger[number] for number in range(self._told, len(self.ledger))]
        self._told = len(self.ledger)
        for trial in new:
            spent = trial.after
            run = replace(self.run, spent=spent.epochs(problem.train_size), best=self._best(problem, spent.thirds))
            self.audience.tell("on_trial", trial, run)
        self.inner.search(problem)

    def round(self, problem: MaskProblem, trained: TrainedRound) -> None:
        """Tells of a round whose training was not on record before."""
        number, self._rounds = self._rounds, self._rounds + 1
        recorded = problem.trials  # its training is on record now
        if not self._before or recorded > self._before:
            self._tell_round(problem, number, trained)
        self.inner.round(problem, trained)

    def _tell_round(self, problem: MaskProblem, number: int, trained: TrainedRound) -> None:
        kept = int(np.count_nonzero(trained.mask))
        told = Round(
            number,
            1 - kept / problem.space.size,
            trained.step,
            trained.train_loss,
            digest(problem.units.expand(trained.mask)),
        )
        spent = problem.spent
        run = replace(self.run, spent=spent.epochs(problem.train_size), best=self._best(problem, spent.thirds))
        self.audience.tell("on_round", told, run)

    def confirm(self, what: str, fraction: float) -> None:
        """Hands it on."""
        self.inner.confirm(what, fraction)

    def found(self, result: Result) -> None:
        """Hands it on."""
        self.inner.found(result)

    def _best(self, problem: MaskProblem, thirds: int) -> float | None:
        """Score of the incumbent when so many thirds of an example were spent."""
        last = problem.incumbent
        if last is not None and (not self._incumbents or self._incumbents[-1][0] != last.cost.thirds):
            self._incumbents = [(one.cost.thirds, one.score.value) for one in problem.incumbents]
        place = bisect_right([reached for reached, _ in self._incumbents], thirds)
        return self._incumbents[place - 1][1] if place else None
