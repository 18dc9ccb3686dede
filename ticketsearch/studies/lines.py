"""Networks of a finished run, trained once more where need be, and the lines between them measured.

Every point of a line is one of a batch of weights, measured at once. Data orders are those of the run's confirmations;
an optimiser begins anew at the step where orders part, as a ticket's training does at the step it was rewound to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ticketsearch.errors import CorruptRun
from ticketsearch.masks import digest
from ticketsearch.masks.overlap import normalised
from ticketsearch.masks.redrawn import degrees_kept
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import read_record
from ticketsearch.runner.again import search_again
from ticketsearch.runner.aligned import EXAMPLES, activations, matched, moved, permuted
from ticketsearch.runner.apart import claimed_ticket
from ticketsearch.runner.confirm import data_order, population
from ticketsearch.runner.progress import Silent, Tick
from ticketsearch.runner.references import Shared
from ticketsearch.runner.setup import Setup
from ticketsearch.runner.statistics import recomputed
from ticketsearch.seeds import stream
from ticketsearch.strategies.base import make_strategy
from ticketsearch.studies.barrier import Comparison, Line, Overlap, Profile, interpolated
from ticketsearch.studies.groups import FinishedRun

SLAB = 2**26
"""Bytes of weights that are measured at a time."""
DRAWS = 5
"""Masks of equal degrees that an overlap is compared with."""
ROUNDS_ANEW = "rounds, trained again"


@dataclass(frozen=True, eq=False)
class End:
    """A trained network: its name, weights ``(D,)`` and ``(R,)``, and the fraction of the weights pruned."""

    name: str
    weights: Weights
    sparsity: float = 0.0


def trained(run: FinishedRun) -> End:
    """A run's ticket as its first confirmation trained it, on the first data order."""
    return End("ticket", run.saved.trained, run.saved.sparsity)


class Lines:
    """Between networks of one run; ``shared`` keeps those of the dense network for other runs of the seed."""

    def __init__(self, setup: Setup, points: int, tick: Tick, shared: Shared | None = None) -> None:
        self._setup, self._points, self._tick, self._shared = setup, points, tick, shared or Shared()

    def orders(self, run: FinishedRun, steps: Sequence[int]) -> Iterator[Line]:
        """Ticket and dense network, each trained on one data order to step k, then on two others to the end.

        Args:
            run: whose ticket; it is trained from its own start step on, so smaller k are left out for it.
            steps: k, ascending.
        """
        ticket = claimed_ticket(run.saved, self._setup.units)
        own = [k for k in steps if k >= ticket.step]
        yield from self._parted("ticket", ticket, run.saved.sparsity, own)
        key = "orders", self._setup.seed
        yield from self._shared.once(key, lambda: list(self._parted("dense network", self._dense, 0.0, steps)))

    def _parted(self, name: str, ticket: Ticket, sparsity: float, steps: Sequence[int]) -> Iterator[Line]:
        setup, recipe = self._setup, self._setup.task.recipe
        shared, *others = (data_order(setup.task, setup.seed, index) for index in range(3))
        begun = population([ticket], setup.initial, recipe, shared[ticket.step :])
        later = [k for k in steps if k > ticket.step]
        reached = {ticket.step: begun.start}
        if later:
            states = setup.engine.train(begun, tuple(k - ticket.step for k in later))
            reached |= {k: state for k, (state, _) in zip(later, states, strict=True)}
        for done, k in enumerate(steps, start=1):
            child = replace(ticket, weights=Weights(reached[k].vector[0], reached[k].rest[0]), step=k)
            children = self._trained([child, child], np.stack([order[k:] for order in others]))
            first, second = (
                End(name, Weights(vector, rest), sparsity)
                for vector, rest in zip(children.vector, children.rest, strict=True)
            )
            yield self.line("orders", first, second, place=k)
            self._tick(f"seed {setup.seed}: {name}, two data orders", done / len(steps))

    @property
    def _dense(self) -> Ticket:
        return Ticket(np.ones(self._setup.units.weights.size, dtype=bool))

    def _trained(self, tickets: Sequence[Ticket], orders: np.ndarray) -> Weights:
        """Tickets of one start step to the end of the recipe, by orders ``(S, B)`` or ``(P, S, B)``."""
        job = population(tickets, self._setup.initial, self._setup.task.recipe, orders)
        if not job.steps:
            return job.start
        [(last, _)] = self._setup.engine.train(job, (job.steps,))
        return last

    def dense(self, run: FinishedRun) -> Line:
        """Between the ticket and the dense network, trained on the same data order."""
        order = data_order(self._setup.task, self._setup.seed, 0)
        dense = self._shared.once(("dense", self._setup.seed), lambda: self._trained([self._dense], order))
        self._tick(f"seed {self._setup.seed}: dense network", 1.0)
        return self.line("dense", trained(run), End("dense network", Weights(dense.vector[0], dense.rest[0])))

    def rounds(self, run: FinishedRun) -> Iterator[Line]:
        """Between successive rounds of an iterative search, the confirmed ticket last; the search is replayed.

        A run's folder holds no weights of its rounds: its strategy, asked again, trains them again, on the data orders
        that it had, and has to end with the same ticket.

        Raises:
            CorruptRun, StrategyError: the search goes another way.
        """
        self._tick(f"seed {self._setup.seed}: {ROUNDS_ANEW}", 0.0)
        spec, record = run.spec, read_record(run.folder / LEDGER)
        strategy = make_strategy(spec.strategy, spec.parameters)
        found = search_again(self._setup, spec, strategy, record, {}, Silent())
        if digest(found.ticket.mask) != run.result.mask_digest:
            raise CorruptRun(f"{run.folder}: its search, made again, ends with another ticket; see ticketsearch verify")
        units = self._setup.units
        ends = [
            End(f"round {number}", one.weights, 1 - float(units.expand(one.mask).mean()))
            for number, one in enumerate(found.session.rounds)
        ]
        ends.append(trained(run))
        for number in range(len(ends) - 1):
            yield self.line("rounds", ends[number], ends[number + 1], place=number)
            self._tick(f"seed {self._setup.seed}: rounds", (number + 1) / (len(ends) - 1))

    def line(
        self, comparison: Comparison, first: End, second: End, *, place: int | None = None, matched: bool = False
    ) -> Line:
        """Measure it, on the test and on the training split."""
        test, train = measured(self._setup, interpolated(first.weights, second.weights, self._points))
        return Line(
            comparison=comparison,
            first=first.name,
            second=second.name,
            place=place,
            sparsities=(first.sparsity, second.sparsity),
            matched=matched,
            test=test,
            train=train,
        )


