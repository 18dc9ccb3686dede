from dataclasses import dataclass

import numpy as np

from ticketsearch import MaskProblem


@dataclass(frozen=True)
class Climber:
    """Keep the best of a few neighbours, again and again.

    Attributes:
        neighbours: masks tried at each step.
        move: fraction of the kept weights that a neighbour swaps.
    """

    neighbours: int = 16
    move: float = 0.05

    def search(self, problem: MaskProblem) -> None:
        """Spend the budget; the host keeps the best mask."""
        space, n_kept = problem.space, problem.n_kept
        rng = problem.rng("climber")  # a named stream of the run's seed; never use global generators
        best = space.random(n_kept, rng)  # (D,) booleans, exactly n_kept of them true
        [score] = problem.evaluate([best])
        swaps = max(1, round(self.move * n_kept))
        while True:  # evaluate raises BudgetExhausted in the end: let it pass
            masks = np.stack([space.swap(best, swaps, rng) for _ in range(self.neighbours)])  # (P, D)
            scores = problem.evaluate(masks)  # one batch of short trainings
            if max(scores) >= score:
                score, best = max(scores), masks[scores.index(max(scores))]
