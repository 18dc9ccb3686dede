"""Ablations: what makes a ticket one? Criterion x mask-1 x mask-0, each cell trained in full, and untrained.

Source: Zhou et al., "Deconstructing lottery tickets" (arXiv:1905.01067), figures 3, 4 and 5. For each seed the dense
network is trained once; each criterion chooses a mask of the same number of weights in every layer; actions
(:mod:`ticketsearch.masks.actions`) make tickets of it. All cells of a seed see the same batches in the same order, so
differences between them are paired. What a seed gave is kept in a file of its own; the same ablation again goes on.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from ticketsearch.arrays import FloatArray, IntArray
from ticketsearch.digests import digest_of_json
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import MaskSpace, apportion, top_per_layer
from ticketsearch.masks.actions import MASK_0, MASK_1, act, check_actions
from ticketsearch.masks.criteria import FORMULAS, check_criterion
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.files import write_atomically
from ticketsearch.runner.progress import Tick
from ticketsearch.seeds import stream
from ticketsearch.studies.seedwise import folder_in, seed_by_seed

if TYPE_CHECKING:
    from ticketsearch.runner.setup import Setup
    from ticketsearch.tasks import Task

CRITERIA = (*FORMULAS, "random")
"""Criteria that can be compared: functions of initial and final weights, and chance."""
BLOCK_BYTES = 2**28


@dataclass(frozen=True)
class Cell:
    """One way to make a ticket."""

    criterion: str
    mask_1: str
    mask_0: str


class Outcome(BaseModel):
    """What one cell gave: test accuracy after the full recipe, and before its first step."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    criterion: str
    mask_1: str
    mask_0: str
    test_accuracy: float
    untrained_test_accuracy: float

    @property
    def cell(self) -> Cell:
        """Which one."""
        return Cell(self.criterion, self.mask_1, self.mask_0)


class SeedOutcome(BaseModel):
    """All cells of one seed, and the dense network they were cut from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    task: str
    sparsity: float
    seed: int
    dense_test_accuracy: float
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Spec:
    """Everything that decides an ablation's numbers but the seed; its digest names the folder."""

    task: str
    task_fingerprint: str
    sparsity: float
    output_rate: float
    cells: list[Cell]
    engine: str
    device: str

    @property
    def names(self) -> tuple[str, str, str]:
        """Of the folder."""
        return self.task, f"{self.sparsity:g}", digest_of_json(asdict(self), size=6)


def cells_of(
    criteria: Sequence[str] = CRITERIA,
    mask_1: Sequence[str] = MASK_1,
    mask_0: Sequence[str] = MASK_0,
    *,
    product: bool = False,
) -> list[Cell]:
    """The cells of a table.

    Args:
        criteria: names; the first is the base that others are compared with.
        mask_1: likewise.
        mask_0: likewise.
        product: every combination; else one thing at a time is varied from the base.

    Raises:
        UnknownName: no such criterion or action.
        InvalidValue: nothing of one kind, or a criterion that is no function of initial and final weights.
    """
    for kind, names in (("criteria", criteria), ("mask-1 actions", mask_1), ("mask-0 actions", mask_0)):
        if not names:
            raise InvalidValue(f"no {kind} are given; name at least one")
    for criterion in criteria:
        if check_criterion(criterion) not in CRITERIA:
            raise InvalidValue(f"criterion {criterion!r} needs more than weights; the table has {', '.join(CRITERIA)}")
    for one, zero in itertools.product(mask_1, mask_0):
        check_actions(one, zero)
    if product:
        wanted = [Cell(*names) for names in itertools.product(criteria, mask_1, mask_0)]
    else:
        wanted = [Cell(criterion, mask_1[0], mask_0[0]) for criterion in criteria]
        wanted += [Cell(criteria[0], one, mask_0[0]) for one in mask_1]
        wanted += [Cell(criteria[0], mask_1[0], zero) for zero in mask_0]
    return list(dict.fromkeys(wanted))


@dataclass(frozen=True)
class Plan:
    """What an ablation compares.

    Attributes:
        cells: see :func:`cells_of`.
        sparsity: fraction pruned, in [0, 1), the same in every layer but the last.
        output_rate: the last layer's, relative to the others'; the paper's perceptrons have one half.
        seeds: one dense training each.
    """

    cells: Sequence[Cell]
    sparsity: float = 0.9
    output_rate: float = 1.0
    seeds: Sequence[int] = range(5)


