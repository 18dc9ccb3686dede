"""One's own strategies on what others were measured on: the tasks, sparsities, seeds and settings of finished runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ticketsearch.errors import InvalidValue
from ticketsearch.masks.controls import NAMES as CONTROLS
from ticketsearch.records.results import Result
from ticketsearch.studies.study import Grid


@dataclass(frozen=True)
class Protocol:
    """How runs were made and confirmed.

    Attributes:
        budget: of the search, in epochs of the dense network.
        fidelity: of the evaluator, in steps, where it begins and where it ends.
        orders: full trainings of each ticket.
        checkpoints: confirmed on the way.
    """

    budget: float
    fidelity: tuple[int, int]
    orders: int
    checkpoints: int

    @classmethod
    def of(cls, result: Result) -> Protocol:
        """That of a run."""
        ends = result.fidelity, result.fidelity_end or result.fidelity
        return cls(result.budget, ends, result.orders, result.checkpoints)

    def as_grid(self) -> dict[str, Any]:
        """As a study's grid has it."""
        low, high = self.fidelity
        return {
            "budget": f"{self.budget:.10g}ep",
            "fidelity": low if low == high else f"{low}step..{high}step",
            "orders": self.orders,
            "checkpoints": self.checkpoints,
        }


def grids_against(results: Sequence[Result], asked: Grid) -> list[dict[str, Any]]:
    """Grids of a study on what results are of, one for each task, sparsity, granularity and layers left dense.

    Budget, fidelity and confirmation are those of most searches there (runs that do nothing but evaluate masks), or, if
    there is none, of most runs; of equally many, those with the larger budget.

    Args:
        results: of finished runs.
        asked: strategies; of what else it says, ``tasks``, ``sparsities`` and ``seeds`` choose from what there is, and
            all other keys replace it.

    Raises:
        InvalidValue: there is nothing of what is asked for.
    """
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for one in results:
        options = json.dumps(one.task_options, sort_keys=True)
        groups[one.task_source or one.task, options, one.sparsity, one.granularity, tuple(one.keep)].append(one)
    said = asked.model_dump(exclude_unset=True)
    grids = [_grid(key, own, said) for key, own in groups.items() if _wanted(own[0], asked)]
    grids = [grid for grid in grids if grid["seeds"]]
    if not grids:
        there = ", ".join(sorted({f"{one.task} at {one.sparsity:g}" for one in results}))
        seeds = sorted({one.seed for one in results})
        raise InvalidValue(f"there is no run of what is asked for; there are {there}; seeds {seeds[0]} to {seeds[-1]}")
    return grids


def _wanted(result: Result, asked: Grid) -> bool:
    """Whether a run's task and sparsity are among those asked for, or nothing is said of them."""
    tasks = "tasks" not in asked.model_fields_set or any(
        one.name in (result.task, result.task_source) and one.settings.items() <= result.task_options.items()
        for one in asked.tasks
    )
    return tasks and ("sparsities" not in asked.model_fields_set or result.sparsity in asked.sparsities)


def _grid(key: tuple[Any, ...], results: Sequence[Result], said: dict[str, Any]) -> dict[str, Any]:
    task, options, sparsity, granularity, keep = key
    protocol = _usual(results)
    own = [one for one in results if Protocol.of(one) == protocol]
    seeds = {one.seed for one in results}
    return {
        "granularity": granularity,
        "keep": list(keep),
        **protocol.as_grid(),
        "controls": [name for name in CONTROLS if all(name in one.references for one in own)],
        "baselines": False,
        **said,
        "tasks": [{"name": task, "settings": json.loads(options)}],
        "sparsities": [sparsity],
        "seeds": sorted(seeds & set(said.get("seeds", seeds))),
    }


def _usual(results: Sequence[Result]) -> Protocol:
    searches = [one for one in results if one.calls.keys() == {"evaluate"}]
    counts = Counter(map(Protocol.of, searches or results))
    return max(counts, key=lambda one: (counts[one], one.budget, one.fidelity, one.orders, one.checkpoints))
