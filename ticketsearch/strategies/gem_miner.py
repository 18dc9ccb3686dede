"""Gem-Miner: leave the weights as they are, train a number in [0, 1] for each, and let go of the lowest bit by bit.

Source: Sreenivasan et al., "Rare Gems" (arXiv:2202.12002), algorithm 1: p uniform in (0, 1); forward with the weights
of ``p > 1/2``, gradients straight through to p, which is clamped to [0, 1] after each step; weights frozen at the
signed Kaiming constant; SGD at 0.1 along a cosine, momentum 0.9, a penalty on p's squares (weight decay 1e-4). Thirty
times in a training (every 5 of its 150 epochs) the lowest p of those left are let go for good, each time the fraction
``1 - exp(ln(k) / 30)`` of them, k the density asked for: after the last time as many are left as asked for.

Beside the paper: those left are the ticket, whether their p is above a half or not, so that the count is exact. It
starts from the constants, as its p were trained with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.engine.gates import GATES, Chosen
from ticketsearch.engine.relaxation import Relaxation, Trainable, relaxed_by
from ticketsearch.masks import top_n
from ticketsearch.masks.actions import kaiming_constants
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Rate


@dataclass(frozen=True)
class GemMiner:
    """Train a number for each weight, and let go of the lowest bit by bit; the weights never change.

    Attributes:
        weights: frozen at the ``signed-constant`` of each layer (as published), or at their ``init`` values.
        learning_rate: of p, under SGD with momentum 0.9 along a cosine.
        decay: of p: weight decay.
        cuts: times that the lowest are let go.
        length: of the search, in full recipes.
    """

    weights: Literal["signed-constant", "init"] = "signed-constant"
    learning_rate: Rate = 0.1
    decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    cuts: Annotated[int, Field(ge=1, le=10_000)] = 30
    length: Annotated[float, Field(gt=0, le=1000)] = 1.0

    def trainings(self, _problem: KnownProblem) -> float:
        """``length``."""
        return self.length

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of ``length`` recipes."""
        initial, size = problem.initial_weights(), problem.space.size
        frozen = initial.vector if self.weights == "init" else kaiming_constants(initial.vector, problem.space)
        recipe = replace(
            problem.recipe.lasting(problem.steps_for(1, length=self.length)),
            optimizer="sgd",
            learning_rate=self.learning_rate,
            momentum=0.9,
            nesterov=False,
            schedule="cosine",
            warmup_steps=0,
        )
        start = problem.rng("numbers").random(size, dtype=np.float32)
        relaxation = self._relaxation(frozen, start, left_after(self.cuts, recipe.steps, size, problem.n_kept))
        for snapshot in problem.train_relaxed(relaxation, recipe=recipe):
            numbers, left = snapshot.trained[GATES], snapshot.trained["left"] > 0
        return Ticket(left, Weights(frozen, initial.rest), scores=np.where(left, 1 + numbers, numbers))

    def _relaxation(self, frozen: FloatArray, start: FloatArray, left_after: dict[int, int]) -> Relaxation:
        def choose(trained: Mapping[str, FloatArray], step: int) -> tuple[BoolArray, FloatArray]:
            numbers, left = trained[GATES], trained["left"]
            np.clip(numbers, 0, 1, out=numbers)
            if step in left_after:
                left[:] = top_n(np.where(left > 0, numbers, np.float32(-1)), left_after[step])
            return (numbers > 0.5) & (left > 0), left

        left = Trainable(np.ones_like(start), decay=0.0)  # no gradient reaches it: it is set, and kept with p
        return relaxed_by(Chosen(choose), Trainable(start, decay=self.decay), weights=frozen, beside={"left": left})


def left_after(cuts: int, steps: int, size: int, n_kept: int) -> dict[int, int]:
    """Steps after which weights are let go -> how many are left then; the last one is the last step."""
    cuts = min(cuts, steps)
    density = n_kept / size
    return {steps * cut // cuts: max(n_kept, round(size * density ** (cut / cuts))) for cut in range(1, cuts + 1)}
