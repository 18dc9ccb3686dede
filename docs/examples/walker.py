from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ticketsearch import AskTellStrategy, MaskProblem, Score


@dataclass
class State:
    """What one search remembers."""

    problem: MaskProblem
    rng: np.random.Generator
    best: tuple[Score, np.ndarray] | None = None


@dataclass(frozen=True)
class Walker(AskTellStrategy[State]):
    """Random masks first, then neighbours of the best."""

    batch: int = 8

    def start(self, problem: MaskProblem) -> State:
        """Called once for each search; what it returns is handed to ask and tell."""
        return State(problem, problem.rng("walker"))

    def ask(self, state: State, n: int) -> np.ndarray:
        """From 1 to n masks, ``(P, D)``."""
        space = state.problem.space
        if state.best is None:
            return space.random(state.problem.n_kept, state.rng, n)
        return np.stack([space.swap(state.best[1], 4, state.rng) for _ in range(n)])

    def tell(self, state: State, masks: np.ndarray, scores: Sequence[Score]) -> None:
        """The scores of the masks just asked for."""
        leader = max(range(len(scores)), key=scores.__getitem__)
        if state.best is None or scores[leader] >= state.best[0]:
            state.best = scores[leader], masks[leader]
