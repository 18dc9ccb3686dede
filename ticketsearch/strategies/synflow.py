"""SynFlow: prune at initialisation, without data, so that no layer collapses.

Source: Tanaka, Kunin, Yamins & Ganguli (arXiv:2006.05467), algorithm 1: R is the network of absolute weights on an
input of ones; scores ``|dR/dw * w|``; after round k of n the density is ``rho ** (k / n)``, one global cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.arrays import ScoreArray
from ticketsearch.masks import ranked_within
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem


@dataclass(frozen=True)
class SynFlow:
    """Iteratively keep the weights that carry the most synaptic flow.

    Attributes:
        rounds: cuts on the way to the density asked for.
    """

    rounds: Annotated[int, Field(ge=1, le=10_000)] = 300

    def trainings(self, problem: KnownProblem) -> float:
        """An example for each round."""
        return self.rounds / (problem.recipe.steps * problem.recipe.batch_size)

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one forward and backward pass of one example in each round."""
        order = synflow_order(problem, self.rounds)
        return Ticket(problem.space.top(order, problem.n_kept), scores=order)


def synflow_order(problem: MaskProblem, rounds: int = 100) -> ScoreArray:
    """SynFlow's order of all units, ``(U,)``, the last to be pruned highest; one example's passes in each round."""
    size = problem.space.size
    mask = np.ones(size, dtype=bool)
    order = np.zeros(size)
    for done in range(1, rounds + 1):
        scores = problem.units.reduce(problem.synaptic_flow(mask))
        left = problem.space.top(np.where(mask, scores, -np.inf), kept_after(problem, done, rounds))
        order = ranked_within(mask & ~left, scores, order)
        mask = left
    return ranked_within(mask, scores, order)


def kept_after(problem: MaskProblem, done: int, rounds: int) -> int:
    """Units left after round ``done``: the density falls by the same factor in each, to the one asked for."""
    density = problem.n_kept / problem.space.size
    return (
        problem.n_kept
        if done == rounds
        else max(problem.n_kept, round(problem.space.size * density ** (done / rounds)))
    )
