from dataclasses import dataclass

from ticketsearch import MaskProblem
from ticketsearch.testing import StrategyContract


@dataclass(frozen=True)
class Mine:
    """A few random masks."""

    def search(self, problem: MaskProblem) -> None:
        """Score eight."""
        problem.evaluate(problem.space.random(problem.n_kept, problem.rng("mine"), 8))


class TestMine(StrategyContract):
    """pytest collects one test for each check."""

    strategy = Mine
