"""A base class for authors who think in ask and tell.

The settings of a strategy are a frozen dataclass and stay so: each search works on a copy of its own, on which
``start``, ``ask`` and ``tell`` may assign whatever they like. So two searches never share a state, however it is kept.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import StrategyError
from ticketsearch.problem import MaskProblem
from ticketsearch.scores import Score


class AskTellStrategy(ABC):
    """Proposes masks when asked and learns from their scores when told. Subclasses are frozen dataclasses.

    Attributes:
        batch: masks asked for together, and trained together. Make it a field to let users set it.
    """

    batch: int = 8

    def start(self, problem: MaskProblem) -> None:  # noqa: B027 - not everyone needs it
        """Called once, before the first ``ask``: take the random stream, build what is needed. ``self`` is a copy."""

    @abstractmethod
    def ask(self, n: int) -> BoolArray | Sequence[BoolArray]:
        """At least one and at most ``n`` masks, ``(P, D)``, each with exactly ``problem.n_kept`` kept weights."""

    @abstractmethod
    def tell(self, masks: BoolArray, scores: Sequence[Score]) -> None:
        """The scores of the masks just asked for, in their order; a failed one is lower than any other."""

    def search(self, problem: MaskProblem) -> None:
        """Ask, evaluate and tell until the budget ends; the host keeps the best mask."""
        searcher = self._working_copy()
        searcher.start(problem)
        while True:
            masks = searcher._asked(problem)
            searcher.tell(masks, problem.evaluate(masks))

    def _working_copy(self) -> Self:
        """A copy that may be assigned to, although its class is frozen."""
        cls = type(self)
        searcher: Self = object.__new__(type(cls.__name__, (cls,), {"__setattr__": object.__setattr__}))
        searcher.__dict__.update(copy.deepcopy(self.__dict__))
        return searcher

    def _asked(self, problem: MaskProblem) -> BoolArray:
        """``(P, D)``: what ``ask`` returned, checked."""
        asked: Any = self.ask(self.batch)
        masks = np.array(asked)  # a copy: what is told is what was asked, whatever the author does with his arrays
        where = f"{type(self).__name__}.ask({self.batch})"
        if masks.ndim != 2:
            raise StrategyError(f"{where} must return masks of shape (P, {problem.space.size}), not {masks.shape}")
        if not 1 <= len(masks) <= self.batch:
            raise StrategyError(f"{where} returned {len(masks)} masks; it must return from 1 to {self.batch}")
        return masks
