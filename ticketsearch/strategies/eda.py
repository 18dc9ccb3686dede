"""An estimation-of-distribution algorithm over masks with exact counts.

A number for each unit, its logit; a mask is the n highest of logits plus Gumbel noise, which draws n units without
replacement in proportion to ``exp(logit)`` (Plackett-Luce; Yellott 1977; Kool et al., arXiv:1903.06059). Three updates:

``policy-gradient``  of the expected score, against the mean of the others of a generation (leave one out; Kool et al.,
                     2019). The order of the n draws is known, so the score function of the ordered draw is exact: no
                     assumption of independent units.
``cross-entropy``    logits move to the log of how often the elite keeps a unit (Rubinstein, 1999).
``pbil``             logits' probabilities move to the elite's by a fraction (Baluja, CMU-CS-94-163).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.masks.encodings.base import threshold
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import Orders
from ticketsearch.strategies.encoding import check_start, make_start
from ticketsearch.strategies.options import EvaluationOptions, Fraction, Rate

SPREAD = 3.0
"""Logits between the kept and the pruned half of a start's order."""


@dataclass(frozen=True)
class DistributionSearch(EvaluationOptions):
    """Learn how likely each unit is kept; the ticket keeps the likeliest.

    Attributes:
        start: where it begins: ``uniform``, ``erk``, ``smart-ratio``, ``counts(CRITERION)`` or ``mask(CRITERION)``;
            default all units alike.
        update: ``policy-gradient``, ``cross-entropy`` or ``pbil``.
        population: masks of a generation.
        elite: fraction of them that ``cross-entropy`` and ``pbil`` learn from.
        rate: step of ``policy-gradient``, in logits, for a unit whose kept masks score a standard deviation higher; or
            the fraction of the way that the other two go.
    """

    orders: Orders = "fresh"
    start: str | None = None
    update: Literal["policy-gradient", "cross-entropy", "pbil"] = "policy-gradient"
    population: Annotated[int, Field(ge=4, le=100_000)] = 48
    elite: Fraction = 0.25
    rate: Rate = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None:
            check_start(self.start)

    def search(self, problem: MaskProblem) -> None:
        """Generation after generation, until the budget ends."""
        rng, space, n = problem.rng("eda"), problem.space, problem.n_kept
        logits = self._first_logits(problem)
        while True:
            noisy = [(logits + gumbel(space.size, rng)).astype(np.float32) for _ in range(self.population)]
            masks = np.stack([space.top(keys, n) for keys in noisy])
            advantages = standardised(np.array([float(score) for score in self.scores(problem, list(masks))]))
            if self.update == "policy-gradient":
                orders = [in_order(keys, mask) for keys, mask in zip(noisy, masks, strict=True)]
                gradient = np.zeros(space.size)
                for advantage, order in zip(advantages, orders, strict=True):
                    gradient += advantage * score_function(logits, order)
                logits = logits + self.rate / self.population**0.5 * gradient
            else:
                best = np.argsort(-advantages, kind="stable")[: max(1, round(self.elite * self.population))]
                logits = self._towards(logits, masks[best].mean(0), n / space.size)
            problem.believe(space.top(logits, n))

    def _first_logits(self, problem: MaskProblem) -> ScoreArray:
        """Zero, or a start's densities, and its order within the layers."""
        logits = np.zeros(problem.space.size)
        if self.start is None:
            return logits
        start = make_start(self.start, problem)
        for layer, count in zip(problem.space.layers, start.counts, strict=True):
            logits[layer.span] = np.log(count / layer.size)
            if start.scores is not None:
                own = start.scores[layer.span].astype(np.float64)
                above = own > threshold(own, int(count))
                logits[layer.span] += np.where(above, SPREAD / 2, -SPREAD / 2)
        return logits

    def _towards(self, logits: ScoreArray, frequency: ScoreArray, density: float) -> ScoreArray:
        """Logits of probabilities that went a fraction of the way to the elite's; never to certainty."""
        odds = np.exp(logits - logits.max())
        now = np.minimum(density * odds / odds.mean(), 1 - 1e-3) if self.update == "pbil" else odds / odds.sum()
        if self.update == "pbil":
            moved = (1 - self.rate) * now + self.rate * frequency
            return np.asarray(np.log(np.clip(moved, density * 1e-3, None)))
        smooth = (frequency + density * 0.1) / (1 + 0.1)
        return np.asarray((1 - self.rate) * logits + self.rate * np.log(smooth))


def gumbel(size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise, ``(size,)``."""
    return -np.log(rng.standard_exponential(size))


def score_function(logits: ScoreArray, order: npt.NDArray[np.int64]) -> ScoreArray:
    """Gradient of the log-probability of drawing units in an order, with respect to all logits, ``(U,)``.

    Without replacement: the i-th draw is a softmax over what is left, so the gradient is one for a drawn unit, less
    its probability summed over the draws that it was there for.

    Args:
        logits: ``(U,)``.
        order: ``(n,)``, the units drawn, first to last.
    """
    odds = np.exp(logits - logits.max())
    drawn = odds[order]
    others = np.delete(odds, order).sum()
    left = others + np.cumsum(drawn[::-1])[::-1]  # before each draw; a sum, as a difference would be all rounding
    share = np.cumsum(1 / np.maximum(left, 1e-300))  # summed over draws up to each
    gradient: ScoreArray = -odds * share[-1]
    gradient[order] = 1 - drawn * share
    return gradient


def in_order(keys: npt.NDArray[np.floating], mask: BoolArray) -> npt.NDArray[np.int64]:
    """Kept units, the highest key first."""
    kept = np.flatnonzero(mask)
    return np.asarray(kept[np.argsort(-keys[kept], kind="stable")])


def standardised(values: ScoreArray) -> ScoreArray:
    """Scores ``(P,)`` less the mean of the others, in standard deviations; what is not finite counts as the lowest."""
    sound = np.isfinite(values)
    if not sound.any():
        return np.zeros(values.size)
    values = np.where(sound, values, values[sound].min())
    others = (values.sum() - values) / (values.size - 1)
    return np.asarray((values - others) / max(float(values.std()), 1e-12))
