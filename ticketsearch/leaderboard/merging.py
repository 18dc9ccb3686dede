"""Studies put together: what two of them share is counted once, what contradicts itself is named, nothing is lost.

The same run is the same work: its folder's name is a digest of everything that decides its outcome. Made twice, on two
machines, it has the same outcome, and differs in seconds and dates; the one that finished first is kept. Where the
outcomes differ, by a change of the code or of the arithmetic of a machine, all are kept, each under a name of its own.
So it makes no difference in which order studies are put together, or in how many steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ticketsearch.cost import parse_epochs
from ticketsearch.digests import digest_of_json
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.studies import LoadedStudy
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Baseline, Failure

MARK = "~"
"""Between the name of a run and what tells it from others of that name."""


def merged(studies: Sequence[LoadedStudy]) -> LoadedStudy:
    """One study of several; a single one stays as it is. Results are in the order of their runs' names."""
    if len(studies) == 1:
        return studies[0]
    results, conflicts = _merged_results(one for study in studies for one in study.results)
    finished: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for run in results:
        finished[_asked(run, run.budget)].append(run)
    failures = [one for one in _distinct(studies, "failures") if not _made_good(one, finished)]
    told = [*(line for study in studies for line in study.problems), *conflicts]
    return LoadedStudy(
        results,
        _distinct(studies, "baselines"),
        failures,
        list(dict.fromkeys(told)),
        sum(study.unfinished for study in studies),
    )


def name_of(result: Result) -> str:
    """A run's name: its folder's, wherever that lies."""
    return Path(result.run).name.partition(MARK)[0]


def outcome_of(result: Result) -> str:
    """A digest of what a run found and spent, apart from seconds."""
    curve = [(point.mask_digest, point.test_accuracy, point.cost.epochs) for point in result.curve]
    references = {name: one.test_accuracies for name, one in result.references.items()}
    found = [result.mask_digest, result.confirmation.test_accuracies, result.cost.epochs, curve, references]
    return digest_of_json(found)


def _merged_results(results: Iterable[Result]) -> tuple[list[Result], list[str]]:
    """One for each run and outcome; and a line for each run with more than one."""
    by_name: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        by_name[name_of(result)][outcome_of(result)].append(result)
    kept, conflicts = [], []
    for name, outcomes in sorted(by_name.items()):
        firsts = [_first(same) for _, same in sorted(outcomes.items())]
        if len(firsts) > 1:
            accuracies = " and ".join(f"{100 * one.test_accuracy:.2f} %" for one in firsts)
            conflicts.append(
                f"run {name} has more than one outcome ({accuracies}, of ticketsearch "
                f"{' and '.join(one.versions.get('ticketsearch', '?') for one in firsts)}); all are kept, one counts"
            )
        kept.append(firsts[0].model_copy(update={"run": _renamed(firsts[0], "")}))
        kept += [
            one.model_copy(update={"run": _renamed(one, MARK + digest[:6])})
            for digest, one in zip(sorted(outcomes)[1:], firsts[1:], strict=True)
        ]
    return kept, conflicts


def _first(same: Sequence[Result]) -> Result:
    """Of results of one run and outcome the one that is taken; where they lie makes no difference."""

    def place(result: Result) -> tuple[str, str]:
        return result.finished, digest_of_json(result.model_dump(mode="json", exclude={"run", "ticket"}))

    return min(same, key=place) if len(same) > 1 else same[0]


def _renamed(result: Result, mark: str) -> str:
    place = Path(result.run)
    return str(place.with_name(place.name.partition(MARK)[0] + mark))


def _distinct(studies: Sequence[LoadedStudy], kind: str) -> list[Any]:
    """Records of a kind, each once, in an order of their own."""
    found: Iterator[Baseline | Failure] = (one for study in studies for one in getattr(study, kind))
    return [one for _, one in sorted({one.model_dump_json(): one for one in found}.items())]


def _asked(one: Result | Failure, budget: float) -> tuple[object, ...]:
    """What a run and a failure of the same work have in common, apart from settings."""
    return one.strategy, one.task, one.sparsity, one.granularity, one.seed, tuple(one.keep), budget


def _made_good(failure: Failure, finished: Mapping[tuple[object, ...], Sequence[Result]]) -> bool:
    """Whether a run that failed is finished elsewhere."""
    try:
        budget = parse_epochs(failure.budget)
    except InvalidValue:
        return False
    settings = (*failure.settings.items(), *failure.task_options.items())
    return any(
        all((run.parameters | run.task_options).get(key) == value for key, value in settings)
        for run in finished.get(_asked(failure, budget), ())
    )
