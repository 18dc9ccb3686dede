"""What a study will take, and what of IMP's frontier its budget cannot pay: before any of it is run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketsearch.cost import parse_epochs
from ticketsearch.errors import TicketsearchError
from ticketsearch.records.folder import RESULT, run_folders
from ticketsearch.records.results import Result
from ticketsearch.records.spec import read_spec
from ticketsearch.records.study_records import Baseline
from ticketsearch.strategies.base import make_strategy, parameters_of
from ticketsearch.studies.item import Common, loaded_task
from ticketsearch.studies.known import Known, answers_to
from ticketsearch.studies.study import Item, Planned, Study, planned

if TYPE_CHECKING:
    from ticketsearch.runner.forecast import Speed
    from ticketsearch.runner.setup import Setup


@dataclass(frozen=True)
class Ahead:
    """What lies ahead.

    Attributes:
        items: to be made or read back; without what the budget cannot pay.
        left_out: points of IMP's frontier that it cannot pay, a line each.
        answers: what is known from elsewhere, by the items' numbers.
        finished: how many items are known or finished already, as far as their folders tell at a glance.
        seconds: wall time of the others on this machine, at most.
        unknown: items whose time cannot be told; they will say why.
    """

    items: list[Item]
    left_out: list[str]
    answers: dict[int, Result | Baseline]
    finished: int
    seconds: float
    unknown: int


def look_ahead(items: Sequence[Item], common: Common, known: Known | None = None) -> Ahead:
    """Time a few steps of each task and sparsity, and add up.

    Args:
        items: planned.
        common: their folder, device, engine, and how many are made at a time.
        known: runs made elsewhere.
    """
    setups = _Setups(common)
    kept: list[Item] = []
    left_out: dict[str, None] = {}
    for item in items:
        reason = "" if not isinstance(item, Planned) or item.wished else setups.too_dear(item)
        if reason:
            left_out[f"{item.row}: {reason}"] = None
        else:
            kept.append(item)
    answers, there = answers_to(kept, known, common), _finished(common.out)
    seconds, finished, unknown = 0.0, 0, 0
    for number, item in enumerate(kept):
        if number in answers or (there and _name(item, common) in there):
            finished += 1
            continue
        try:
            seconds += setups.seconds(item)
        except TicketsearchError:
            unknown += 1
    return Ahead(kept, list(left_out), answers, finished, seconds / common.jobs, unknown)


def untimed(study: Study, known: Known | None, data_root: Path | None = None) -> Ahead:
    """A study's items, and what is known of them from elsewhere; nothing is left out or timed."""
    items = planned(study)
    answers = answers_to(items, known, Common(study.out, study.device, study.engine, data_root, False))
    return Ahead(items, [], answers, len(answers), 0.0, 0)


class _Setups:
    """Tasks made ready, and how fast they are, each once."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._setups: dict[str, Setup] = {}
        self._speeds: dict[str, Speed] = {}

    def too_dear(self, item: Planned) -> str:
        """Why its budget cannot pay for a search whose length is set; empty if it can, or if nobody can tell."""
        from ticketsearch.runner.forecast import Foreseeable, known_problem, needed_epochs

        budget = parse_epochs(item.budget)
        with suppress(TicketsearchError):
            strategy = make_strategy(item.strategy, item.settings)
            if isinstance(strategy, Foreseeable):
                needs = needed_epochs(strategy, known_problem(self._setup(item), item.sparsity, budget))
                return f"needs {needs:.4g}ep of a budget of {budget:g}ep" if needs > budget else ""
        return ""

    def seconds(self, item: Item) -> float:
        """Wall time of an item on this machine, at most.

        Raises:
            TicketsearchError: it cannot be made.
        """
        from ticketsearch.runner.forecast import Extent, forecast

        setup, speed, budget = self._setup(item), self._speed(item), parse_epochs(item.budget)
        if isinstance(item, Planned):
            strategy = make_strategy(item.strategy, item.settings)
            extent = Extent(item.orders, item.checkpoints, item.controls)
            return forecast(setup, strategy, item.sparsity, budget, extent, speed).seconds
        from ticketsearch.studies.baseline import MASKS, ORDERS

        recipe, size = setup.task.recipe, len(setup.task.train.labels)
        masks = MASKS * ORDERS * 3 * recipe.steps * recipe.batch_size
        return masks * speed.masked + budget * 3 * size * speed.dense

    def _setup(self, item: Item) -> Setup:
        from ticketsearch.engine import make_engine
        from ticketsearch.runner.setup import Setup
        from ticketsearch.tasks import keeping

        key = self._key(item)
        if key not in self._setups:
            task = keeping(loaded_task(item, self._common), item.keep)
            engine = make_engine(task, self._common.device, self._common.engine, self._common.workers)
            self._setups[key] = Setup.of(task, engine, item.seed, item.granularity)
        return self._setups[key]

    def _speed(self, item: Item) -> Speed:
        from ticketsearch.runner.forecast import measure_speed

        key = f"{self._key(item)} {item.sparsity}"
        if key not in self._speeds:
            self._speeds[key] = measure_speed(self._setup(item), item.sparsity)
        return self._speeds[key]

    @staticmethod
    def _key(item: Item) -> str:
        return json.dumps([item.task, item.task_options, item.granularity, item.keep], sort_keys=True, default=str)


def _finished(out: str) -> set[str]:
    """Names of finished runs in a folder, by what they were asked."""
    names = set()
    with suppress(TicketsearchError):
        for folder in run_folders(out):
            if (folder / RESULT).is_file():
                with suppress(TicketsearchError):
                    spec = read_spec(folder)
                    names.add(_asked(spec.strategy, spec.parameters, spec.task, spec.sparsity, spec.seed, spec.budget))
    return names


def _name(item: Item, common: Common) -> str:
    """As a finished run of it is named; empty if there can be none."""
    if not isinstance(item, Planned):
        return ""
    try:
        parameters = parameters_of(make_strategy(item.strategy, item.settings))
        task = loaded_task(item, common).name
    except TicketsearchError:
        return ""
    return _asked(item.strategy, parameters, task, item.sparsity, item.seed, parse_epochs(item.budget))


def _asked(strategy: str, parameters: dict[str, Any], task: str, sparsity: float, seed: int, budget: float) -> str:
    return json.dumps([strategy, parameters, task, sparsity, seed, budget], sort_keys=True)
