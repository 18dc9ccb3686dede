"""What every step of a run shares, put together once: the task, its engine, its units, where the weights begin."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ticketsearch.cost import Meter
from ticketsearch.engine import Engine
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units
from ticketsearch.plugins import TASKS, available
from ticketsearch.problem.pricing import Pricing
from ticketsearch.problem.replay import Replay
from ticketsearch.problem.session import Session
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.spec import Spec
from ticketsearch.runner.audit import Prices
from ticketsearch.tasks import DataSource, Task, keeping, load_task
from ticketsearch.tasks.channels import make_units
from ticketsearch.tasks.layout import read_weights


@dataclass(frozen=True, eq=False)
class Setup:
    """A task made ready to be trained.

    Attributes:
        task: data, recipe, network.
        engine: trains it.
        units: what masks are of.
        seed: of the initial weights and of all random streams.
        initial: the weights of that seed, ``(D,)`` and ``(R,)``.
    """

    task: Task
    engine: Engine
    units: Units
    seed: int
    initial: Weights

    @classmethod
    def of(cls, task: Task, engine: Engine, seed: int, granularity: str = "weight") -> Setup:
        """Make it.

        Raises:
            InvalidValue: the network has no such units.
        """
        units = make_units(granularity, engine.layout, task.build(seed=0), task.train.inputs[:1])
        return cls(task, engine, units, seed, read_weights(task.build(seed), engine.layout))

    def of_seed(self, seed: int) -> Setup:
        """The same for another seed."""
        return replace(self, seed=seed, initial=self.drawn(seed))

    def with_initial(self, initial: Weights) -> Setup:
        """The same with other initial weights."""
        return replace(self, initial=initial)

    def drawn(self, seed: int) -> Weights:
        """Initial weights of another seed."""
        return read_weights(self.task.build(seed), self.engine.layout)

    @property
    def pricing(self) -> Pricing:
        """What work on its networks costs."""
        return Pricing(self.engine.layout.space, self.engine.layout.fixed_flops)

    @property
    def prices(self) -> Prices:
        """What trials of a search on it cost."""
        layout, task = self.engine.layout, self.task
        flops = layout.space.flops_per_example() + layout.fixed_flops
        return Prices(task.recipe.batch_size, len(task.validation.labels), flops, len(task.train.labels))

    def session(
        self, sparsity: float, fidelity: int, meter: Meter, ledger: Ledger, fidelity_end: int | None = None
    ) -> Session:
        """A search on it, as yet without a strategy."""
        return Session(
            engine=self.engine,
            validation=self.task.validation,
            labels=self.task.train.labels.numpy(),
            recipe=self.task.recipe,
            initial=self.initial,
            units=self.units,
            seed=self.seed,
            sparsity=sparsity,
            fidelity=fidelity,
            fidelity_end=fidelity_end,
            meter=meter,
            replay=Replay(ledger),
        )


def task_of(spec: Spec, task: str | Task | None = None, source: DataSource | None = None) -> Task:
    """The task of a run, with the data and the recipe that the run had.

    Args:
        spec: the run's.
        task: where the task is, if its own name does not say: a name, ``"package.module:function"`` or a task.
        source: where data sets lie.

    Raises:
        UnknownName: the run's own name of it leads nowhere.
        InvalidValue: it is another one.
    """
    from ticketsearch.tasks import Task  # torch

    if isinstance(task, Task):
        found = task
    else:
        try:
            found = load_task(task or spec.task, source, spec.task_options)
        except UnknownName as error:
            if task is not None or error.name != spec.task:
                raise
            hint = "; if it is your own, say where: --task package.module:function, or task=... in Python"
            known = [plugin.name for plugin in available(TASKS)]
            raise UnknownName("task", spec.task, known, hint) from error
    if found.fingerprint != spec.task_fingerprint:
        raise InvalidValue(
            f"task {found.name!r} has other data or another recipe than the run's (fingerprint {found.fingerprint}, "
            f"the run's is {spec.task_fingerprint}); name the run's own task"
        )
    return keeping(found, spec.keep or ())
