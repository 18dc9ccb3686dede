"""Early-bird tickets: stop training the dense network once the mask it would give no longer changes.

Source: You et al., "Drawing early-bird tickets" (arXiv:1909.11957), algorithm 1, on weight masks instead of
channels: the mask of the target sparsity is drawn after each epoch, and the search ends when the newest
differs little from each of the four before it. For weight masks the raw Hamming distance of sparse masks is small
even between unrelated ones (2 rho (1 - rho)), so by default it is divided by that expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ticketsearch.criteria import FORMULAS
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import top_n
from ticketsearch.problem import MaskProblem
from ticketsearch.strategies.options import Fraction, PruningOptions
from ticketsearch.strategies.stability import Stability
from ticketsearch.tickets import Ticket


@dataclass(frozen=True)
class EarlyBird(PruningOptions):
    """Draw a mask each epoch of one dense training; stop at the first stable one.

    Attributes:
        criterion: what the mask keeps; see :mod:`ticketsearch.criteria`.
        l1: coefficient of an L1 term in the loss while searching.
        hoyer: coefficient of DeepHoyer's term.
        queue: masks compared: the newest with each of the others.
        threshold: largest distance that counts as unchanged.
        distance: ``normalised`` by the expectation for random masks, or ``raw`` as published.
        every: how often a mask is drawn.
        start: the ticket starts from the ``init`` weights, or goes on from the ``draw``.
    """

    queue: Annotated[int, Field(ge=2)] = 5
    threshold: Fraction = 0.1
    distance: Literal["normalised", "raw"] = "normalised"
    every: int | str = "1ep"
    start: Literal["init", "draw"] = "init"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.criterion not in FORMULAS:
            raise InvalidValue(f"early-bird needs a criterion of the weights as they train, not {self.criterion!r}")

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends at most one dense training; if the mask never settles, the last one is the ticket."""
        initial = problem.initial_weights().vector
        stability = Stability(self.queue, self.threshold, self.distance == "normalised")
        recipe = self.recipe(problem).lasting(problem.steps_for(1))
        ticket = None
        for snapshot in problem.train(recipe=recipe, every=self.every):
            newest = top_n(FORMULAS[self.criterion](initial, snapshot.weights.vector), problem.n_kept)
            going_on = self.start == "draw"
            ticket = Ticket(newest, snapshot.weights if going_on else None, snapshot.step if going_on else 0)
            if stability.settled(newest):
                break
        assert ticket is not None  # a training takes at least one step, and its last step gives a snapshot
        return ticket
