"""Hyperband over an encoding of masks: many briefly, few for long; new ones by differential evolution.

Source: Li et al. (arXiv:1603.06560); differential evolution in it: DEHB (Awad, Mallik & Hutter, arXiv:2105.09821), here
with one pool of parents, those scored longest first. Mutation is rand/1 and crossover binomial, as there.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ticketsearch.arrays import ScoreArray
from ticketsearch.masks.encodings import VectorEncoding
from ticketsearch.problem import MaskProblem, Score
from ticketsearch.strategies.encoding import vector_encoding
from ticketsearch.strategies.halving import fidelities
from ticketsearch.strategies.options import EncodingOptions, Fraction


@dataclass(frozen=True, eq=False)
class Scored:
    """A genome with the score of its longest training."""

    genome: ScoreArray
    steps: int
    score: Score


@dataclass(frozen=True)
class Hyperband(EncodingOptions):
    """Brackets of successive halving, from the shortest trainings to the full recipe.

    Attributes:
        reduction: how many fewer masks, and how much longer a training, from level to level.
        levels: most fidelities; the shortest is the problem's, none is longer than the full recipe.
        proposals: ``evolution``: children of the best so far; or ``random``.
        pool: best genomes that are parents.
        weight: of a difference of two parents.
        crossover: fraction of a child's numbers that are new.
    """

    reduction: Annotated[int, Field(ge=2, le=100)] = 3
    levels: Annotated[int, Field(ge=1, le=20)] = 4
    proposals: Literal["evolution", "random"] = "evolution"
    pool: Annotated[int, Field(ge=4, le=100_000)] = 48
    weight: Annotated[float, Field(gt=0, le=2)] = 0.5
    crossover: Fraction = 0.5

    def search(self, problem: MaskProblem) -> None:
        """Bracket after bracket; the host keeps the best mask of the longest training."""
        rng = problem.rng("hyperband")
        encoding = vector_encoding("hyperband", self.make_encoding(problem))
        steps = fidelities(problem, self.levels, self.reduction)
        pool: list[Scored] = []
        for longest in itertools.cycle(range(len(steps) - 1, -1, -1)):  # levels above the bracket's first
            count = math.ceil(len(steps) / (longest + 1) * self.reduction**longest)
            genomes = [self._proposed(pool, encoding, rng) for _ in range(self.drawn(problem, count, steps[0]))]
            for level in range(len(steps) - 1 - longest, len(steps)):
                scores = self.scores(problem, [encoding.decode(one) for one in genomes], steps[level])
                found = [Scored(*pair) for pair in zip(genomes, [steps[level]] * len(genomes), scores, strict=True)]
                pool = _best([*pool, *(one for one in found if not one.score.failed)], self.pool)
                survivors = max(1, len(genomes) // self.reduction)
                genomes = [one.genome for one in _best(found, survivors)]

    def _proposed(self, pool: list[Scored], encoding: VectorEncoding, rng: np.random.Generator) -> ScoreArray:
        """A child of the pool, or a random genome while there are too few parents."""
        if self.proposals == "random" or len(pool) < 4:
            return np.asarray(encoding.sample(rng), dtype=np.float64)
        target, base, plus, minus = (pool[index].genome for index in rng.choice(len(pool), 4, replace=False))
        new = rng.random(encoding.dimensions) < self.crossover
        new[rng.integers(encoding.dimensions)] = True
        child: ScoreArray = np.where(new, base + self.weight * (plus - minus), target)
        return child


def _best(found: list[Scored], count: int) -> list[Scored]:
    """The longest trained first, of these the best scored; of equal ones the earlier."""
    order = sorted(range(len(found)), key=lambda row: (found[row].steps, found[row].score, -row), reverse=True)
    return [found[row] for row in order[:count]]
