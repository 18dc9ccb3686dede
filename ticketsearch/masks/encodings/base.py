"""How a black-box searcher writes a mask down. Every genome decodes to exactly n kept weights.

``swap``               the mask itself, as packed bits; a move swaps kept weights for pruned ones.
``layer-density``      one number per layer, its share of the kept weights; a criterion chooses within the layer.
``criterion-mixture``  one weight per criterion; the mixture of their ranks chooses globally.
``seeded``             a neighbourhood of a criterion's mask: its ranks, shifted along a few fixed random directions
                       (a random subspace, as in Li et al., arXiv:1804.08838).

The last three are points in the unit cube of a few dimensions, which is what samplers such as TPE and CMA-ES
can handle; one parameter per weight is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, ByteArray, ScoreArray
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks.bits import pack, unpack
from ticketsearch.masks.criteria import CriterionScores, Source, check_criterion
from ticketsearch.masks.densities import apportion, fill_densities
from ticketsearch.masks.sampling import top_per_layer
from ticketsearch.masks.space import MaskSpace

Genome = npt.NDArray[Any]

NAMES = ("swap", "layer-density", "criterion-mixture", "seeded")
MIXTURE = ("large_init", "large_final", "magnitude_increase", "movement", "snip", "random")
"""Criteria of the mixture unless told otherwise."""
SEEDED_DIRECTIONS = 16


class Encoding(ABC):
    """Genomes, their operators and their meaning; operators never change their arguments."""

    name: str
    dimensions: int | None
    """Length of a genome in the unit cube; ``None`` for raw bits."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Genome:
        """A random genome."""

    @abstractmethod
    def decode(self, genome: Genome) -> BoolArray:
        """Its mask, ``(D,)``."""

    @abstractmethod
    def crossover(self, a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
        """A child that inherits from both."""

    @abstractmethod
    def mutate(self, genome: Genome, strength: float, rng: np.random.Generator) -> Genome:
        """A neighbour. ``strength`` in (0, 1]: the fraction of kept weights swapped, or the step in the unit cube."""


class SwapEncoding(Encoding):
    """Raw bits, packed: a genome is a mask."""

    name = "swap"
    dimensions = None

    def __init__(self, space: MaskSpace, n_kept: int) -> None:
        self._space, self._n = space, n_kept

    def sample(self, rng: np.random.Generator) -> ByteArray:
        """A uniformly random mask."""
        return pack(self._space.random(self._n, rng))

    def decode(self, genome: Genome) -> BoolArray:
        """Unpack."""
        return unpack(genome, self._space.size)

    def crossover(self, a: Genome, b: Genome, rng: np.random.Generator) -> ByteArray:
        """What both keep, and of what one keeps a random half: the count of two equal counts stays exact."""
        return pack(self._space.cross(self.decode(a), self.decode(b), rng))

    def mutate(self, genome: Genome, strength: float, rng: np.random.Generator) -> ByteArray:
        """Swap ``strength * n`` kept weights, at least one."""
        return pack(self._space.swap(self.decode(genome), max(1, round(strength * self._n)), rng))


class UnitCubeEncoding(Encoding):
    """A genome is a point of ``[0, 1]^dimensions``."""

    dimensions: int

    def sample(self, rng: np.random.Generator) -> ScoreArray:
        """A uniformly random point."""
        return rng.random(self.dimensions)

    def crossover(self, a: Genome, b: Genome, rng: np.random.Generator) -> ScoreArray:
        """Each coordinate from one parent or the other."""
        return np.where(rng.random(self.dimensions) < 0.5, a, b)

    def mutate(self, genome: Genome, strength: float, rng: np.random.Generator) -> ScoreArray:
        """A Gaussian step, reflected at the faces of the cube."""
        moved = np.abs(genome + rng.normal(0, strength, self.dimensions)) % 2
        return np.where(moved > 1, 2 - moved, moved)


class LayerDensityEncoding(UnitCubeEncoding):
    """Relative densities over two decades, water-filled to exactly n; within a layer the top scores are kept."""

    name = "layer-density"

    def __init__(self, space: MaskSpace, n_kept: int, scores: npt.NDArray[np.floating]) -> None:
        self._space, self._n = space, n_kept
        self.dimensions = len(space.layers)
        self._order = np.empty(space.size)  # (D,), scores as ranks: ties were broken once
        for layer in space.layers:
            best_first = np.argsort(-scores[layer.span], kind="stable") + layer.offset
            self._order[best_first] = -np.arange(layer.size)

    def decode(self, genome: Genome) -> BoolArray:
        """Densities proportional to ``10 ** (2 x)``."""
        shares = fill_densities(10.0 ** (2 * np.asarray(genome)), self._n, self._space.sizes)
        counts = apportion(shares, self._n, self._space.sizes, self._space.floors)
        return top_per_layer(self._order, counts, self._space)


class CriterionMixtureEncoding(UnitCubeEncoding):
    """A weight in [-1, 1] per criterion; the weighted sum of ranks is the score, its top n the mask."""

    name = "criterion-mixture"

    def __init__(self, space: MaskSpace, n_kept: int, ranks: ScoreArray) -> None:
        self._space, self._n, self._ranks = space, n_kept, ranks.astype(np.float32)  # (C, D)
        self.dimensions = len(ranks)

    def decode(self, genome: Genome) -> BoolArray:
        """Coordinate 0.5 ignores a criterion, 0 inverts it."""
        return self._space.top((2 * np.asarray(genome, dtype=np.float32) - 1) @ self._ranks, self._n)


class SeededEncoding(UnitCubeEncoding):
    """The centre of the cube is a criterion's own mask; distance from it is how far ranks are shifted."""

    name = "seeded"

    def __init__(
        self, space: MaskSpace, n_kept: int, scores: npt.NDArray[np.floating], radius: float, rng: np.random.Generator
    ) -> None:
        self._space, self._n, self._radius = space, n_kept, radius
        self.dimensions = SEEDED_DIRECTIONS
        self._seed = np.empty(space.size, dtype=np.float32)
        self._seed[np.argsort(scores, kind="stable")] = np.linspace(0, 1, space.size, dtype=np.float32)
        self._directions = rng.standard_normal((self.dimensions, space.size), dtype=np.float32)

    def decode(self, genome: Genome) -> BoolArray:
        """Ranks plus ``radius`` times a combination of the directions."""
        shift = (2 * np.asarray(genome, dtype=np.float32) - 1) @ self._directions
        return self._space.top(self._seed + self._radius * shift, self._n)


class EncodedProblem(Source, Protocol):
    """What building an encoding asks of a problem; :class:`ticketsearch.MaskProblem` has it."""

    @property
    def n_kept(self) -> int: ...  # noqa: D102


def make_encoding(
    name: str,
    problem: EncodedProblem,
    *,
    criterion: str = "large_init",
    criteria: Sequence[str] = MIXTURE,
    radius: float = 0.1,
) -> Encoding:
    """Build an encoding on a problem, paying for the criteria it needs.

    Args:
        name: one of ``NAMES``.
        problem: a :class:`ticketsearch.MaskProblem`.
        criterion: which scores choose within a layer (``layer-density``) or make the seed (``seeded``).
        criteria: what ``criterion-mixture`` mixes.
        radius: reach of ``seeded``, in ranks.

    Raises:
        UnknownName: no encoding or criterion of that name.
        InvalidValue: no criteria to mix, or the sparsity leaves too few weights for the layers.
    """
    check_encoding(name, criterion, criteria)
    space, n = problem.space, problem.n_kept
    if name == "layer-density" and space.block is not None:
        raise InvalidValue(
            f"encoding {name!r}: in blocks of {space.block} every layer has one density; use swap, seeded or "
            "criterion-mixture"
        )
    if n < len(space.layers):
        raise InvalidValue(f"encoding {name!r}: {n} kept weights leave some of {len(space.layers)} layers empty")
    scores = CriterionScores(problem)
    build: dict[str, Callable[[], Encoding]] = {
        "swap": lambda: SwapEncoding(space, n),
        "layer-density": lambda: LayerDensityEncoding(space, n, scores(criterion)),
        "criterion-mixture": lambda: CriterionMixtureEncoding(space, n, scores.ranks(criteria)),
        "seeded": lambda: SeededEncoding(space, n, scores(criterion), radius, problem.rng("directions")),
    }
    return build[name]()


def check_encoding(name: str, criterion: str, criteria: Sequence[str]) -> None:
    """Refuse unknown names before anything is paid for."""
    if name not in NAMES:
        raise UnknownName("encoding", name, NAMES)
    for each in (criterion, *criteria):
        check_criterion(each)
    if not criteria:
        raise InvalidValue("encoding 'criterion-mixture' needs at least one criterion")
