"""Strong tickets: parts of a random network that are right without any training, found by a genetic algorithm.

After arXiv:2411.04658: a population of masks of any number of kept weights over one network whose weights and biases
are never trained; ordered by training accuracy, then by the number of zeros. Beside it edge-popup (arXiv:1911.13299),
which trains scores with gradients and leaves the weights as they are, over the same weights and over its own signed
constants; and the network trained as usual. What each costs is metered in the same currencies.

Each generation: every individual mates with probability 0.3 (uniform crossover, with one of the best 30 %), mutates
with probability 0.1 (one bit), 10 random masks come in; the best 100 of all stay. It ends when the best has not changed
for 50 generations, but not before 100 (the paper's settings, :class:`Evolution`'s defaults).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.cost import Cost, Meter
from ticketsearch.digests import digest_of_json
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import MaskProblem
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.progress import Tick
from ticketsearch.seeds import stream
from ticketsearch.strategies.edge_popup import EdgePopup
from ticketsearch.studies.seedwise import folder_in, seed_by_seed

if TYPE_CHECKING:
    from ticketsearch.runner.setup import Setup
    from ticketsearch.tasks import Split, Task

SLAB = 2**26
"""Bytes of weights that are measured at a time."""


@dataclass(frozen=True)
class Evolution:
    """Settings of the genetic algorithm.

    Attributes:
        population: masks that stay.
        mating: probability that an individual has a child with one of the best.
        elite: fraction of the population that mates are taken from.
        mutation: probability that an individual has a child with one bit flipped.
        migrants: random masks of each generation.
        patience: generations without a better best, after which it ends.
        least: generations before which it does not end.
        most: generations after which it ends.
    """

    population: int = 100
    mating: float = 0.3
    elite: float = 0.3
    mutation: float = 0.1
    migrants: int = 10
    patience: int = 50
    least: int = 100
    most: int = 20_000

    def __post_init__(self) -> None:
        whole = (self.population, self.migrants, self.patience, self.least, self.most)
        shares = (self.mating, self.elite, self.mutation)
        if min(self.population, self.most) < 2 or min(whole) < 0 or not all(0 <= one <= 1 for one in shares):
            raise InvalidValue(f"{self} has a number below 0, a probability above 1, or nobody to breed from")


class Found(BaseModel):
    """What one method found: a network, and its price."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    method: Literal["ga", "edge-popup, same weights", "edge-popup, signed constants", "trained"]
    test_accuracy: float
    train_accuracy: float
    n_kept: int
    epochs: float
    sparse_flops: int
    cpu_s: float
    evaluations: int
    generations: int


class StrongOutcome(BaseModel):
    """All methods over the network of one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    task: str
    task_fingerprint: str
    seed: int
    n_weights: int
    majority_test_accuracy: float
    found: list[Found]


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        seeds: of the networks.
        evolution: settings of the genetic algorithm.
        sparsity: of edge-popup, whose number of kept weights is said beforehand.
    """

    seeds: Sequence[int] = range(10)
    evolution: Evolution = Evolution()
    sparsity: float = 0.5


def strong_tickets(
    task: Task,
    plan: Plan,
    *,
    out: str | os.PathLike[str] = "strong",
    device: str = "cpu",
    engine: str = "auto",
    tick: Tick | None = None,
) -> list[StrongOutcome]:
    """Search in the network of every seed; what is on disk already is read back.

    Args:
        task: data and network.
        plan: what to compare.
        out: folder of outcomes.
        device: as in :func:`ticketsearch.run`.
        engine: likewise.
        tick: progress.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        CorruptRun: a seed's file is damaged.
    """
    from ticketsearch.engine import make_engine
    from ticketsearch.runner.setup import Setup

    setup = Setup.of(task, make_engine(task, device, engine), seed=0)
    setup.units.space.n_kept(plan.sparsity)
    spec = [task.name, task.fingerprint, asdict(plan.evolution), plan.sparsity, setup.engine.name, device]
    folder = folder_in(out, task.name, digest_of_json(spec, size=6))
    return seed_by_seed(folder, StrongOutcome, plan.seeds, lambda seed: _Seed(setup.of_seed(seed), plan, tick).run())


