"""Runs on the tiny task: made, crashed in the middle, and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ticketsearch
from tests.helpers import tiny
from ticketsearch import MaskProblem, Result, Task, Ticket
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import Ledger, Trial

BUDGET = "12ep"


def run(out: Path, strategy: Any = "random", task: Task | None = None, **arguments: Any) -> Result:
    arguments = {"budget": BUDGET, "orders": 2, **arguments}
    return ticketsearch.run(strategy, task or tiny.make_task(), out=out, **arguments)


def trials_of(folder: str | Path) -> list[Trial]:
    with Ledger(Path(folder) / LEDGER) as ledger:
        return list(ledger)


def folder_of(out: Path) -> Path:
    """The one run in a folder."""
    [folder] = [path for path in out.iterdir() if path.is_dir()]
    return folder


def outcome(result: Result) -> tuple[object, ...]:
    """What the same spec and seed must give again."""
    trials = [(t.question, t.state, t.score, t.loss, t.before.thirds, t.after.thirds) for t in trials_of(result.run)]
    clocks = {"wall_s", "cpu_s", "engine_s", "strategy_s"}
    confirmation = result.confirmation.model_dump(exclude={"cost": clocks})
    return trials, result.mask_digest, confirmation, result.cost.model_dump(exclude=clocks), result.layers


@dataclass
class Breaking:
    """Progress that raises, or does something else, once ``after`` trials are recorded."""

    after: int
    action: Callable[[], None]

    def search(self, problem: MaskProblem) -> None:
        if problem.trials >= self.after:
            self.action()

    def begin(self, forecast: Any) -> None:
        pass

    def round(self, problem: MaskProblem, trained: Any) -> None:
        pass

    def found(self, result: Any) -> None:
        self.finished = result

    def confirm(self, what: str, fraction: float) -> None:
        if self.after < 0 and fraction > 0.5:
            self.action()


class Crash(BaseException):
    """Something no one foresaw."""


def crash() -> None:
    raise Crash("the lights went out")


@dataclass(frozen=True)
class First:
    """One random mask, unscored."""

    extra: int = 0

    def search(self, problem: MaskProblem) -> Ticket:
        return Ticket(problem.space.random(problem.n_kept + self.extra, problem.rng("first")))
