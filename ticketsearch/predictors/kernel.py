"""What kernels of the untrained network say: of tangents, and of which units are at work.

NTK-SAP's estimate of the tangent kernel's nuclear norm (arXiv:2304.02840), at the run's own weights; the condition
number of the kernel of summed outputs (TE-NAS, arXiv:2102.11535); the logarithm of the determinant of the kernel of
activation patterns (NASWOT, arXiv:2006.04647, eq. 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.predictors.at import AtPoint, Count, Point
from ticketsearch.problem import MaskProblem

LEAST = 1e-12
"""Eigenvalues count as this fraction of the largest one at least: below, they are rounding errors."""


@dataclass(frozen=True)
class NtkNorm(AtPoint):
    """NTK-SAP's norm, how far a perturbation of the kept weights moves the outputs: higher, it learns faster.

    Attributes:
        examples: made-up inputs, the same for all masks.
        scale: of the perturbation.
    """

    examples: Count = 256
    scale: Annotated[float, Field(gt=0, le=1)] = 0.01
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs two forward passes of each example for each mask."""
        examples = min(self.examples, problem.train_size)
        return self.at_each(
            problem, masks, lambda at: problem.ntk_change(at.mask, examples, scale=self.scale, start=at.start)
        )


@dataclass(frozen=True)
class NtkCondition(AtPoint):
    """The condition number of the tangent kernel: lower, all directions are learnt at like speed.

    A kernel that is singular, but for rounding, has the condition number 1e12.

    Attributes:
        examples: training examples of the kernel, the same for all masks; fewer if there are not as many.
    """

    examples: Count = 32
    sign: ClassVar[int] = -1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs a pass through all examples for each of them, for each mask."""
        examples = min(self.examples, problem.train_size)

        def condition(at: Point) -> float:
            values = np.linalg.eigvalsh(problem.tangent_kernel(at.mask, examples, start=at.start))
            low, high = float(values[0]), float(values[-1])
            return high / max(low, LEAST * high) if high > 0 else 1 / LEAST

        return self.at_each(problem, masks, condition)


@dataclass(frozen=True)
class Naswot(AtPoint):
    """The logarithm of the determinant of the kernel of activation patterns: higher, examples are told apart better.

    The kernel of two examples counts the rectifiers that are both at work or both not. A singular one's eigenvalues
    count as 1e-12 of the largest at least.

    Attributes:
        examples: training examples, the same for all masks; fewer if there are not as many.
    """

    examples: Count = 128
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs a forward pass of each example for each mask."""
        examples = min(self.examples, problem.train_size)

        def log_determinant(at: Point) -> float:
            codes = problem.activation_patterns(at.mask, examples, start=at.start).astype(np.float64)  # (N, A)
            values = np.linalg.eigvalsh(codes @ codes.T + (1 - codes) @ (1 - codes).T)
            return float(np.log(np.maximum(values, LEAST * values[-1])).sum())

        return self.at_each(problem, masks, log_determinant)
