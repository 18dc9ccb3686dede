"""Concrete ticket search: a random mask drawn from trained logits, and a penalty that weighs as much as the loss.

Source: arXiv:2512.07142, after its formulas. The weights stay frozen at the rewind point, the network is in evaluation
mode. Logits s start at ``ln(k / (1 - k))``, k the density; each step draws one mask ``sigmoid((s + logit(u)) / t)``, u
uniform, t = 2/3 (the binary concrete distribution). The penalty is ``R = sum sigmoid(s) / (1.1 k d) - 1``, d the number
of weights, times a running mean of ``|grad L| / |grad R|`` (taken as zero while R is negative; 0.01 of the newest): so
no coefficient has to be found. Adam at 0.1, a tenth of it from 88 % of the search on. The ticket keeps the ``k d``
highest logits.

L is the task's loss, or, of the paper's second version, the divergence of the outputs from those of the dense network
at the rewind point (reverse, ``KL(masked || dense)``): one forward pass more. The factors of 100 that the paper gives
to both L and R are left out: Adam does not see them. The running mean begins at zero, which the formulas leave open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ticketsearch.arrays import FloatArray
from ticketsearch.cost import parse_steps
from ticketsearch.engine.gates import GATES, Concrete, Pull
from ticketsearch.engine.relaxation import Relaxation, Trainable, relaxed_by
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import top_n
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Rate

MARGIN, NEWEST = 1.1, 0.01
CERTAIN = 20.0
"""The logit of a density of one, which has no finite one."""


@dataclass(frozen=True)
class ConcreteTicketSearch:
    """Train the probabilities of a mask's bits against a penalty of equal weight; the weights never change.

    Attributes:
        learning_rate: of the logits, under Adam; a tenth of it for the last 12 %.
        length: of the search, in full recipes.
        loss: ``task``, the cross-entropy of the labels; or ``kl``, the divergence from the dense network's outputs.
        rewind: the point that the weights are frozen at, and the ticket starts from: steps or epochs of dense training.
    """

    learning_rate: Rate = 0.1
    length: Annotated[float, Field(gt=0, le=1000)] = 1.0
    loss: Literal["task", "kl"] = "task"
    rewind: int | str = 0

    def trainings(self, problem: KnownProblem) -> float:
        """``length``, a third more with a teacher, and what leads to the rewind point."""
        rewind = parse_steps(self.rewind, problem.steps_per_epoch, "rewind")
        return self.length * (4 / 3 if self.loss == "kl" else 1) + rewind / problem.recipe.steps

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of ``length`` recipes (``kl``: four thirds of it), and the steps to the rewind point."""
        rewind = parse_steps(self.rewind, problem.steps_per_epoch, "rewind")
        if rewind > problem.recipe.steps:
            raise InvalidValue(f"rewind={self.rewind!r} lies beyond the training's {problem.recipe.steps} steps")
        frozen = problem.initial_weights()
        if rewind:
            [snapshot] = problem.train(at=(rewind,))
            frozen = snapshot.weights
        recipe = replace(
            problem.recipe.lasting(
                problem.steps_for(1, reserve=0.25 if self.loss == "kl" else 0.0, length=self.length)
            ),
            optimizer="adam",
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            schedule="late-step",
            warmup_steps=0,
        )
        density, size = problem.n_kept / problem.space.size, problem.space.size
        start = math.log(density / (1 - density)) if density < 1 else CERTAIN
        logits: FloatArray = np.full(size, start, dtype=np.float32)
        relaxation = self._relaxation(frozen, logits, density)
        for snapshot in problem.train_relaxed(relaxation, start=frozen, recipe=recipe):
            logits = snapshot.trained[GATES]
        return Ticket(top_n(logits, problem.n_kept), frozen if rewind else None, rewind, scores=logits)

    def _relaxation(self, frozen: Weights, logits: FloatArray, density: float) -> Relaxation:
        pull = Pull(((slice(logits.size), MARGIN * density),), both_ways=True)
        return replace(
            relaxed_by(Concrete(), Trainable(logits), weights=frozen.vector, pull=pull),
            balance=NEWEST,
            evaluating=True,
            teacher=frozen.vector if self.loss == "kl" else None,
        )
