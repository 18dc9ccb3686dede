"""A genetic algorithm over masks, on DEAP (Fortin et al., JMLR 13, 2012).

Generational, tournament selection, elitism through the hall of fame. Individuals are genomes of an encoding, by
default packed bits; crossover and mutation keep the number of kept weights exact, so no individual is ever
repaired. DEAP draws its tournaments from Python's global generator, hence the fence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from deap import base, tools
from pydantic import Field

from ticketsearch.masks.encodings import Encoding, Genome
from ticketsearch.problem import MaskProblem
from ticketsearch.seeds import fenced_globals
from ticketsearch.strategies.options import EncodingOptions, Rate

log = logging.getLogger(__name__)


class Fitness(base.Fitness):  # type: ignore[misc]
    """Validation accuracy, higher is better."""

    weights = (1.0,)


@dataclass(eq=False)
class Individual:
    """A genome as DEAP wants it: with a fitness."""

    genome: Genome
    fitness: Any = field(default_factory=Fitness)


@dataclass(frozen=True)
class Genetic(EncodingOptions):
    """Breed masks.

    Attributes:
        population: individuals of a generation.
        tournament: individuals in a tournament; more is greedier.
        elite: best individuals ever that are always among the parents.
        crossover: fraction of children with two parents.
        mutation: size of a mutation: the fraction of kept units swapped, or the standard deviation of a step; default
            the encoding's.
    """

    population: Annotated[int, Field(ge=2)] = 24
    tournament: Annotated[int, Field(ge=1, le=10_000)] = 3
    elite: Annotated[int, Field(ge=0)] = 2
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.7
    mutation: Rate | None = None

    def search(self, problem: MaskProblem) -> None:
        """The host keeps the incumbent."""
        rng = problem.rng("ga")
        encoding = self.make_encoding(problem)
        toolbox = self._toolbox(encoding, rng)
        best = tools.HallOfFame(max(1, self.elite), similar=lambda a, b: np.array_equal(a.genome, b.genome))
        statistics = tools.Statistics(lambda individual: individual.fitness.values[0])
        statistics.register("best", np.max)
        statistics.register("median", np.median)
        logbook = tools.Logbook()
        population = [Individual(encoding.sample(rng)) for _ in range(self.drawn(problem, self.population))]
        generation, fidelity = 0, problem.fidelity
        while True:
            if problem.fidelity > fidelity:  # scores of another length are no longer comparable
                fidelity = problem.fidelity
                self._score(problem, encoding, best)
            self._score(problem, encoding, population)
            best.update(population)
            logbook.record(gen=generation, trials=problem.trials, **statistics.compile(population))
            log.info("%s", logbook.stream)
            parents = [*population, *best[: self.elite]]
            population = self._breed(parents, self.drawn(problem, self.population), toolbox, rng)
            generation += 1

    def _score(self, problem: MaskProblem, encoding: Encoding, individuals: Iterable[Individual]) -> None:
        """Train individuals briefly; their fitness is the score."""
        listed = list(individuals)
        scores = self.scores(problem, [encoding.decode(one.genome) for one in listed]) if listed else []
        for individual, score in zip(listed, scores, strict=True):
            individual.fitness.values = (score.value,)

    def _toolbox(self, encoding: Encoding, rng: np.random.Generator) -> Any:
        toolbox = base.Toolbox()
        toolbox.register("mate", encoding.crossover, rng=rng)
        strength = encoding.step if self.mutation is None else self.mutation
        toolbox.register("mutate", encoding.mutate, strength=strength, rng=rng)
        toolbox.register("select", tools.selTournament, tournsize=self.tournament)
        return toolbox

    def _breed(
        self, parents: Sequence[Individual], count: int, toolbox: Any, rng: np.random.Generator
    ) -> list[Individual]:
        """One generation of children, every one of them mutated."""
        with fenced_globals(int(rng.integers(2**32))):
            chosen = toolbox.select(parents, 2 * count)
        children = []
        for mother, father in zip(chosen[::2], chosen[1::2], strict=True):
            mated = rng.random() < self.crossover
            genome = toolbox.mate(mother.genome, father.genome) if mated else mother.genome
            children.append(Individual(toolbox.mutate(genome)))
        return children
