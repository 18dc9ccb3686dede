"""Finished runs read from their folders, and put together where they differ in nothing but the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ticketsearch.digests import digest_of_json
from ticketsearch.errors import InvalidValue
from ticketsearch.records.folder import TICKET
from ticketsearch.records.results import Result, read_finished
from ticketsearch.records.spec import Spec, read_spec
from ticketsearch.records.ticket_file import SavedTicket, load_ticket


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run, as it lies on disk."""

    folder: Path
    spec: Spec
    result: Result
    saved: SavedTicket

    @classmethod
    def read(cls, folder: Path) -> Self:
        """All of it.

        Raises:
            NotARun: no finished run is there, or it has no ticket.
            CorruptRun: a file is damaged.
        """
        return cls(folder, read_spec(folder), read_finished(folder), load_ticket(folder))

    @property
    def ticket_digest(self) -> str:
        """Of the ticket's file: mask, start and trained weights."""
        return self.result.files.get(TICKET, self.result.mask_digest)


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, by seed; and what they are called."""

    label: str
    identity: str
    runs: dict[int, FinishedRun]

    @property
    def sparsity(self) -> float:
        """Of all of them."""
        return next(iter(self.runs.values())).spec.sparsity

    @property
    def has_rounds(self) -> bool:
        """Whether all of them trained networks round by round."""
        return all(run.result.rounds for run in self.runs.values())


@dataclass(frozen=True)
class Pair:
    """Two groups, the second one's seeds so many higher: two strategies on one seed, or one on two."""

    first: Group
    second: Group
    seeds: list[int]
    further: dict[int, int]

    def of(self, seed: int) -> tuple[FinishedRun, FinishedRun]:
        """First and second run."""
        return self.first.runs[seed], self.second.runs[self.further[seed]]


def check_tasks(runs: Sequence[FinishedRun]) -> None:
    """All on one task, of one kind of units, trained by one engine."""
    first = runs[0].spec
    for run in runs[1:]:
        own = run.spec
        for what in ("task", "task_fingerprint", "granularity", "keep", "engine", "device"):
            if (one := getattr(first, what)) != (other := getattr(own, what)):
                raise InvalidValue(
                    f"{run.folder} has {what} {other!r}, {runs[0].folder} {one!r}: lines are between networks of one "
                    "task; name runs that share it"
                )


def grouped(runs: Sequence[FinishedRun]) -> list[Group]:
    """Groups in the order given; seeds ascend.

    Raises:
        InvalidValue: a run is named twice.
    """
    found: dict[str, dict[int, FinishedRun]] = {}
    for run in runs:
        given = {key: value for key, value in run.spec.given.items() if key not in ("seed", "network")}
        own = found.setdefault(digest_of_json(given, size=6), {})
        if run.spec.seed in own:
            raise InvalidValue(f"{run.folder} and {own[run.spec.seed].folder} are one run; name it once")
        own[run.spec.seed] = run
    heads = [next(iter(own.values())).spec for own in found.values()]
    return [
        Group(_label(head, heads), identity, dict(sorted(own.items())))
        for (identity, own), head in zip(found.items(), heads, strict=True)
    ]


def _label(head: Spec, heads: Sequence[Spec]) -> str:
    """A strategy, and what tells its runs from others of it."""

    def settings(spec: Spec) -> dict[str, Any]:
        return {**spec.parameters, "sparsity": spec.sparsity, "budget": spec.budget}

    rivals = [settings(other) for other in heads if other.strategy == head.strategy]
    told = [
        f"{key}={value}" for key, value in settings(head).items() if any(other.get(key) != value for other in rivals)
    ]
    return f"{head.strategy} ({', '.join(told)})" if told else head.strategy


def listed(groups: Sequence[Group]) -> str:
    """What there is."""
    found = (f"{group.label} has seeds {', '.join(map(str, group.runs))}" for group in groups)
    return ", ".join(found)
