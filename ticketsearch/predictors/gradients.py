"""How strongly the loss, or the flow through the network, depends on the weights that a mask keeps.

The norm of the gradient, and the scores of pruning at initialisation, each summed over the kept weights, as zero-cost
proxies of architectures do (arXiv:2101.08134): SNIP (1810.02340), GraSP (2002.07376), SynFlow (2006.05467).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.predictors.at import AtPoint, Count, Point
from ticketsearch.problem import MaskProblem


@dataclass(frozen=True)
class GradientNorm(AtPoint):
    """The Euclidean norm of the loss gradient by the kept weights: higher, the network learns faster.

    Attributes:
        examples: training examples of the gradient, the same for all masks; fewer if there are not as many.
    """

    examples: Count = 256
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs one gradient for each mask."""
        examples = min(self.examples, problem.train_size)

        def norm(at: Point) -> float:
            gradient = problem.gradients(at.mask, examples, start=at.start, common=True)
            return float(np.linalg.norm(gradient[at.kept].astype(np.float64)))

        return self.at_each(problem, masks, norm)


@dataclass(frozen=True)
class SnipSum(AtPoint):
    """SNIP's scores ``|g * w|`` summed over the kept weights: higher, the loss depends on them more.

    Attributes:
        examples: training examples of the gradient, the same for all masks; fewer if there are not as many.
    """

    examples: Count = 256
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs one gradient for each mask."""
        examples = min(self.examples, problem.train_size)

        def total(at: Point) -> float:
            gradient = problem.gradients(at.mask, examples, start=at.start, common=True)
            return float(np.abs(gradient.astype(np.float64) * at.vector).sum())

        return self.at_each(problem, masks, total)


@dataclass(frozen=True)
class GraspSum(AtPoint):
    """GraSP's ``w * (H g)`` summed over the kept weights: higher, the gradient flow would suffer more without them.

    Attributes:
        examples: training examples of the product, the same for all masks; fewer if there are not as many.
        temperature: the logits' divisor.
    """

    examples: Count = 256
    temperature: Annotated[float, Field(gt=0)] = 200.0
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs one Hessian-gradient product, twice the price of a gradient, for each mask."""
        examples = min(self.examples, problem.train_size)

        def total(at: Point) -> float:
            flow = problem.hessian_gradient(
                at.mask, examples, temperature=self.temperature, start=at.start, common=True
            )
            return float((flow.astype(np.float64) * at.vector).sum())

        return self.at_each(problem, masks, total)


@dataclass(frozen=True)
class SynFlowSum(AtPoint):
    """SynFlow's scores summed over the kept weights: higher, more flows along the kept paths. Needs no data."""

    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs one example for each mask."""
        return self.at_each(
            problem, masks, lambda at: float(problem.synaptic_flow(at.mask, start=at.start)[at.kept].sum())
        )
