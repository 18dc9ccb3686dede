"""cma-es: CMA-ES over a low-dimensional encoding of masks.

Source: Hansen & Ostermeier, Evolutionary Computation 9 (2001), as implemented by the ``cmaes`` library (Nomura &
Shibata, arXiv:2402.01373). The covariance matrix has d^2 numbers, so a genome is a point of the unit cube of a few
dimensions, not one number for each weight; ``separable`` keeps its diagonal only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import cmaes
import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch import AskTellStrategy, MaskProblem, Score
from ticketsearch.masks.encodings import Encoding, make_encoding


@dataclass
class State:
    """The distribution, and the generation that is being scored."""

    coder: Encoding
    optimizer: Any
    points: list[npt.NDArray[np.float64]] = field(default_factory=list)
    generation: list[tuple[npt.NDArray[np.float64], float]] = field(default_factory=list)


@dataclass(frozen=True)
class CmaEs(AskTellStrategy[State]):
    """Adapt a Gaussian over encoded masks to where the good ones are.

    Attributes:
        batch: masks asked for, and trained, together; a generation is at least four.
        encoding: ``layer-density``, ``criterion-mixture`` or ``seeded``; see :mod:`ticketsearch.masks.encodings`.
        criterion: scores used by ``layer-density`` and ``seeded``.
        sigma: standard deviation at the start, in the unit cube.
        separable: adapt the diagonal of the covariance only.
    """

    ticketsearch_api: ClassVar[int] = 1

    batch: Annotated[int, Field(ge=1)] = 12
    encoding: Literal["layer-density", "criterion-mixture", "seeded"] = "layer-density"
    criterion: str = "large_init"
    sigma: Annotated[float, Field(gt=0, le=1)] = 0.3
    separable: bool = False

    def start(self, problem: MaskProblem) -> State:
        """Pay for the criteria, and begin in the middle of the cube."""
        coder = make_encoding(self.encoding, problem, criterion=self.criterion)
        assert coder.dimensions is not None
        dimensions = max(2, coder.dimensions)  # the library has no one-dimensional form; what is left over is unused
        make: Any = cmaes.SepCMA if self.separable else cmaes.CMA
        optimizer = make(
            mean=np.full(dimensions, 0.5),
            sigma=self.sigma,
            bounds=np.tile([0.0, 1.0], (dimensions, 1)),
            seed=int(problem.rng("cma-es").integers(2**31)),  # it seeds a generator of its own
            population_size=max(4, self.batch),
        )
        return State(coder, optimizer)

    def ask(self, state: State, n: int) -> npt.NDArray[np.bool_]:
        """Masks of the points drawn; never more than the generation still lacks."""
        missing = int(state.optimizer.population_size) - len(state.generation)
        state.points = [state.optimizer.ask() for _ in range(min(n, missing))]
        return np.stack([state.coder.decode(point[: state.coder.dimensions]) for point in state.points])

    def tell(self, state: State, masks: npt.NDArray[np.bool_], scores: Sequence[Score]) -> None:
        """Collect a generation, then let the distribution move; failed scores rank last."""
        costs = [-max(score.value, -1.0) for score in scores]
        state.generation += zip(state.points, costs, strict=True)
        if len(state.generation) == state.optimizer.population_size:
            state.optimizer.tell(state.generation)
            state.generation = []
