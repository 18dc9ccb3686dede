"""nevergrad: any optimiser of Nevergrad, by name, over an encoding of masks.

Source: Rapin & Teytaud, https://github.com/facebookresearch/nevergrad. Nevergrad's optimisers take an array of
numbers, which is what a genome of a vector encoding is. It has a random state of its own and is given one of the run's;
what else it draws from NumPy's and Python's global generators is fenced off, and they are left as found.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch import AskTellStrategy, MaskProblem, Score
from ticketsearch.errors import UnknownName
from ticketsearch.masks.encodings import VectorEncoding
from ticketsearch.seeds import fenced_globals
from ticketsearch.strategies.encoding import encoding_settings, make_encoding, vector_encoding


@dataclass
class State:
    """The optimiser, and the points that are being scored."""

    coder: VectorEncoding
    rng: np.random.Generator
    optimizer: Any = None
    points: list[Any] = field(default_factory=list)

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """Nevergrad's warnings are about its own use of other libraries."""
        with fenced_globals(int(self.rng.integers(2**31))), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


@dataclass(frozen=True)
class NevergradSearch(AskTellStrategy[State]):
    """Let an optimiser of Nevergrad propose encoded masks.

    Attributes:
        batch: masks asked for, and trained, together.
        optimizer: a name in ``nevergrad.optimizers.registry``: ``TwoPointsDE``, ``PSO``, ``DiagonalCMA`` ...
        encoding: any vector encoding, with settings in brackets; see :mod:`ticketsearch.masks.encodings`.
    """

    ticketsearch_api: ClassVar[int] = 1

    batch: Annotated[int, Field(ge=1)] = 12
    optimizer: str = "TwoPointsDE"
    encoding: str = "layer-density"

    def __post_init__(self) -> None:
        encoding_settings(self.encoding)  # a wrong name is refused before anything is paid for

    def start(self, problem: MaskProblem) -> State:
        """Pay for the criteria, and make the optimiser; its budget is what the run can evaluate."""
        nevergrad = _nevergrad()
        if self.optimizer not in nevergrad.optimizers.registry:
            raise UnknownName("optimiser of Nevergrad", self.optimizer, nevergrad.optimizers.registry)
        rng = problem.rng("nevergrad")
        state = State(vector_encoding("nevergrad", make_encoding(self.encoding, problem)), rng)
        budget = max(1, int(problem.remaining / problem.evaluation_cost()))
        with state.fenced():
            numbers = nevergrad.p.Array(init=np.zeros(state.coder.dimensions))  # steps have a standard deviation of 1
            numbers.random_state = np.random.RandomState(int(rng.integers(2**31)))  # the kind it takes
            make: Any = nevergrad.optimizers.registry[self.optimizer]
            state.optimizer = make(parametrization=numbers, budget=budget, num_workers=self.batch)
        return state

    def ask(self, state: State, n: int) -> npt.NDArray[np.bool_]:
        """Masks of the points proposed."""
        with state.fenced():
            state.points = [state.optimizer.ask() for _ in range(n)]
        return np.stack([state.coder.decode(point.value) for point in state.points])

    def tell(self, state: State, masks: npt.NDArray[np.bool_], scores: Sequence[Score]) -> None:
        """It minimises; a failed score is as bad as a score can be."""
        with state.fenced():
            for point, score in zip(state.points, scores, strict=True):
                state.optimizer.tell(point, -max(score.value, -1.0))


def _nevergrad() -> Any:
    """The library, imported when it is needed; importing it draws from global generators."""
    with fenced_globals(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nevergrad
    return nevergrad
