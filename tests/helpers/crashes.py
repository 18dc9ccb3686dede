"""Engines that crash at a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.helpers.runs import Crash
from ticketsearch import MaskProblem


@dataclass
class CrashAt:
    """Ends a run at a moment: the n-th call of either kind."""

    search_calls: int = 10**9
    confirming: str = ""
    seen: int = field(default=0, init=False)

    def search(self, problem: MaskProblem) -> None:
        self.seen += 1
        if self.seen >= self.search_calls:
            raise Crash

    def begin(self, forecast: Any) -> None:
        pass

    def round(self, problem: MaskProblem, trained: Any) -> None:
        pass

    def found(self, result: Any) -> None:
        pass

    def confirm(self, what: str, fraction: float) -> None:
        if what == self.confirming:
            raise Crash
