"""How sharp the loss is: the largest eigenvalue of its Hessian by the kept weights, by Lanczos' method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.predictors.at import AtPoint, Count, Point
from ticketsearch.problem import MaskProblem


@dataclass(frozen=True)
class HessianEigenvalue(AtPoint):
    """The largest eigenvalue of the Hessian of the loss: lower, a flatter place.

    Attributes:
        examples: training examples of the loss, the same for all masks; fewer if there are not as many.
        iterations: products with the Hessian, at most.
    """

    examples: Count = 256
    iterations: Count = 20
    sign: ClassVar[int] = -1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        """Costs a Hessian-vector product, twice the price of a gradient, for each iteration and mask."""
        examples = min(self.examples, problem.train_size)
        start = problem.rng("hessian-eigenvalue").standard_normal(problem.units.weights.size)

        def largest(at: Point) -> float:
            def product(vector: ScoreArray) -> ScoreArray:
                given = vector.astype(np.float32)
                found = problem.hessian_product(at.mask, given, examples, start=at.start)
                return np.where(at.kept, found, 0).astype(np.float64)

            return largest_eigenvalue(product, np.where(at.kept, start, 0), self.iterations)

        return self.at_each(problem, masks, largest)


def largest_eigenvalue(product: Callable[[ScoreArray], ScoreArray], start: ScoreArray, iterations: int) -> float:
    """Of a symmetric matrix, by products with it: Lanczos' method, every vector made orthogonal to all before.

    Args:
        product: of the matrix with a vector ``(D,)``.
        start: a vector with a part in the wanted direction.
        iterations: products, at most.
    """
    norm = float(np.linalg.norm(start))
    if norm == 0:
        return 0.0
    basis = [start / norm]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(iterations):
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        for vector in (*basis, *basis):  # twice is enough (Parlett)
            image = image - (image @ vector) * vector
        norm = float(np.linalg.norm(image))
        if norm <= 1e-6 * max(1e-30, *map(abs, (*diagonal, *beside))):  # what single precision can tell
            break
        beside.append(norm)
        basis.append(image / norm)
    beside = beside[: len(diagonal) - 1]
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return float(np.linalg.eigvalsh(matrix)[-1])
