"""Double descent: test and train loss over capacity, of dense networks of growing width and of ever sparser ones.

Sources: Belkin et al. (arXiv:1812.11118) for the curve over width, whose peak of the test error is where the training
error first reaches zero; He et al., "Sparse double descent" (arXiv:2206.08684), for the curve over sparsity: iterative
magnitude pruning by 20 % a level, global, each level trained in full from the initial weights; random masks are its
mandatory control (arXiv:2208.08003). Noise among the training labels is an option of tasks
(:mod:`ticketsearch.tasks.noise`).

A seed's networks see the same batches at the same level, so that curves are paired. Each level's training is kept until
its seed has been finished: what was interrupted goes on there. A level is one job of the engine: IMP's mask, a random
one of as many weights in each layer, tickets of strategies.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.cost import Cost
from ticketsearch.digests import digest_of_json
from ticketsearch.engine import Job, Measures, batch_indices, make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.sampling import random_like
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.resume import ResumeStore
from ticketsearch.records.spec import Spec
from ticketsearch.runner.confirm import population
from ticketsearch.runner.progress import Silent, Tick, quiet
from ticketsearch.runner.search import search
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.strategies.base import make_strategy
from ticketsearch.studies.capacity import DENSE, IMP, RANDOM, DescentOutcome, Plan, Point, levels
from ticketsearch.studies.seedwise import folder_in, seed_by_seed

if TYPE_CHECKING:
    from ticketsearch.tasks import Task


def descend(
    task: Task,
    plan: Plan,
    *,
    out: str | os.PathLike[str] = "descent",
    device: str = "cpu",
    engine: str = "auto",
    tick: Tick = quiet,
) -> list[DescentOutcome]:
    """Train the networks of every seed; what is on disk already is read back.

    Args:
        task: data, network, recipe; its layers to be left dense are in its ``keep``.
        plan: what to train.
        out: folder of outcomes.
        device: as in :func:`ticketsearch.run`.
        engine: likewise.
        tick: progress.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        CorruptRun: a seed's file is damaged.
    """
    for name in plan.strategies:
        make_strategy(name, {})
    setups = _setups(task, plan, device, engine)
    base = next(iter(setups.values()))
    trained_by = [base.engine.name, device, list(map(str, task.keep))]
    spec = [task.name, task.fingerprint, *trained_by, list(plan.sparsities), plan.factors, list(plan.ticket_widths)]
    identity = digest_of_json([*spec, list(plan.strategies), plan.budget], size=6)
    folder = folder_in(out, task.name, identity)

    def compute(seed: int) -> DescentOutcome:
        parts = ResumeStore(folder / f"seed-{seed}.parts")
        points, cpu_s = _Seed(setups, plan, seed, parts, identity, tick).run()
        return DescentOutcome(
            task=task.name,
            task_fingerprint=task.fingerprint,
            task_options=dict(task.options),
            keep=list(task.keep),
            steps=task.recipe.steps,
            train_examples=len(task.train.labels),
            seed=seed,
            engine=base.engine.name,
            device=device,
            cpu_s=cpu_s,
            points=points,
        )

    outcomes = seed_by_seed(folder, DescentOutcome, plan.seeds, compute)
    for seed in plan.seeds:
        ResumeStore(folder / f"seed-{seed}.parts").clear()
    return outcomes


def _setups(task: Task, plan: Plan, device: str, engine: str) -> dict[float, Setup]:
    """One for each width; of widths that round to the same network, the first.

    Raises:
        InvalidValue: the task does not say what its network is at other widths, or a sparsity leaves a layer empty.
    """
    if task.scaled is None and plan.factors != [1.0]:
        raise InvalidValue(
            f"task {task.name!r} does not say what its network is at other widths (Task(scaled=)); name width 1 alone"
        )
    setups: dict[float, Setup] = {}
    for factor in plan.factors:
        scaled = partial(task.scaled, factor) if task.scaled is not None and factor != 1 else task.network
        own = task if factor == 1 else replace(task, network=scaled, scaled=None)
        setup = Setup.of(own, make_engine(own, device, engine), seed=0)
        if factor in plan.ticket_widths:
            for sparsity in plan.sparsities:
                setup.units.space.n_kept(sparsity)
        same = any(setup.units.weights == other.units.weights for other in setups.values())
        if not same or factor in plan.ticket_widths:
            setups[factor] = setup
    return setups


@dataclass(frozen=True)
class _Price:
    """What a mask cost to find: epochs of the dense network, and FLOPs on kept weights."""

    epochs: float = 0.0
    sparse_flops: int = 0

    def and_training(self, point: Point) -> _Price:
        """With the training of a network on top."""
        return _Price(self.epochs + point.epochs, self.sparse_flops + point.sparse_flops)


@dataclass(frozen=True, eq=False)
class _Row:
    """A ticket to be trained, the curve it is on, and what its mask cost."""

    curve: str
    ticket: Ticket
    searched: _Price


class _Seed:
    """All networks of one seed.

    Args:
        setups: width -> task and engine; of any seed.
        plan: what to train.
        seed: of initial weights, data orders and masks.
        parts: keeps what is finished.
        identity: of the plan, for the parts.
        tick: progress.
    """

    def __init__(
        self, setups: Mapping[float, Setup], plan: Plan, seed: int, parts: ResumeStore, identity: str, tick: Tick
    ) -> None:
        self._setups = {factor: setup.of_seed(seed) for factor, setup in setups.items()}
        self._plan, self._seed, self._parts, self._identity, self._tick = plan, seed, parts, identity, tick
        self._cpu_s = 0.0

    def run(self) -> tuple[list[Point], float]:
        """Points, and the CPU seconds that they took."""
        points = [point for factor in self._setups for point in self._chain(factor)]
        return points, self._cpu_s

    def _chain(self, factor: float) -> list[Point]:
        """The dense network of one width, and the levels of IMP below it."""
        space = self._setups[factor].units.weights
        pruned = self._plan.sparsities if factor in self._plan.ticket_widths else []
        counts = levels(space.size, map(space.n_kept, pruned))
        points: list[Point] = []
        mask, price = np.ones(space.size, dtype=bool), _Price()
        for level in range(len(counts) + 1):
            following = counts[level] if level < len(counts) else None
            own, mask = self._level(factor, (level, len(counts)), mask, price, following)
            points += own
            price = price.and_training(own[0])
        return points

    def _level(
        self, factor: float, place: tuple[int, int], mask: BoolArray, price: _Price, following: int | None
    ) -> tuple[list[Point], BoolArray]:
        """One level, of how many: its networks, and the mask of the next, which keeps ``following`` weights."""
        space, (level, last), kept = self._setups[factor].units.weights, place, int(np.count_nonzero(mask))
        name = f"width-{factor:g}-level-{level}"
        saved = self._parts.load(name, self._identity)
        if saved is not None:
            self._cpu_s += saved.facts["cpu_s"]
            return [Point.model_validate_json(one) for one in saved.facts["points"]], saved.arrays["mask"]
        begun = time.process_time()
        rows = [_Row(IMP if level else DENSE, Ticket(mask), price)]
        if level and factor == 1:
            rows += self._others(mask)
        what = f"seed {self._seed}, width {factor:g}, level {level} of {last}, {kept:,} weights"
        points, final = self._trained(factor, level, rows, what)
        if following is not None:
            mask = space.top(np.where(mask, np.abs(final), np.float32(-np.inf)), following)
        cpu_s = time.process_time() - begun
        facts = {"points": [one.model_dump_json() for one in points], "cpu_s": cpu_s}
        self._parts.save(name, self._identity, {"mask": mask}, facts)
        self._cpu_s += cpu_s
        return points, mask

    def _others(self, mask: BoolArray) -> list[_Row]:
        """If the sparsity is asked for: a random mask with the layer counts of IMP's, and tickets of strategies."""
        setup, kept = self._setups[1.0], int(np.count_nonzero(mask))
        space = setup.units.weights
        asked = [sparsity for sparsity in self._plan.sparsities if space.n_kept(sparsity) == kept]
        if not asked:
            return []
        rng = stream(self._seed, "descent", "random", kept)
        rows = [_Row(RANDOM, Ticket(random_like(mask, space, rng)), _Price())]
        for name in self._plan.strategies:
            self._tick(f"seed {self._seed}, {name} searches at sparsity {asked[0]:g}", 0.0)
            rows.append(_searched(setup, name, asked[0], self._plan.budget))
        return rows

    def _trained(self, factor: float, level: int, rows: Sequence[_Row], what: str) -> tuple[list[Point], FloatArray]:
        """Points, and the trained weights ``(D,)`` of the first, which begins at step 0."""
        setup = self._setups[factor]
        task, recipe = setup.task, setup.task.recipe
        rng = stream(self._seed, "descent", "order", level)
        order = batch_indices(len(task.train.labels), recipe.batch_size, recipe.steps, rng)
        points: list[Point | None] = [None] * len(rows)
        final = setup.initial.vector
        for step in sorted({row.ticket.step for row in rows}):
            places = [place for place, row in enumerate(rows) if row.ticket.step == step]
            job = population([rows[place].ticket for place in places], setup.initial, recipe, order[step:])
            trained = self._run(setup, job, what)
            final = trained.vector[0] if step == 0 else final
            measures = [setup.engine.measure(trained, split) for split in (task.train, task.test)]
            moved = np.linalg.norm((trained.vector - job.start.vector).astype(np.float64), axis=1)
            for index, place in enumerate(places):
                points[place] = _point(setup, factor, rows[place], job, measures, index, float(moved[index]))
        return [point for point in points if point is not None], final

    def _run(self, setup: Setup, job: Job, what: str) -> Weights:
        """Networks after the whole recipe."""
        epoch = setup.task.steps_per_epoch
        stops = tuple(sorted({*range(epoch, job.steps, epoch), job.steps} - {0}))
        trained = job.start
        for done, (state, _) in enumerate(setup.engine.train(job, stops), start=1):
            trained = state
            self._tick(what, done / len(stops))
        return trained


