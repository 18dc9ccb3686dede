"""CMA-ES over an encoding of masks: a Gaussian that moves to where the good genomes are.

Source: Hansen & Ostermeier, Evolutionary Computation 9 (2001); separable: Ros & Hansen (PPSN 2008); both as implemented
by the ``cmaes`` library (Nomura & Shibata, arXiv:2402.01373).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import cmaes
import numpy as np
from pydantic import Field

from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import Orders
from ticketsearch.strategies.encoding import vector_encoding
from ticketsearch.strategies.options import EncodingOptions

FULL_UP_TO = 200
"""Numbers up to which the whole covariance is adapted: beyond, its square costs more than it finds in time."""
WORST = 1e300
"""What a failed score counts as; only the order of a generation matters."""


@dataclass(frozen=True)
class CmaEs(EncodingOptions):
    """Adapt a Gaussian over genomes; the ticket is the mask of its mean.

    The best mask evaluated is the luckiest one; the mean is what the search believes.

    Attributes:
        population: masks of a generation.
        sigma: standard deviation at the start, of each number of a genome.
        separable: adapt the diagonal of the covariance only; default from 200 numbers on.
    """

    score: str = "loss"
    orders: Orders = "fresh"
    population: Annotated[int, Field(ge=4, le=100_000)] = 24
    sigma: Annotated[float, Field(gt=0, le=100)] = 1.0
    separable: bool | None = None

    def search(self, problem: MaskProblem) -> None:
        """Generation after generation, until the budget ends."""
        encoding = vector_encoding("cma-es", self.make_encoding(problem))
        optimizer = self._optimizer(encoding.dimensions, int(problem.rng("cma-es").integers(2**31)))
        problem.believe(encoding.decode(np.zeros(encoding.dimensions)))
        while True:
            points = [optimizer.ask() for _ in range(self.population)]
            masks = [encoding.decode(point[: encoding.dimensions]) for point in points]
            costs = [WORST if score.failed else -score.value for score in self.scores(problem, masks)]
            optimizer.tell(list(zip(points, costs, strict=True)))
            problem.believe(encoding.decode(optimizer.mean[: encoding.dimensions]))

    def _optimizer(self, dimensions: int, seed: int) -> Any:
        separable = dimensions > FULL_UP_TO if self.separable is None else self.separable
        kind: Any = cmaes.SepCMA if separable else cmaes.CMA
        return kind(  # it has no one-dimensional form: a second number is unused
            mean=np.zeros(max(2, dimensions)), sigma=self.sigma, seed=seed, population_size=self.population
        )
