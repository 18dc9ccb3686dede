"""A hybrid: an evolution strategy learns the mask while SGD trains the one set of weights that all masks share.

After Lenc, Elsen, Schaul & Simonyan (arXiv:1906.03139): what cannot be differentiated, there the mask of a sparse
network, is learnt by an evolution strategy, and the weights by SGD on the masks that it draws, all in one training.
Here a mask is drawn with its exact count (Gumbel top-n, as in ``eda``); of each generation every mask trains for some
steps from the shared weights, and its training loss is its score. The logits follow the policy gradient of the score,
and each shared weight becomes the mean of what the masks that keep it made of it. The ticket keeps the highest logits,
and starts from the initial weights.

Beside the paper: candidates go some steps, not one, and moments begin anew in each generation. The recipe's schedule is
stretched over the generations, and ``length`` recipes are what all candidates' steps cost together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.eda import gumbel, in_order, score_function, standardised
from ticketsearch.strategies.options import Rate


@dataclass(frozen=True)
class EvolutionHybrid:
    """Learn a mask by evolution, and the weights that its candidates share by SGD; both once.

    Attributes:
        population: masks of a generation.
        steps: that each of them trains for; fewer, if the budget does not pay for a generation of so many.
        rate: of the logits, for a unit whose kept masks score a standard deviation higher.
        length: of the search, in full recipes: the steps of all candidates together.
        start: the ticket starts from the ``init`` weights, or from the shared ones, as the ``draw`` left them.
    """

    population: Annotated[int, Field(ge=2, le=1000)] = 8
    steps: Annotated[int, Field(ge=1)] = 5
    rate: Rate = 1.0
    length: Annotated[float, Field(gt=0, le=1000)] = 4.0
    start: Literal["init", "draw"] = "init"

    def trainings(self, _problem: KnownProblem) -> float:
        """``length``."""
        return self.length

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends ``length`` trainings of a sparse network."""
        total = problem.steps_for(1, length=self.length)
        steps = min(self.steps, total // self.population)
        if steps < 1:
            raise InvalidValue(
                f"a generation of {self.population} masks takes as many steps at least, {total} are affordable; give a "
                "larger --budget, or a smaller population"
            )
        space, units, rng = problem.space, problem.units, problem.rng("hybrid")
        logits, shared = np.zeros(space.size), problem.initial_weights()
        generations = total // (self.population * steps)
        recipe = problem.recipe.lasting(generations * steps)
        for number in range(generations):
            first = number * steps
            keys = [(logits + gumbel(space.size, rng)).astype(np.float32) for _ in range(self.population)]
            masks = np.stack([space.top(one, problem.n_kept) for one in keys])
            vectors, rests, losses = [], [], []
            for mask in masks:
                [snapshot] = problem.train(mask, start=shared, recipe=recipe, first_step=first, at=(first + steps,))
                vectors.append(snapshot.weights.vector)
                rests.append(snapshot.weights.rest)
                losses.append(snapshot.train_loss)
            gradient = np.zeros(space.size)
            for advantage, one, mask in zip(standardised(-np.array(losses)), keys, masks, strict=True):
                gradient += advantage * score_function(logits, in_order(one, mask))
            logits = logits + self.rate / self.population**0.5 * gradient
            shared = Weights(
                mean_of_keepers(np.stack(vectors), units.expand(masks), shared.vector), np.mean(rests, 0, np.float32)
            )
        ticket = Ticket(space.top(logits, problem.n_kept), scores=logits)
        problem.note(generations=generations)
        if self.start == "draw":
            return replace(ticket, weights=shared, step=min(recipe.steps, problem.recipe.steps))
        return ticket


def mean_of_keepers(vectors: FloatArray, masks: BoolArray, before: FloatArray) -> FloatArray:
    """Each weight's mean over the networks that keep it, ``(D,)``; as before, if none does.

    Args:
        vectors: ``(P, D)``.
        masks: ``(P, D)``.
        before: ``(D,)``.
    """
    keepers = masks.sum(0)
    sums = np.where(masks, vectors, 0).sum(0, dtype=np.float64)
    means: FloatArray = np.where(keepers > 0, sums / np.maximum(keepers, 1), before).astype(np.float32)
    return means