def ablate(
    task: str | Task,
    plan: Plan,
    *,
    out: str | os.PathLike[str] = "ablations",
    device: str = "cpu",
    engine: str = "auto",
    tick: Tick | None = None,
) -> list[SeedOutcome]:
    """Train every cell for every seed; what is on disk already is read back.

    Args:
        task: a registered name, ``"package.module:function"``, or a :class:`ticketsearch.Task`.
        plan: what to compare.
        out: folder of ablations.
        device: as in :func:`ticketsearch.run`.
        engine: likewise.
        tick: progress.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        CorruptRun: a seed's file is damaged.
    """
    from ticketsearch.engine import make_engine
    from ticketsearch.runner.setup import Setup
    from ticketsearch.tasks import Task, load_task

    loaded = task if isinstance(task, Task) else load_task(task)
    setup = Setup.of(loaded, make_engine(loaded, device, engine), seed=0)
    _counts(setup.units.weights, plan.sparsity, plan.output_rate)
    spec = Spec(
        task=loaded.name,
        task_fingerprint=loaded.fingerprint,
        sparsity=float(plan.sparsity),
        output_rate=float(plan.output_rate),
        cells=list(plan.cells),
        engine=setup.engine.name,
        device=device,
    )
    folder = folder_in(out, *spec.names)
    write_atomically(folder / "ablation.json", (json.dumps(asdict(spec), indent=1) + "\n").encode())
    return seed_by_seed(folder, SeedOutcome, plan.seeds, lambda seed: _Seed(setup.of_seed(seed), spec, tick).run())


def _counts(space: MaskSpace, sparsity: float, output_rate: float) -> IntArray:
    """Kept weights of each layer, ``(L,)``: one sparsity for all but the last, whose is ``output_rate`` times that."""
    n_kept = space.n_kept(sparsity)
    if not 0 < output_rate <= 1:
        raise InvalidValue(f"output_rate {output_rate!r} is not in (0, 1]")
    if output_rate == 1 or len(space.layers) == 1 or not space.output:
        return layer_counts("uniform", space, n_kept)
    relative = np.ones(len(space.layers))
    relative[-1] = output_rate
    rate = (space.size - n_kept) / float((space.sizes * relative).sum())
    if rate >= 1:
        raise InvalidValue(f"sparsity {sparsity} with output_rate {output_rate} leaves the other layers empty")
    return apportion(space.sizes * (1 - rate * relative), n_kept, space.sizes)


class _Seed:
    """One seed's dense training and its cells."""

    def __init__(self, setup: Setup, spec: Spec, tick: Tick | None) -> None:
        from ticketsearch.engine import batch_indices

        self._setup, self._spec, self._tick = setup, spec, tick
        self._seed, self._space, self._initial = setup.seed, setup.units.weights, setup.initial
        recipe, size = setup.task.recipe, len(setup.task.train.labels)
        # What makes the masks sees another order than what trains the cells: no criterion gains by shared noise.
        self._batches, self._dense_batches = (
            batch_indices(size, recipe.batch_size, recipe.steps, stream(setup.seed, "ablation", name))
            for name in ("batches", "dense")
        )

    def run(self) -> SeedOutcome:
        """Dense first: its final weights are what criteria and actions look at."""
        dense = Ticket(np.ones(self._space.size, dtype=bool))
        trained, [(accuracy, _)] = self._train([dense], "dense network", self._dense_batches)
        tickets = list(self._tickets(trained.vector[0]))
        block = max(1, BLOCK_BYTES // (24 * self._space.size))
        measured: list[tuple[float, float]] = []
        for first in range(0, len(tickets), block):
            what = f"seed {self._seed}: cells {first + 1} to {min(first + block, len(tickets))} of {len(tickets)}"
            measured += self._train(tickets[first : first + block], what, self._batches)[1]
        return SeedOutcome(
            task=self._spec.task,
            sparsity=self._spec.sparsity,
            seed=self._seed,
            dense_test_accuracy=accuracy,
            outcomes=[
                Outcome(**asdict(cell), test_accuracy=after, untrained_test_accuracy=before)
                for cell, (after, before) in zip(self._spec.cells, measured, strict=True)
            ],
        )

    def _tickets(self, final: FloatArray) -> Iterator[Ticket]:
        """One for each cell; streams are named by what they draw, so a cell does not depend on the others."""
        counts = _counts(self._space, self._spec.sparsity, self._spec.output_rate)
        for cell in self._spec.cells:
            if cell.criterion == "random":
                scores = stream(self._seed, "ablation", "random").random(self._space.size, dtype=np.float32)
            else:
                scores = FORMULAS[cell.criterion](self._initial.vector, final)
            mask = top_per_layer(scores, counts, self._space)
            rng = stream(self._seed, "ablation", "actions")
            yield act(mask, self._initial, final, self._space, rng, cell.mask_1, cell.mask_0)

    def _train(
        self, tickets: Sequence[Ticket], what: str, batches: IntArray
    ) -> tuple[Weights, list[tuple[float, float]]]:
        """Trained weights, and test accuracies after and before."""
        from ticketsearch.runner.confirm import population

        task, engine = self._setup.task, self._setup.engine
        job = population(tickets, self._initial, task.recipe, batches)
        stops = tuple(sorted({*range(task.steps_per_epoch, job.steps, task.steps_per_epoch), job.steps}))
        before, trained = engine.measure(job.start, task.test).accuracy, job.start
        for done, (state, _) in enumerate(engine.train(job, stops), start=1):
            trained = state
            if self._tick:
                self._tick(what, done / len(stops))
        after = engine.measure(trained, task.test).accuracy
        return trained, list(zip(after.tolist(), before.tolist(), strict=True))
