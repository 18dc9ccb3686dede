"""Edge-popup: leave the weights as they are and train a score for each; a layer's top scores are in.

Source: Ramanujan et al., "What's hidden in a randomly weighted neural network?" (arXiv:1911.13299), section 3: forward
with the weights of the highest ``|s|`` of each layer, gradients straight through to s; weights frozen at the signed
Kaiming constant ``+- sqrt(2 / fan_in)``. The ticket starts from those constants, as its score was trained with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.engine.gates import GATES, Chosen
from ticketsearch.engine.relaxation import Trainable, relaxed_by
from ticketsearch.masks import top_per_layer
from ticketsearch.masks.actions import kaiming_constants
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Rate


@dataclass(frozen=True)
class EdgePopup:
    """Train scores; the weights never change.

    Attributes:
        densities: which share of the kept weights each layer has: ``uniform`` (as published), ``erk``, ``smart-ratio``.
        weights: frozen at the ``signed-constant`` of each layer (as published), or at their ``init`` values.
        learning_rate: of the scores, under SGD with momentum 0.9.
    """

    densities: Literal["uniform", "erk", "smart-ratio"] = "uniform"
    weights: Literal["signed-constant", "init"] = "signed-constant"
    learning_rate: Rate = 0.1

    def trainings(self, _problem: KnownProblem) -> float:
        """One."""
        return 1.0

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of the full recipe's length."""
        space, initial = problem.space, problem.initial_weights()
        counts = layer_counts(self.densities, space, problem.n_kept)
        frozen = initial.vector if self.weights == "init" else kaiming_constants(initial.vector, space)
        scores: FloatArray = np.empty_like(frozen)
        rng = problem.rng("scores")
        for layer in space.layers:
            bound = float(
                np.sqrt(layer.shape[0] / layer.size)
            )  # 1 / sqrt(fan_in): Kaiming uniform with a = sqrt(5), the paper's code's start
            scores[layer.span] = rng.uniform(-bound, bound, layer.size)

        def choose(trained: Mapping[str, FloatArray], _step: int) -> tuple[BoolArray, FloatArray]:
            own = trained[GATES]
            return top_per_layer(np.abs(own), counts, space), np.sign(own)

        relaxation = relaxed_by(Chosen(choose), Trainable(scores, decay=1e-4), weights=frozen)
        recipe = replace(
            problem.recipe.lasting(problem.steps_for(1)),
            optimizer="sgd",
            learning_rate=self.learning_rate,
            momentum=0.9,
            nesterov=False,
            schedule="cosine",
        )
        for snapshot in problem.train_relaxed(relaxation, recipe=recipe):
            scores = snapshot.trained[GATES]
        size = np.abs(scores)
        return Ticket(top_per_layer(size, counts, space), Weights(frozen, initial.rest), scores=size)
