"""nevergrad: any optimiser of Nevergrad, by name, over a low-dimensional encoding of masks.

Source: Rapin & Teytaud, https://github.com/facebookresearch/nevergrad. Nevergrad's optimisers take a box of numbers; a
genome is a point of the unit cube of a few dimensions. It has a random state of its own and is given one of the run's;
what else it draws from NumPy's and Python's global generators is fenced off, and they are left as found.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch import AskTellStrategy, MaskProblem, Score
from ticketsearch.encodings import Encoding, make_encoding
from ticketsearch.errors import UnknownName
from ticketsearch.seeds import fenced_globals


@dataclass(frozen=True)
class NevergradSearch(AskTellStrategy):
    """Let an optimiser of Nevergrad propose encoded masks.

    Attributes:
        batch: masks asked for, and trained, together.
        optimizer: a name in ``nevergrad.optimizers.registry``: ``TwoPointsDE``, ``PSO``, ``DiagonalCMA`` ...
        encoding: ``layer-density``, ``criterion-mixture`` or ``seeded``; see :mod:`ticketsearch.encodings`.
        criterion: scores used by ``layer-density`` and ``seeded``.
    """

    ticketsearch_api: ClassVar[int] = 1

    batch: Annotated[int, Field(ge=1)] = 12
    optimizer: str = "TwoPointsDE"
    encoding: Literal["layer-density", "criterion-mixture", "seeded"] = "layer-density"
    criterion: str = "large_init"

    def start(self, problem: MaskProblem) -> None:
        """Pay for the criteria, and make the optimiser; its budget is what the run can evaluate."""
        nevergrad = _nevergrad()
        if self.optimizer not in nevergrad.optimizers.registry:
            raise UnknownName("optimiser of Nevergrad", self.optimizer, nevergrad.optimizers.registry)
        rng = problem.rng("nevergrad")
        self.coder: Encoding = make_encoding(self.encoding, problem, criterion=self.criterion)
        assert self.coder.dimensions is not None
        self.rng = rng
        budget = max(1, int(problem.remaining / problem.evaluation_cost()))
        with self._fenced():
            box = nevergrad.p.Array(init=np.full(self.coder.dimensions, 0.5), lower=0.0, upper=1.0)
            box.random_state = np.random.RandomState(int(rng.integers(2**31)))  # the kind it takes
            make: Any = nevergrad.optimizers.registry[self.optimizer]
            self.searcher: Any = make(parametrization=box, budget=budget, num_workers=self.batch)
        self.points: list[Any] = []

    @contextmanager
    def _fenced(self) -> Iterator[None]:
        """Nevergrad's warnings are about its own use of other libraries."""
        with fenced_globals(int(self.rng.integers(2**31))), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def ask(self, n: int) -> npt.NDArray[np.bool_]:
        """Masks of the points proposed."""
        with self._fenced():
            self.points = [self.searcher.ask() for _ in range(n)]
        return np.stack([self.coder.decode(np.clip(point.value, 0, 1)) for point in self.points])

    def tell(self, masks: npt.NDArray[np.bool_], scores: Sequence[Score]) -> None:
        """It minimises; a failed score is as bad as a score can be."""
        with self._fenced():
            for point, score in zip(self.points, scores, strict=True):
                self.searcher.tell(point, -max(score.value, -1.0))


def _nevergrad() -> Any:
    """The library, imported when it is needed; importing it draws from global generators."""
    with fenced_globals(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nevergrad
    return nevergrad