def _point(
    setup: Setup, factor: float, row: _Row, job: Job, measures: Sequence[Measures], index: int, moved: float
) -> Point:
    """One row of a job that was trained, as it is recorded; measured on the training and on the test split."""
    mask, task = job.masks[index], setup.task
    cost = Cost(trainings=1) + setup.pricing.training(job.computed[index], job.steps * job.recipe.batch_size)
    kept, size = int(np.count_nonzero(mask)), mask.size
    train, test = measures
    return Point(
        curve=row.curve,
        width=factor,
        sparsity=1 - kept / size,
        n_kept=kept,
        n_weights=kept + _left_dense(setup),
        train_accuracy=float(train.accuracy[index]),
        train_loss=float(train.loss[index]),
        test_accuracy=float(test.accuracy[index]),
        test_loss=float(test.loss[index]),
        distance=moved,
        epochs=cost.epochs(len(task.train.labels)),
        sparse_flops=cost.sparse_flops,
        search_epochs=row.searched.epochs,
        search_flops=row.searched.sparse_flops,
    )


def _left_dense(setup: Setup) -> int:
    """Weights of layers that ``keep`` leaves dense."""
    if not setup.task.keep:
        return 0
    whole = replace(setup.task, keep=()).layout.space.size
    return whole - setup.units.weights.size


def _searched(setup: Setup, name: str, sparsity: float, budget: float) -> _Row:
    """A strategy's ticket, with default settings."""
    task = setup.task
    spec = Spec(
        strategy=name,
        distribution="",
        parameters={},
        task=task.name,
        task_fingerprint=task.fingerprint,
        sparsity=sparsity,
        budget=budget,
        fidelity=task.fidelity,
        seed=setup.seed,
        orders=1,
        controls=[],
        checkpoints=0,
        engine=setup.engine.name,
        device=setup.engine.device,
    )
    found = search(setup, spec, make_strategy(name, {}), Ledger(), Silent())
    spent = found.spent
    return _Row(name, found.ticket, _Price(spent.epochs(len(task.train.labels)), spent.sparse_flops))
