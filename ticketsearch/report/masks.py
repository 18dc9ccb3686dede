"""Overlap of the masks that runs left in their folders; only masks are read, and only where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import CorruptRun
from ticketsearch.leaderboard.overlap import overlaps
from ticketsearch.leaderboard.section import Section
from ticketsearch.leaderboard.statistics import Summary
from ticketsearch.records.folder import TICKET
from ticketsearch.records.results import Result


@dataclass(frozen=True)
class Overlaps:
    """Overlap of each two strategies of a section.

    Attributes:
        labels: of those that have masks, in the order of the leaderboard.
        found: by pairs of labels.
        problems: tickets that cannot be read.
    """

    labels: list[str]
    found: dict[tuple[str, str], Summary]
    problems: list[str] = field(default_factory=list)


def overlaps_of(section: Section, runs: Mapping[str, Result]) -> Overlaps:
    """Of all strategies but those IMPs that are neither the reference nor on the frontier: they would be many."""
    from ticketsearch.masks import digest
    from ticketsearch.records.ticket_file import load_mask

    masks: dict[str, dict[int, BoolArray]] = {}
    problems, space = [], None
    for one in section.contenders:
        if one.kind == "imp" and one.label != section.reference and one.label not in section.frontier:
            continue
        for run in one.row.runs:
            if not (Path(run) / TICKET).is_file():  # an archive has no tickets
                continue
            try:
                space, mask = load_mask(run)
            except CorruptRun as error:
                problems.append(str(error))
                continue
            if digest(mask) != runs[run].mask_digest:
                problems.append(f"{run}: the mask of its ticket is not the one its result is about")
                continue
            masks.setdefault(one.label, {})[runs[run].seed] = mask
    return Overlaps(list(masks), overlaps(masks, space) if space else {}, problems)
