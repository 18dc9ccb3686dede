"""What a run will take, before it is paid for: seconds, from a few steps timed on this machine.

A search may spend its budget and need not: strategies that know how many trainings they make say so
(:class:`Foreseeable`), of all others the whole budget is expected. So a forecast is an upper bound, as good as the few
steps it is made from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import Meter
from ticketsearch.errors import StrategyError, TicketsearchError
from ticketsearch.masks.controls import cycles
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.known import KnownProblem
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.strategies.base import Strategy

ENOUGH = 0.1
"""Seconds of a measurement that is long enough."""
MASKS = 8
"""Random masks that are timed together, as a search evaluates many."""


@runtime_checkable
class Foreseeable(Protocol):
    """A strategy that can say beforehand what it will spend."""

    def trainings(self, problem: KnownProblem, /) -> float:
        """How many full trainings of the dense network a search amounts to, at most."""
        ...


@dataclass(frozen=True)
class Forecast:
    """Seconds of wall time.

    Attributes:
        search: of the search, at most.
        confirmation: of the ticket, its references and checkpoints.
        epochs: that the search may spend.
    """

    search: float
    confirmation: float
    epochs: float

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return self.search + self.confirmation


@dataclass(frozen=True)
class Speed:
    """Seconds of wall time for a third of an example, the unit of all prices, on this machine and engine.

    Attributes:
        masked: of random masks of one sparsity, several at a time.
        dense: of the dense network alone.
    """

    masked: float
    dense: float


@dataclass(frozen=True)
class Extent:
    """How much of a run there is to be confirmed.

    Attributes:
        orders: full trainings of each network.
        checkpoints: confirmed on the way, at most.
        controls: by name.
    """

    orders: int = 3
    checkpoints: int = 8
    controls: tuple[str, ...] = ()


def expected_epochs(strategy: Strategy, problem: KnownProblem) -> float:
    """What a search will spend, at most: what its strategy foresees, or else all that remains."""
    if not isinstance(strategy, Foreseeable):
        return problem.remaining
    return min(problem.remaining, needed_epochs(strategy, problem))


def needed_epochs(strategy: Foreseeable, problem: KnownProblem) -> float:
    """What a search needs, whatever the budget.

    Raises:
        StrategyError: its strategy does not say a number.
    """
    try:
        trainings = float(strategy.trainings(problem))
    except TicketsearchError:
        raise
    except Exception as error:
        raise StrategyError(f"{type(strategy).__name__}.trainings: {type(error).__name__}: {error}") from error
    if not 0 <= trainings < math.inf:
        raise StrategyError(f"{type(strategy).__name__}.trainings: {trainings} is no number of trainings")
    return trainings * problem.recipe.steps / problem.steps_per_epoch


def measure_speed(setup: Setup, sparsity: float) -> Speed:
    """Time a few steps; the first ones, in which kernels are loaded or compiled, do not count."""
    problem = _unlimited(setup, sparsity)
    rng = stream(setup.seed, "forecast")
    kept = problem.n_kept

    def evaluated(masks: int, steps: int) -> None:
        population: BoolArray = problem.space.random(kept, rng, masks)
        problem.evaluate(population, steps)

    def trained(_masks: int, steps: int) -> None:
        list(problem.train(at=(steps,)))

    longest = problem.recipe.steps
    return Speed(_timed(problem, evaluated, longest), _timed(problem, trained, longest))


def forecast(
    setup: Setup, strategy: Strategy, sparsity: float, budget: float, extent: Extent, speed: Speed | None = None
) -> Forecast:
    """What a run will take on this machine.

    Args:
        setup: the run's.
        strategy: the run's.
        sparsity: of the ticket.
        budget: of the search, in epochs.
        extent: of its confirmation.
        speed: at that sparsity, if it is known.
    """
    speed = speed or measure_speed(setup, sparsity)
    size, recipe = len(setup.task.train.labels), setup.task.recipe
    problem = known_problem(setup, sparsity, budget)
    epochs = expected_epochs(strategy, problem)
    training = 3 * recipe.steps * recipe.batch_size
    foreseen = isinstance(strategy, Foreseeable)  # it trains, and holds nothing before the end
    search = epochs * 3 * size * (max(speed.dense, speed.masked) if foreseen else speed.masked)
    rounds = sum(cycles(name, problem.n_kept, problem.space.size) for name in extent.controls)
    checkpoints = 0 if foreseen else extent.checkpoints
    masked = extent.orders * training * (3 + rounds + checkpoints)  # the ticket, random, one-shot magnitude
    dense = extent.orders * training
    return Forecast(search, masked * speed.masked + dense * speed.dense, epochs)


def known_problem(setup: Setup, sparsity: float, budget: float) -> KnownProblem:
    """What a strategy may know of a run before it begins."""
    meter = Meter(len(setup.task.train.labels), budget)
    return KnownProblem(setup.session(sparsity, setup.task.fidelity, meter, Ledger()))


def _unlimited(setup: Setup, sparsity: float) -> MaskProblem:
    size = len(setup.task.train.labels)
    return MaskProblem(setup.session(sparsity, setup.task.fidelity, Meter(size), Ledger()))


def _timed(problem: MaskProblem, work: Callable[[int, int], None], longest: int) -> float:
    """Seconds a third of an example: of one mask's step, then of several masks, then of ever more steps, until enough.

    A network whose step takes long is timed by two of them.
    """
    work(1, 1)
    masks, steps = 1, 1
    while True:
        before, begun = problem.spent.thirds, time.perf_counter()
        work(masks, steps)
        seconds = time.perf_counter() - begun
        if seconds >= ENOUGH or steps >= longest:
            return seconds / (problem.spent.thirds - before)
        steps = min(longest, 2 * steps) if masks == MASKS else steps
        masks = MASKS
