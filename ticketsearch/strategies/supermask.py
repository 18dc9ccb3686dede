"""Supermasks: leave the weights as they are and train the probability of keeping each.

Source: Zhou et al., "Deconstructing lottery tickets" (arXiv:1905.01067), section 5: ``w' = w * b``, b Bernoulli with
probability ``sigmoid(s)``, gradients straight through; weights frozen at signed constants, ``sign(w_i)`` times the
layer's standard deviation; dynamic weight rescaling multiplies a layer by ``N / sum(b)``. Published supermasks end at
the sparsity they like; here a penalty pulls each layer's expected density to its share of the one asked for, and the
ticket keeps exactly its number, in each layer those most likely kept. A mask drawn from undecided probabilities is not
that ticket, so, unlike in the paper, the logits are multiplied by a steepness that grows geometrically while training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ticketsearch.arrays import FloatArray, IntArray
from ticketsearch.engine.gates import GATES, Drawn, Pull
from ticketsearch.engine.relaxation import Relaxation, Trainable, relaxed_by
from ticketsearch.masks import MaskSpace, top_per_layer
from ticketsearch.masks.actions import signed_constants
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Rate, Steepness, Strength


@dataclass(frozen=True)
class Supermask:
    """Train keep-probabilities; the weights never change.

    Attributes:
        densities: which share of the kept weights each layer has: ``uniform``, ``erk`` or ``smart-ratio``.
        weights: frozen at ``signed-constant`` or at their ``init`` values.
        rescale: dynamic weight rescaling while searching; made for supermasks that keep about half of the weights, at
            a tenth it multiplies them by ten and the search collapses.
        learning_rate: of the logits, under Adam, falling to zero.
        steepness: of the probabilities in the logits at the end; 1 leaves them as published.
        pull: strength of the penalty on the expected density; 0 lets the density float, as published.
    """

    densities: Literal["uniform", "erk", "smart-ratio"] = "uniform"
    weights: Literal["signed-constant", "init"] = "signed-constant"
    rescale: bool = False
    learning_rate: Rate = 0.02
    steepness: Steepness = 20.0
    pull: Strength = 1.0

    def trainings(self, _problem: KnownProblem) -> float:
        """One."""
        return 1.0

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of the full recipe's length."""
        space, initial = problem.space, problem.initial_weights()
        frozen = initial.vector.copy()
        if self.weights == "signed-constant":
            frozen = signed_constants(frozen, space)
        logits: FloatArray = np.zeros_like(frozen)
        counts = layer_counts(self.densities, space, problem.n_kept)
        recipe = replace(
            problem.recipe.lasting(problem.steps_for(1)),
            optimizer="adam",
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            schedule="cosine",
        )
        relaxation = self._relaxation(space, counts, frozen, logits, recipe.steps)
        for snapshot in problem.train_relaxed(relaxation, recipe=recipe):
            logits = snapshot.trained[GATES]
        if self.rescale:  # the factors it was trained with: N over the weights kept
            for layer, count in zip(space.layers, counts, strict=True):
                frozen[layer.span] *= np.float32(layer.size / count)
        return Ticket(top_per_layer(logits, counts, space), Weights(frozen, initial.rest), scores=logits)

    def _relaxation(
        self, space: MaskSpace, counts: IntArray, frozen: FloatArray, logits: FloatArray, steps: int
    ) -> Relaxation:
        def steepness(step: int) -> float:
            return float(self.steepness ** (step / steps))

        groups = tuple((layer.span, int(count) / layer.size) for layer, count in zip(space.layers, counts, strict=True))
        return relaxed_by(
            Drawn(steepness, tuple(layer.span for layer in space.layers) if self.rescale else ()),
            Trainable(logits),
            weights=frozen,
            pull=Pull(groups, self.pull),
        )
