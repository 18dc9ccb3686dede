"""One's own runs among those that others have published."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ticketsearch.leaderboard import Group, LoadedStudy, merged
from ticketsearch.leaderboard.table import label_of
from ticketsearch.records.results import Result
from ticketsearch.report.text import percent


def among(published: LoadedStudy, own: Sequence[Result]) -> LoadedStudy:
    """Own runs and those they compete with: of the same task, sparsity and kind of masks."""

    def about(one: Result) -> tuple[str, float, str]:
        return one.task_fingerprint, one.sparsity, one.kind

    mine = set(map(about, own))
    rivals = [one for one in published.results if about(one) in mine]
    study = LoadedStudy(rivals, published.baselines, [], published.problems)
    return merged([study, LoadedStudy(list(own))])


def standings(groups: Sequence[Group], own: Collection[Result]) -> list[str]:
    """Where own strategies stand: ``mine is 12th of 18 on mnist1d-wide at 0.98, with 60.4 ± 1.5 %``."""
    names = {Path(one.run).name for one in own}
    return [
        f"{label_of(row)} is {_ordinal(place)} of {len(group.rows)} on {group.task} at {group.sparsity:g}, "
        f"with {percent(row.test_accuracy)} %"
        for group in groups
        for place, row in enumerate(group.rows, 1)
        if names & {Path(run).name for run in row.runs}
    ]


def _ordinal(number: int) -> str:
    """``1st``, ``12th``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
