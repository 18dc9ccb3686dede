"""Early-bird tickets: stop training the dense network once the mask it would give no longer changes.

Source: You et al., "Drawing early-bird tickets" (arXiv:1909.11957), algorithm 1: the mask of the target sparsity is
drawn after each epoch, and the search ends when the newest differs little from each of the four before it.

Under ``--granularity channel`` this is the published method: |gamma| of the batch normalisations as the channels'
scores, one global threshold, a sub-gradient ``1e-4 * sign(gamma)`` on them while searching, distances as fractions of
all channels, training at low precision on demand. For weight masks the raw Hamming distance of sparse masks is small
even between unrelated ones (2 rho (1 - rho)), so by default it is divided by that expectation there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from ticketsearch.errors import InvalidValue
from ticketsearch.masks.criteria import OF_TRAINED, trained_scores
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Fraction, PruningOptions, best_within
from ticketsearch.strategies.stability import Stability

DRAWS = 50
"""Masks drawn in a whole training, unless ``every`` says otherwise."""
SCALE_L1 = 1e-4
"""The published coefficient of |gamma|."""


@dataclass(frozen=True)
class EarlyBird(PruningOptions):
    """Draw a mask each epoch of one dense training; stop at the first stable one.

    Attributes:
        criterion: what the mask keeps, see :mod:`ticketsearch.masks.criteria`; default ``bn_scale`` for channels, as
            published, and ``large_final`` for weights.
        l1: coefficient of an L1 term in the loss while searching.
        hoyer: coefficient of DeepHoyer's term.
        queue: masks compared: the newest with each of the others.
        threshold: largest distance that counts as unchanged; default 0.1 ``raw``, as published, 0.2 ``normalised``.
        distance: ``normalised`` by the expectation for random masks, or ``raw`` as published; default ``raw`` for
            channels, ``normalised`` for weights.
        every: how often a mask is drawn; default 50 times in the training, for channels each epoch, as published, and
            ten times at least (scales all start at one: masks of the first steps agree without meaning anything).
        scope: ``global``: one threshold for all layers, as published; ``layer``: the same density in each, for criteria
            whose scores differ in size from layer to layer, as those of weights do.
        start: the ticket starts from the ``init`` weights, or goes on from the ``draw``.
        mask_1: what kept weights start from; see :mod:`ticketsearch.masks.actions`.
        mask_0: what pruned weights are held at.
        scale_l1: coefficient of the batch normalisations' |gamma| in the loss while searching; default 1e-4, as
            published, if they are the criterion.
        precision: simulate training at so many bits while searching, weights and activations (the paper: 8).
    """

    criterion: str | None = None  # type: ignore[assignment]  # its default depends on the units
    queue: Annotated[int, Field(ge=2)] = 5
    threshold: Fraction | None = None
    distance: Literal["normalised", "raw"] | None = None
    every: int | str | None = None
    scope: Literal["global", "layer"] = "global"
    start: Literal["init", "draw"] = "init"
    scale_l1: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    precision: Annotated[int, Field(ge=2, le=16)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.criterion is not None and self.criterion not in OF_TRAINED:
            raise InvalidValue(f"early-bird needs a criterion of the weights as they train, not {self.criterion!r}")
        if self.start == "draw" and (self.mask_1, self.mask_0) != ("rewind", "zero"):
            raise InvalidValue("start=draw goes on from trained weights; mask_1 and mask_0 act on initial ones")

    def trainings(self, _problem: KnownProblem) -> float:
        """One."""
        return 1.0

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends at most one dense training; if the mask never settles, the last one is the ticket."""
        initial, last, settled = problem.initial_weights(), None, False
        published = problem.units.granularity == "channel"
        criterion = self.criterion or ("bn_scale" if published else "large_final")
        trained_scores(criterion, problem.units, initial, initial)  # refuse what has no such score, before paying
        distance = self.distance or ("raw" if published else "normalised")
        stability = Stability(self.queue, self.threshold, distance == "normalised")
        scale_l1 = (SCALE_L1 if criterion == "bn_scale" else 0.0) if self.scale_l1 is None else self.scale_l1
        recipe = replace(self.recipe(problem), scale_l1=scale_l1, precision=self.precision)
        recipe = recipe.lasting(problem.steps_for(1))
        often = min(problem.steps_per_epoch, recipe.steps // 10) if published else recipe.steps // DRAWS
        every = max(1, often) if self.every is None else self.every
        for snapshot in problem.train(recipe=recipe, every=every):
            last = snapshot
            scores = trained_scores(criterion, problem.units, initial, snapshot.weights)
            newest = best_within(problem, scores, self.scope)
            if settled := stability.settled(newest):
                break
        assert last is not None  # a training takes at least one step, and its last step gives a snapshot
        problem.note(
            settled=settled,
            draw_epoch=last.step / problem.steps_per_epoch,
            full_epochs=recipe.steps / problem.steps_per_epoch,
            saved_epochs=(recipe.steps - last.step) / problem.steps_per_epoch,
            criterion=criterion,
            distance=distance,
            distances=[round(distance, 4) for distance in stability.trace[1:]],
        )
        if self.start == "draw":
            return Ticket(newest, last.weights, last.step, scores=scores)
        return replace(self.ticket(problem, newest, initial, last.weights.vector), scores=scores)
