"""One-shot magnitude pruning: train the dense network once, keep the largest weights, reset to the start.

Source: Frankle & Carbin, "The lottery ticket hypothesis" (arXiv:1803.03635), section 2, "one-shot pruning".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ticketsearch.masks.criteria import CriterionScores
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import PruningOptions, best_within


@dataclass(frozen=True)
class Magnitude(PruningOptions):
    """Prune once, by a criterion of the trained weights.

    Attributes:
        criterion: what is kept: ``large_final`` is magnitude; see :mod:`ticketsearch.masks.criteria`.
        l1: coefficient of an L1 term in the loss while searching.
        hoyer: coefficient of DeepHoyer's term.
        mask_1: what kept weights start from; see :mod:`ticketsearch.masks.actions`.
        mask_0: what pruned weights are held at.
        scope: ``global``: one threshold for all layers; ``layer``: the same density in each.
    """

    scope: Literal["global", "layer"] = "global"

    def trainings(self, _problem: KnownProblem) -> float:
        """One."""
        return 1.0

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of the full recipe, or what the budget has of it."""
        criteria = CriterionScores(problem, self.recipe(problem), reserve=0.0)
        scores = criteria(self.criterion)
        mask = best_within(problem, scores, self.scope)
        ticket = self.ticket(problem, mask, problem.initial_weights(), criteria.final)
        return replace(ticket, scores=scores)
