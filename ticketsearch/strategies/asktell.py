"""A base class for authors who think in ask and tell.

A subclass of :class:`ticketsearch.strategies.options.EvaluationOptions` as well has its masks scored as they say.
A strategy's settings are a frozen dataclass. What a search remembers is the state that ``start`` returns: a value of
any type, made anew for each search and handed back to ``ask`` and ``tell``. So two searches never share anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import StrategyError
from ticketsearch.problem import MaskProblem, Score
from ticketsearch.strategies.options import EvaluationOptions

State = TypeVar("State")
"""What one search remembers."""


class AskTellStrategy(ABC, Generic[State]):
    """Proposes masks when asked and learns from their scores when told. Subclasses are frozen dataclasses.

    Attributes:
        batch: masks asked for together, and trained together. Make it a field to let users set it.
    """

    batch: int = 8

    @abstractmethod
    def start(self, problem: MaskProblem) -> State:
        """Called once, before the first ``ask``: take the random stream, build what is needed, return it."""

    @abstractmethod
    def ask(self, state: State, n: int) -> BoolArray | Sequence[BoolArray]:
        """At least one and at most ``n`` masks, ``(P, D)``, each with exactly ``problem.n_kept`` kept units."""

    @abstractmethod
    def tell(self, state: State, masks: BoolArray, scores: Sequence[Score]) -> None:
        """The scores of the masks just asked for, in their order; a failed one is lower than any other."""

    def best(self, state: State) -> BoolArray | None:  # noqa: ARG002 - a subclass's
        """What the search would return now, ``(D,)``; ``None``: the best mask evaluated. Asked after each ``tell``."""
        return None

    def search(self, problem: MaskProblem) -> None:
        """Ask, evaluate and tell until the budget ends; the ticket is ``best``, or else the best mask evaluated."""
        state = self.start(problem)
        while True:
            masks = self._asked(state, problem)
            if isinstance(self, EvaluationOptions):
                scores = self.scores(problem, list(masks))
            else:
                scores = problem.evaluate(masks)
            self.tell(state, masks, scores)
            if (belief := self.best(state)) is not None:
                problem.believe(belief)

    def _asked(self, state: State, problem: MaskProblem) -> BoolArray:
        """``(P, D)``: what ``ask`` returned, checked."""
        asked: Any = self.ask(state, self.batch)
        masks = np.array(asked)  # a copy: what is told is what was asked, whatever the author does with his arrays
        where = f"{type(self).__name__}.ask(state, {self.batch})"
        if masks.ndim != 2:
            raise StrategyError(f"{where} must return masks of shape (P, {problem.space.size}), not {masks.shape}")
        if not 1 <= len(masks) <= self.batch:
            raise StrategyError(f"{where} returned {len(masks)} masks; it must return from 1 to {self.batch}")
        return masks
