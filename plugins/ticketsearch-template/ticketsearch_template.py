"""template: keep the best of a few neighbours, again and again."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ticketsearch import MaskProblem


@dataclass(frozen=True)
class TemplateSearch:
    """Climb from a random mask to better neighbours.

    Attributes:
        batch: neighbours tried at each step; they are trained together.
        move: fraction of the kept weights that a neighbour swaps for pruned ones.
    """

    ticketsearch_api: ClassVar[int] = 1

    batch: Annotated[int, Field(ge=1)] = 8
    move: Annotated[float, Field(gt=0, le=1)] = 0.05

    def search(self, problem: MaskProblem) -> None:
        """Spends evaluations until the budget ends; the host keeps the best mask."""
        rng = problem.rng("template")  # a stream of the run's seed: never use global generators
        best = problem.space.random(problem.n_kept, rng)  # (D,) booleans, exactly n_kept of them true
        [best_score] = problem.evaluate([best])
        swaps = max(1, round(self.move * problem.n_kept))
        while True:  # evaluate raises BudgetExhausted in the end: let it pass
            masks = np.stack([problem.space.swap(best, swaps, rng) for _ in range(self.batch)])  # (P, D)
            scores = problem.evaluate(masks)  # a failed score is lower than any other
            leader = max(range(self.batch), key=scores.__getitem__)
            if scores[leader] >= best_score:
                best, best_score = masks[leader], scores[leader]
