from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ticketsearch import MaskProblem


@dataclass(frozen=True)
class MagnitudeAndGradient:
    """The overlap of magnitudes and gradients over the kept weights.

    Attributes:
        examples: of the gradient.
    """

    examples: int = 100
    sign: ClassVar[int] = 1  # higher is better: said beforehand

    def predict(self, problem: MaskProblem, masks: np.ndarray) -> np.ndarray:
        """One number for each of P masks; what is asked of the problem is paid for."""
        weights, values = np.abs(problem.initial_weights().vector), []
        for mask in masks:  # (U,): weights, or channels, or blocks
            gradient = problem.gradients(mask, self.examples, common=True)  # the same examples for all
            kept = problem.units.expand(mask)  # (D,): weights
            values.append(np.corrcoef(weights[kept], np.abs(gradient[kept]))[0, 1])
        return np.array(values)
