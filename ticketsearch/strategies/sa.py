"""Simulated annealing over masks: several chains, so that each step is one batch of evaluations.

Source: Kirkpatrick, Gelatt & Vecchi (Science 220, 1983). The start temperature is calibrated from sampled moves
(Ben-Ameur, Comput. Optim. Appl. 29, 2004, in its first-order form): a typical worsening move is accepted with a
given probability. Cooling is geometric in the fraction of the budget spent, so any budget is annealed to the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.masks.encodings import Genome
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import Orders
from ticketsearch.strategies.options import EncodingOptions, Rate


@dataclass(frozen=True)
class SimulatedAnnealing(EncodingOptions):
    """Walk from mask to neighbouring mask, ever more reluctant to get worse.

    Attributes:
        chains: independent walks, evaluated together.
        acceptance: probability of accepting a typical worsening move at the start.
        cooling: end temperature over start temperature.
        move: size of a move at the start: the fraction of kept units swapped, or the standard deviation of a step;
            default five times the encoding's.
        final_move: size of a move at the end; default a quarter of the encoding's.
    """

    orders: Orders = "fresh"
    chains: Annotated[int, Field(ge=1)] = 12
    acceptance: Annotated[float, Field(gt=0, lt=1)] = 0.5
    cooling: Annotated[float, Field(gt=0, lt=1)] = 0.02
    move: Rate | None = None
    final_move: Rate | None = None

    def search(self, problem: MaskProblem) -> None:
        """The host keeps the incumbent."""
        rng = problem.rng("sa")
        encoding = self.make_encoding(problem)

        def scores_of(genomes: list[Genome]) -> ScoreArray:
            return np.array([s.value for s in self.scores(problem, [encoding.decode(genome) for genome in genomes])])

        first = 5 * encoding.step if self.move is None else self.move
        last = encoding.step / 4 if self.final_move is None else self.final_move
        states = [encoding.sample(rng) for _ in range(self.drawn(problem, self.chains))]
        fidelity, energies = problem.fidelity, scores_of(states)
        begun, start_temperature = problem.spent_fraction, None
        while True:
            progress = (problem.spent_fraction - begun) / max(1e-12, 1 - begun)
            if problem.fidelity > fidelity:  # energies of another length are no longer comparable
                fidelity, energies = problem.fidelity, scores_of(states)
            size = first * (last / first) ** progress
            moved = [encoding.mutate(state, size, rng) for state in states]
            found = scores_of(moved)
            if start_temperature is None:
                both = np.isfinite(found) & np.isfinite(energies)
                start_temperature = self._calibrate(found[both] - energies[both])
            accepted = _metropolis(found, energies, start_temperature * self.cooling**progress, rng)
            states = [new if ok else old for new, old, ok in zip(moved, states, accepted, strict=True)]
            energies = np.where(accepted, found, energies)

    def _calibrate(self, changes: ScoreArray) -> float:
        """The temperature at which the mean change, if it worsens, is accepted with probability ``acceptance``."""
        typical = float(np.abs(changes).mean()) if changes.any() else 1e-3
        return typical / -math.log(self.acceptance)


def _metropolis(found: ScoreArray, energies: ScoreArray, temperature: float, rng: np.random.Generator) -> BoolArray:
    """Accept what is no worse, and what is worse by d with probability ``exp(-d / T)``; never a failed score."""
    sound = np.isfinite(found)
    loss = np.subtract(energies, found, out=np.zeros(found.size), where=sound & np.isfinite(energies))
    accepted: BoolArray = sound & (rng.random(found.size) < np.exp(-np.maximum(loss, 0.0) / temperature))
    return accepted
