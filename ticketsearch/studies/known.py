"""Runs made elsewhere that answer what a study asks, from an archive or another folder: they are not made again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticketsearch import plugins
from ticketsearch.cost import parse_epochs, parse_fidelity
from ticketsearch.errors import TicketsearchError
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Baseline
from ticketsearch.strategies.base import make_strategy, parameters_of
from ticketsearch.studies.item import Common, loaded_task
from ticketsearch.studies.study import Item, Planned, PlannedBaseline, Study
from ticketsearch.tasks import Task

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Known:
    """Results and baselines by what they answer.

    A result answers a run of the same strategy, from the same distribution, with the same parameters, on the same data,
    recipe and network, with the same sparsity, seed, budget, fidelity, confirmation and device, which has all controls
    that are asked for, and checkpoints if any are, however many. It may be of another version of the code, and of
    another machine.

    Attributes:
        results: of finished runs.
        baselines: likewise.
        device: of the study.
        engine: likewise; ``auto`` is content with any.
    """

    results: dict[Key, list[Result]] = field(default_factory=dict)
    baselines: dict[Key, list[Baseline]] = field(default_factory=dict)
    device: str = "cpu"
    engine: str = "auto"

    @classmethod
    def of(cls, results: Iterable[Result], baselines: Iterable[Baseline], study: Study) -> Known:
        """What there is, for a study."""
        by_run: dict[Key, list[Result]] = defaultdict(list)
        for result in sorted(results, key=lambda one: (-len(one.references), one.run)):
            kept = result.granularity, tuple(result.keep), result.seed, result.budget
            by_run[(result.strategy, result.sparsity, *kept, result.orders)].append(result)
        by_task: dict[Key, list[Baseline]] = defaultdict(list)
        for one in baselines:
            by_task[one.sparsity, one.granularity, tuple(one.keep), one.seed, one.budget].append(one)
        return cls(dict(by_run), dict(by_task), study.device, study.engine)

    def answer(self, item: Item, task_of: Callable[[Item], Task]) -> Result | Baseline | None:
        """The one to an item, if there is one; its task is loaded only if there may be."""
        kept = item.sparsity, item.granularity, item.keep, item.seed, parse_epochs(item.budget)
        try:
            if isinstance(item, Planned):
                candidates = self.results.get((item.strategy, *kept, item.orders), [])
                return self._result(item, candidates, task_of) if candidates else None
            baselines = self.baselines.get(kept, [])
            return self._baseline(item, baselines, task_of) if baselines else None
        except TicketsearchError:
            return None  # whoever makes the run says what is wrong with it

    def _result(self, item: Planned, candidates: list[Result], task_of: Callable[[Item], Task]) -> Result | None:
        parameters = parameters_of(make_strategy(item.strategy, item.settings))
        defaults = parameters_of(make_strategy(item.strategy, {}))
        distribution = plugins.find(plugins.STRATEGIES, item.strategy).distribution
        fitting = [
            one
            for one in candidates
            if one.distribution == distribution
            and {**defaults, **one.parameters} == parameters  # those of an older version lack what came later
            and set(item.controls) <= set(one.references)
            and (one.checkpoints > 0 or item.checkpoints == 0)
            and one.time_limit_s is None
            and one.device == self.device
            and self.engine in ("auto", one.engine)
        ]
        if not fitting:
            return None
        task = task_of(item)
        length = parse_fidelity(task.fidelity if item.fidelity is None else item.fidelity, task.steps_per_epoch)
        same = [one for one in fitting if (one.task, one.task_fingerprint) == (task.name, task.fingerprint)]
        return next((one for one in same if (one.fidelity, one.fidelity_end) == length), None)

    def _baseline(
        self, item: PlannedBaseline, candidates: list[Baseline], task_of: Callable[[Item], Task]
    ) -> Baseline | None:
        task = task_of(item)
        steps, _ = parse_fidelity(task.fidelity if item.fidelity is None else item.fidelity, task.steps_per_epoch)
        return next(
            (one for one in candidates if (one.task_fingerprint, one.fidelity) == (task.fingerprint, steps)), None
        )


def answers_to(items: Sequence[Item], known: Known | None, common: Common) -> dict[int, Result | Baseline]:
    """What is known already, by the numbers of the items."""
    from ticketsearch.tasks import keeping

    if known is None:
        return {}

    def task_of(item: Item) -> Task:
        return keeping(loaded_task(item, common), item.keep)

    answers = ((index, known.answer(item, task_of)) for index, item in enumerate(items))
    return {index: answer for index, answer in answers if answer is not None}
