"""Whether a study can be sent to somebody: what is in it, what is missing or wrong, what came out again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ticketsearch.digests import digest_of_json
from ticketsearch.leaderboard.merging import name_of, outcome_of
from ticketsearch.leaderboard.studies import LoadedStudy
from ticketsearch.leaderboard.table import build, label_of
from ticketsearch.records.results import Result
from ticketsearch.seeds import stream
from ticketsearch.studies.again import Repeated

LIBRARIES = ("ticketsearch", "python", "torch", "numpy")
"""Whose versions are told."""


@dataclass(frozen=True)
class Soundness:
    """What a check found.

    Attributes:
        runs: finished ones.
        contents: a line for each task and sparsity: strategies and seeds.
        made_by: versions of libraries, engines, devices and processors, each with its number of runs.
        faults: what cannot be read or contradicts itself, has failed, is unfinished, or has two outcomes.
        gaps: seeds that a strategy lacks and others have.
        sample: runs made again.
    """

    runs: int
    contents: list[str]
    made_by: dict[str, dict[str, int]]
    faults: list[str]
    gaps: list[str]
    sample: list[Repeated]

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or wrong."""
        return not (self.faults or self.gaps or any(one.differences for one in self.sample))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"sound": self.sound, **asdict(self)}


def soundness_of(study: LoadedStudy, sample: Sequence[Repeated]) -> Soundness:
    """What can be said of a study.

    Args:
        study: to be checked.
        sample: of its runs, made again: those that :func:`drawn` names, by :func:`ticketsearch.studies.again.repeat`.
    """
    results = study.results
    contents, gaps = _contents(results)
    failed = [
        f"{one.strategy} on {one.task} at {one.sparsity:g}, seed {one.seed}: {one.reason}" for one in study.failures
    ]
    faults = [*study.problems, *_conflicts(results), *(f"failed: {line}" for line in failed)]
    if study.unfinished:
        faults.append(f"unfinished: {study.unfinished} runs; the command that began them goes on with them")
    return Soundness(len(results), contents, _made_by(results), faults, gaps, list(sample))


def drawn(study: LoadedStudy, size: int) -> list[Result]:
    """A sample of runs, the same for the same study; none that ended by the clock, where no machine ends alike."""
    runs = sorted((one for one in study.results if one.time_limit_s is None), key=name_of)
    seed = int(digest_of_json([[name_of(one), outcome_of(one)] for one in runs])[:8], 16)
    return [runs[index] for index in stream(seed, "soundness").permutation(len(runs))[:size]]


def _contents(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """A line for each task and sparsity, and one for each strategy that lacks seeds others have."""
    contents, gaps = [], []
    for group in build(results):
        seeds = {seed for row in group.rows for seed in row.seeds}
        place, strategies = f"{group.task} at {group.sparsity:g}", {row.strategy for row in group.rows}
        contents.append(f"{place}: {len(group.rows)} lines of {len(strategies)} strategies, {len(seeds)} seeds")
        for row in group.rows:
            missing = sorted(seeds - set(row.seeds))
            if missing:
                gaps.append(f"{place}: {label_of(row)} lacks seed{'s' * (len(missing) > 1)} {str(missing)[1:-1]}")
    return contents, gaps


def _conflicts(results: Iterable[Result]) -> list[str]:
    names = Counter(name_of(one) for one in results)
    return [f"run {name} is in it {count} times, with different outcomes" for name, count in names.items() if count > 1]


def _made_by(results: Iterable[Result]) -> dict[str, dict[str, int]]:
    """Numbers of runs by what made them."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in results:
        for library in LIBRARIES:
            counts[library][one.versions.get(library, "unknown")] += 1
        counts["engine"][f"{one.engine} on {one.device}"] += 1
        counts["processor"][one.machine.processor] += 1
        if one.distribution and one.distribution != "ticketsearch":
            counts["strategies of"][one.distribution] += 1
    return {what: dict(own.most_common()) for what, own in counts.items()}