def measured(setup: Setup, weights: Weights) -> tuple[Profile, Profile]:
    """Errors and losses of ``(P, D)``, ``(P, R)`` weights on the test and on the training split.

    Running statistics of batch normalisations are computed anew for each of them.
    """
    rows = max(1, SLAB // (4 * (weights.vector.shape[1] + weights.rest.shape[1])))
    slabs = [
        recomputed(setup, Weights(weights.vector[first : first + rows], weights.rest[first : first + rows]))
        for first in range(0, len(weights.vector), rows)
    ]
    profiles = []
    for split in (setup.task.test, setup.task.train):
        measures = [setup.engine.measure(slab, split) for slab in slabs]
        profiles.append(
            Profile(
                error=np.concatenate([1 - one.accuracy for one in measures]).round(9).tolist(),
                loss=[float(f"{loss:.7g}") for one in measures for loss in one.loss],
            )
        )
    return profiles[0], profiles[1]


def places_of(setup: Setup, first: Weights, second: Weights) -> list[np.ndarray]:
    """For each neuron of the second network the one of the first that is most like it, layer by layer.

    Args:
        setup: of the task, whose network is a plain chain.
        first: weights ``(D,)`` and ``(R,)``.
        second: likewise.
    """
    inputs = setup.task.train.inputs[:EXAMPLES]
    theirs, ours = (activations(setup, weights, inputs) for weights in (first, second))
    return [matched(one, other) for one, other in zip(theirs, ours, strict=True)]


def overlap_of(setup: Setup, first: FinishedRun, second: FinishedRun) -> Overlap:
    """What the masks of two tickets have in common, before and after neurons are matched."""
    space, one, other = setup.units.weights, first.saved.mask, second.saved.mask
    there = permuted(one, space, places_of(setup, first.saved.trained, second.saved.trained))
    rng = stream(setup.seed, "connect", "degrees")
    drawn = [degrees_kept(other, space, rng) for _ in range(DRAWS)]
    table = normalised(np.stack([other, one, there]), space)
    chance = normalised(np.stack([there, *drawn]), space)[0, 1:]
    return Overlap(plain=float(table[0, 1]), matched=float(table[0, 2]), degrees=float(chance.mean()))


def moved_to(setup: Setup, first: FinishedRun, second: FinishedRun) -> End:
    """The first ticket's trained network with its neurons where the second's are: the same function."""
    places = places_of(setup, first.saved.trained, second.saved.trained)
    return replace(trained(first), weights=moved(first.saved.trained, setup.task.layout, places))
