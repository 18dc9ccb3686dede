"""What an encoding is: genomes, their operators and their meaning; and where a search begins in it.

What is registered under ``ticketsearch.encodings`` is a frozen dataclass of settings with ``build(problem)``, which
returns an :class:`Encoding` of that problem's masks. Most are a :class:`ScoreEncoding`: a vector of a few numbers, from
which a score of each unit follows; the highest are kept. Such a genome is drawn from a standard normal distribution,
and zero is where a search begins: so one size of step suits all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.criteria import Source
from ticketsearch.masks.sampling import top_per_layer
from ticketsearch.masks.space import MaskSpace

Genome = npt.NDArray[Any]


class EncodedProblem(Source, Protocol):
    """What building an encoding asks of a problem; :class:`ticketsearch.MaskProblem` has it."""

    @property
    def n_kept(self) -> int: ...  # noqa: D102


@runtime_checkable
class EncodingSettings(Protocol):
    """What is registered: a frozen dataclass of settings."""

    def build(self, problem: EncodedProblem) -> Encoding:
        """The encoding of a problem's masks; pays for what it needs to know of the network."""
        ...


@dataclass(frozen=True, eq=False)
class Start:
    """Where a search begins.

    Attributes:
        counts: kept units of each layer, ``(L,)``.
        scores: ``(U,)``: within each layer the highest are kept; ``None``: which ones is left to the encoding.
    """

    counts: IntArray
    scores: npt.NDArray[np.floating] | None = None


class Encoding(ABC):
    """Genomes, their operators and their meaning; operators never change their arguments.

    Attributes:
        dimensions: numbers in a genome; ``None`` where it is no vector of numbers.
        step: strength of a mutation that changes a little, for searchers that are not told one.
    """

    dimensions: int | None = None
    step: ClassVar[float]

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Genome:
        """A random genome."""

    @abstractmethod
    def decode(self, genome: Genome) -> BoolArray:
        """Its mask, ``(U,)``, with exactly the number of kept units that the problem asks for."""

    @abstractmethod
    def crossover(self, a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
        """A child that inherits from both."""

    @abstractmethod
    def mutate(self, genome: Genome, strength: float, rng: np.random.Generator) -> Genome:
        """A neighbour, farther away the greater the ``strength``, which is positive."""

    def fit(self, mask: BoolArray) -> Genome:
        """The genome whose mask is most like this one, ``(U,)``.

        Raises:
            InvalidValue: this encoding has no way to find it.
        """
        raise InvalidValue(
            f"{type(self).__name__} cannot be fitted to a mask of {mask.size} units; it has no fit(mask)"
        )

    def begin_at(self, start: Start) -> None:
        """Let samples scatter around a start; called at most once, before anything is drawn.

        Raises:
            InvalidValue: this encoding has no other start than its own.
        """
        raise InvalidValue(
            f"{type(self).__name__} has no other start than its own, not one of {start.counts.tolist()} kept units a "
            "layer; leave start out"
        )


class VectorEncoding(Encoding):
    """A genome is a vector of ``dimensions`` numbers, standard normal at random; zero is the start."""

    dimensions: int
    step = 0.3

    def sample(self, rng: np.random.Generator) -> ScoreArray:
        """Standard normal numbers."""
        return rng.standard_normal(self.dimensions)

    def crossover(self, a: Genome, b: Genome, rng: np.random.Generator) -> ScoreArray:
        """Each number from one parent or the other."""
        return np.where(rng.random(self.dimensions) < 0.5, a, b)

    def mutate(self, genome: Genome, strength: float, rng: np.random.Generator) -> ScoreArray:
        """A normal step of standard deviation ``strength`` in each number."""
        return np.asarray(genome + strength * rng.standard_normal(self.dimensions), dtype=np.float64)


class ScoreEncoding(VectorEncoding):
    """A score of each unit follows from the numbers; the highest are kept, floors first.

    Args:
        problem: whose masks are written down.
        dimensions: numbers in a genome.
    """

    def __init__(self, problem: EncodedProblem, dimensions: int) -> None:
        self.dimensions = dimensions
        self.space, self.n_kept = problem.space, problem.n_kept
        self._rng = problem.rng("start")
        self._shift: npt.NDArray[np.floating] | None = None  # (U,), added to scores: where the search begins

    @abstractmethod
    def scores(self, genome: Genome) -> npt.NDArray[np.floating]:
        """``(U,)``: higher is kept; an array that the encoding may use again at the next call."""

    def decode(self, genome: Genome) -> BoolArray:
        """The highest scores; of equal ones the lower index."""
        scores = self.scores(np.asarray(genome, dtype=np.float64))
        return self.space.top(scores if self._shift is None else scores + self._shift, self.n_kept)

    def begin_at(self, start: Start) -> None:
        """Shift the scores so that the genome zero has the start's counts, and its mask if it has one.

        A start's scores take the places of the encoding's own: ranks within a layer, spread as those were.
        """
        own = np.array(self.scores(np.zeros(self.dimensions)), dtype=np.float32)  # (U,)
        anywhere = self._rng.random(own.size, dtype=np.float32)
        shifted = own.copy()
        for layer, count in zip(self.space.layers, start.counts, strict=True):
            mine = own[layer.span]
            if not np.ptp(mine):  # the genome zero prefers none
                mine = anywhere[layer.span]
            if start.scores is not None:
                places = np.argsort(start.scores[layer.span], kind="stable")
                spread = np.empty_like(mine)
                spread[places] = np.sort(mine)
                mine = spread
            shifted[layer.span] = mine - threshold(mine, int(count))
        self._shift = shifted - own


def threshold(scores: npt.NDArray[np.floating], count: int) -> float:
    """A number between the ``count`` highest of ``(N,)`` scores and the others."""
    ordered = np.sort(scores)[::-1]
    if not 0 < count < ordered.size:
        edge, sign = (ordered[0], 1) if count <= 0 else (ordered[-1], -1)
        return float(edge) + sign * max(1e-3, float(np.ptp(ordered)) / ordered.size)
    return float(ordered[count - 1] + ordered[count]) / 2


def start_mask(start: Start, space: MaskSpace, rng: np.random.Generator) -> BoolArray:
    """A mask at a start, ``(U,)``: its own, or a random one with its counts."""
    scores = rng.random(space.size) if start.scores is None else start.scores
    return top_per_layer(scores, start.counts, space)
