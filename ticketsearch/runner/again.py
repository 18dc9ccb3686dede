"""A recorded search, again: evaluations answered from its ledger, and the masks it asked about brought back.

A ledger knows masks by their digests only; the strategy, asked again, names them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import InvalidValue
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.evaluator import Evaluator
from ticketsearch.problem.short import ShortTrainings
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import Ledger, Record, read_record
from ticketsearch.records.results import read_result
from ticketsearch.records.spec import Spec, read_spec
from ticketsearch.runner.progress import Progress, Silent
from ticketsearch.runner.search import Searched, search
from ticketsearch.runner.setup import Setup
from ticketsearch.strategies.base import Strategy, make_strategy


def search_again(
    setup: Setup,
    spec: Spec,
    strategy: Strategy,
    record: Record,
    sample: dict[int, ShortTrainings | None],
    progress: Progress,
) -> Searched:
    """Replay a search in memory.

    Args:
        setup: the run's.
        spec: the run's.
        strategy: as it was.
        record: what its ledger holds.
        sample: numbers of trials; filled with the evaluations of these numbers, as far as the search gets.
        progress: watches.

    Raises:
        CorruptRun, StrategyError: it goes another way.
    """

    class LookingOn(Evaluator):
        def looked_on(self, first: int, trainings: ShortTrainings) -> None:
            for row in range(len(trainings.masks)):
                if first + row in sample:
                    sample[first + row] = trainings.only(row)

    class LookedOn(MaskProblem):
        evaluator_type = LookingOn

    with Ledger() as memory:
        memory.append(record.trials)
        if record.ended is not None:
            memory.end(*record.ended)
        return search(setup, spec, strategy, memory, progress, problem_type=LookedOn)


def searched_masks(folder: Path, setup: Setup, count: int) -> BoolArray:
    """Masks that a finished run evaluated, ``(P, U)``, evenly spaced over its search, each once.

    Raises:
        NotARun: no finished run is there.
        InvalidValue: it evaluated fewer than three different masks.
        CorruptRun, StrategyError: its search goes another way when it is replayed.
    """
    read_result(folder)
    spec, record = read_spec(folder), read_record(folder / LEDGER)
    first = {trial.mask: trial.number for trial in reversed(record.trials) if trial.kind == "evaluate"}
    numbers = sorted(first.values())
    if len(numbers) < 3:
        raise InvalidValue(f"{folder}: its search evaluated {len(numbers)} masks; three are needed to rank any")
    places = np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int))
    sample: dict[int, ShortTrainings | None] = dict.fromkeys(numbers[place] for place in places)
    strategy = make_strategy(spec.strategy, spec.parameters)
    search_again(setup, spec, strategy, record, sample, Silent())
    return np.concatenate([asked.masks for _, asked in sorted(sample.items()) if asked is not None])
