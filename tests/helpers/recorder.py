"""A callback that keeps what it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ticketsearch import Callback, Result
from ticketsearch.callbacks import Round, Running
from ticketsearch.records.ledger import Trial


@dataclass
class Recorder(Callback):
    """Keeps what it was told, in order; ``also`` is done with it."""

    also: Callable[..., Any] = lambda *_: None
    trials: list[tuple[Trial, Running]] = field(default_factory=list)
    rounds: list[tuple[Round, Running]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    processes: set[int] = field(default_factory=set)

    def on_trial(self, trial: Trial, run: Running) -> None:
        self._seen("trial")
        self.trials.append((trial, run))
        self.also(trial, run)

    def on_round(self, trained: Round, run: Running) -> None:
        self._seen("round")
        self.rounds.append((trained, run))
        self.also(trained, run)

    def on_result(self, result: Result) -> None:
        self._seen("result")
        self.results.append(result)
        self.also(result)

    def close(self) -> None:
        self._seen("close")

    def _seen(self, what: str) -> None:
        self.order.append(what)
        self.processes.add(os.getpid())

    @property
    def by_run(self) -> dict[str, list[Any]]:
        """Trials of each run, as far as they are the same whenever it is made."""
        found: dict[str, list[Any]] = {}
        for trial, run in self.trials:
            found.setdefault(run.name, []).append((trial.number, trial.question, trial.score, run.spent, run.best))
        return found