class _Seed:
    """One network, and what is found in it."""

    def __init__(self, setup: Setup, plan: Plan, tick: Tick | None) -> None:
        self._setup, self._plan, self._tick = setup, plan, tick

    def run(self) -> StrongOutcome:
        """Methods one after another."""
        task = self._setup.task
        return StrongOutcome(
            task=task.name,
            task_fingerprint=task.fingerprint,
            seed=self._setup.seed,
            n_weights=self._setup.units.weights.size,
            majority_test_accuracy=task.majority,
            found=[self._evolved(), self._popped("init"), self._popped("signed-constant"), self._trained()],
        )

    def _say(self, what: str, fraction: float) -> None:
        if self._tick:
            self._tick(f"seed {self._setup.seed}: {what}", fraction)

    def _evolved(self) -> Found:
        setup, settings = self._setup, self._plan.evolution
        begun, meter, evaluations = time.process_time(), Meter(len(setup.task.train.labels)), 0
        price, size = setup.pricing, len(setup.task.train.labels)

        def accuracy(masks: BoolArray) -> ScoreArray:
            nonlocal evaluations
            evaluations += len(masks)
            for cost in price.evaluations(masks, 0, size):
                meter.charge(cost)
            return self._accuracy(masks, setup.task.train)

        generations, best = 0, np.zeros(0, bool)
        for found in evolve(accuracy, setup.units.weights.size, settings, stream(setup.seed, "strong", "ga")):
            generations, best = generations + 1, found
            self._say(f"genetic algorithm, generation {generations}", min(1.0, generations / settings.most))
        train, test = (self._accuracy(best[None], split)[0] for split in (setup.task.train, setup.task.test))
        return self._found(
            "ga", (train, test), int(best.sum()), meter.spent, begun, evaluations=evaluations, generations=generations
        )

    def _accuracy(self, masks: BoolArray, split: Split) -> ScoreArray:
        """Of the initial weights under masks ``(P, D)``."""
        engine, initial = self._setup.engine, self._setup.initial
        rows = max(1, SLAB // (4 * masks.shape[1]))
        parts = []
        for first in range(0, len(masks), rows):
            vectors = masks[first : first + rows] * initial.vector
            weights = Weights(vectors.astype(np.float32), np.repeat(initial.rest[None], len(vectors), 0))
            parts.append(engine.measure(weights, split).accuracy)
        return np.concatenate(parts)

    def _popped(self, weights: Literal["init", "signed-constant"]) -> Found:
        begun = time.process_time()
        self._say("edge-popup", 0.0)
        problem = self._problem()
        ticket = EdgePopup(weights=weights).search(problem)
        start = ticket.weights
        assert start is not None  # the constants
        accuracies = self._measured(ticket, start)
        label: Literal["edge-popup, same weights", "edge-popup, signed constants"] = (
            "edge-popup, same weights" if weights == "init" else "edge-popup, signed constants"
        )
        return self._found(label, accuracies, int(ticket.mask.sum()), problem.spent, begun)

    def _trained(self) -> Found:
        begun = time.process_time()
        self._say("training", 0.0)
        problem = self._problem()
        [snapshot] = problem.train()
        everything = np.ones(self._setup.units.weights.size, dtype=bool)
        accuracies = self._measured(Ticket(everything), snapshot.weights)
        return self._found("trained", accuracies, everything.size, problem.spent, begun)

    def _problem(self) -> MaskProblem:
        """With as much to spend as it takes, on an account of its own."""
        setup = self._setup
        meter = Meter(len(setup.task.train.labels))
        return MaskProblem(setup.session(self._plan.sparsity, setup.task.fidelity, meter, Ledger()))

    def _measured(self, ticket: Ticket, weights: Weights) -> tuple[float, float]:
        """Accuracies on the training and on the test split."""
        own = Weights((weights.vector * ticket.mask)[None], weights.rest[None])
        train, test = (
            float(self._setup.engine.measure(own, split).accuracy[0])
            for split in (self._setup.task.train, self._setup.task.test)
        )
        return train, test

    def _found(
        self,
        method: Literal["ga", "edge-popup, same weights", "edge-popup, signed constants", "trained"],
        accuracies: tuple[float, float],
        n_kept: int,
        spent: Cost,
        begun: float,
        *,
        evaluations: int = 0,
        generations: int = 0,
    ) -> Found:
        return Found(
            method=method,
            train_accuracy=float(accuracies[0]),
            test_accuracy=float(accuracies[1]),
            n_kept=n_kept,
            epochs=spent.thirds / (3 * len(self._setup.task.train.labels)),
            sparse_flops=spent.sparse_flops,
            cpu_s=time.process_time() - begun,
            evaluations=evaluations,
            generations=generations,
        )


def evolve(
    accuracy: Callable[[BoolArray], ScoreArray], size: int, settings: Evolution, rng: np.random.Generator
) -> Iterator[BoolArray]:
    """Masks ``(D,)``: the best of each generation, until it stays the same.

    Args:
        accuracy: of masks ``(P, D)``, on what is searched on.
        size: D.
        settings: of the algorithm.
        rng: of all chance.
    """
    masks = rng.random((settings.population, size)) < 0.5
    scores = accuracy(masks)
    unchanged, best = 0, (-1.0, 0)
    for generation in range(1, settings.most + 1):
        children = [_children(masks, settings, rng), rng.random((settings.migrants, size)) < 0.5]
        born = np.concatenate(children)
        masks, scores = np.concatenate([masks, born]), np.concatenate([scores, accuracy(born)])
        zeros = size - np.count_nonzero(masks, axis=1)
        order = np.lexsort((-zeros, -scores))[: settings.population]  # stable: of equals the older stays before
        masks, scores = masks[order], scores[order]
        now = (float(scores[0]), int(zeros[order[0]]))
        unchanged, best = (0, now) if now != best else (unchanged + 1, best)
        yield masks[0]
        if unchanged >= settings.patience and generation >= settings.least:
            return


def _children(masks: BoolArray, settings: Evolution, rng: np.random.Generator) -> BoolArray:
    """Of those that mate, and of those that mutate; masks are the best first."""
    size = masks.shape[1]
    mating = np.flatnonzero(rng.random(len(masks)) < settings.mating)
    mates = rng.integers(max(1, round(settings.elite * len(masks))), size=len(mating))
    crossed = np.where(rng.random((len(mating), size)) < 0.5, masks[mating], masks[mates])
    mutating = np.flatnonzero(rng.random(len(masks)) < settings.mutation)
    mutated = masks[mutating].copy()
    flipped = rng.integers(size, size=len(mutating))
    mutated[np.arange(len(mutating)), flipped] ^= True
    return np.concatenate([crossed, mutated])
