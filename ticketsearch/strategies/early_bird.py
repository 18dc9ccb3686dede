"""Early-bird tickets: stop training the dense network once the mask it would give no longer changes.

Source: You et al., "Drawing early-bird tickets" (arXiv:1909.11957), algorithm 1, on weight masks instead of
channels: the mask of the target sparsity is drawn after each epoch, and the search ends when the newest
differs little from each of the four before it. For weight masks the raw Hamming distance of sparse masks is small
even between unrelated ones (2 rho (1 - rho)), so by default it is divided by that expectation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from ticketsearch.criteria import FORMULAS
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import top_n
from ticketsearch.problem import MaskProblem
from ticketsearch.strategies.options import Fraction, PruningOptions
from ticketsearch.strategies.stability import Stability
from ticketsearch.tickets import Ticket

DRAWS = 50
"""Masks drawn in a whole training, unless ``every`` says otherwise."""


@dataclass(frozen=True)
class EarlyBird(PruningOptions):
    """Draw a mask each epoch of one dense training; stop at the first stable one.

    Attributes:
        criterion: what the mask keeps; see :mod:`ticketsearch.criteria`.
        l1: coefficient of an L1 term in the loss while searching.
        hoyer: coefficient of DeepHoyer's term.
        queue: masks compared: the newest with each of the others.
        threshold: largest distance that counts as unchanged; default 0.1 ``raw``, as published, 0.2 ``normalised``.
        distance: ``normalised`` by the expectation for random masks, or ``raw`` as published.
        every: how often a mask is drawn; default 50 times in the training (the paper: each of its 160 epochs).
        start: the ticket starts from the ``init`` weights, or goes on from the ``draw``.
        mask_1: what kept weights start from; see :mod:`ticketsearch.actions`.
        mask_0: what pruned weights are held at.
    """

    queue: Annotated[int, Field(ge=2)] = 5
    threshold: Fraction | None = None
    distance: Literal["normalised", "raw"] = "normalised"
    every: int | str | None = None
    start: Literal["init", "draw"] = "init"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.criterion not in FORMULAS:
            raise InvalidValue(f"early-bird needs a criterion of the weights as they train, not {self.criterion!r}")
        if self.start == "draw" and (self.mask_1, self.mask_0) != ("rewind", "zero"):
            raise InvalidValue("start=draw goes on from trained weights; mask_1 and mask_0 act on initial ones")

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends at most one dense training; if the mask never settles, the last one is the ticket."""
        initial, last, settled = problem.initial_weights(), None, False
        stability = Stability(self.queue, self.threshold, self.distance == "normalised")
        recipe = self.recipe(problem).lasting(problem.steps_for(1))
        every = max(1, recipe.steps // DRAWS) if self.every is None else self.every
        for snapshot in problem.train(recipe=recipe, every=every):
            last = snapshot
            scores = FORMULAS[self.criterion](initial.vector, snapshot.weights.vector)
            newest = top_n(scores, problem.n_kept)
            if settled := stability.settled(newest):
                break
        assert last is not None  # a training takes at least one step, and its last step gives a snapshot
        problem.note(
            settled=settled,
            draw_epoch=last.step / problem.steps_per_epoch,
            full_epochs=recipe.steps / problem.steps_per_epoch,
            saved_epochs=(recipe.steps - last.step) / problem.steps_per_epoch,
            distances=[round(distance, 4) for distance in stability.trace[1:]],
        )
        if self.start == "draw":
            return Ticket(newest, last.weights, last.step, scores=scores)
        return replace(self.ticket(problem, newest, initial, last.weights.vector), scores=scores)
