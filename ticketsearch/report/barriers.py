"""Barriers averaged over seeds, and what they say: stable from which step, and whether connected rounds match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.text import percent
from ticketsearch.studies.barrier import STABLE, ConnectOutcome, Line, above_ends, barrier

Split = Literal["test", "train"]
SPLITS: tuple[Split, Split] = ("test", "train")
MARGIN = 0.01
"""Of accuracy: by how much less than the dense network a network still matches it, if nothing else is said."""


@dataclass(frozen=True)
class Row:
    """One line over all seeds. Barriers and accuracies are fractions, losses nats.

    ``matching`` counts seeds in which the second network is as accurate as the dense one, within the margin; ``None``
    where that is not the question.
    """

    comparison: str
    networks: str
    place: int | None
    sparsities: tuple[float, float]
    seeds: list[int]
    test: Estimate
    above: Estimate
    train: Estimate
    loss: Estimate
    accuracies: tuple[Estimate, Estimate]
    connected: int
    matching: int | None


@dataclass(frozen=True)
class Count:
    """Successive rounds of all seeds, by whether they are connected and whether the later one matches."""

    split: Split
    both: int
    connected_only: int
    matching_only: int
    neither: int

    @property
    def agree(self) -> int:
        """In how many the two coincide."""
        return self.both + self.neither

    @property
    def total(self) -> int:
        """All."""
        return self.agree + self.connected_only + self.matching_only


@dataclass(frozen=True)
class Section:
    """All that one strategy, or a pair of them, gave.

    Attributes:
        title: what it is about.
        rows: one for each line.
        counts: rounds on each split; empty if there are none.
        overlap: number of pairs, and overlap of masks: as they are, matched, by degrees alone.
        words: what the rows say.
    """

    title: str
    rows: list[Row]
    counts: list[Count]
    overlap: tuple[int, Estimate, Estimate, Estimate] | None
    words: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def sections_of(outcomes: Sequence[ConnectOutcome], margin: float = MARGIN) -> list[Section]:
    """Averages over seeds, in the order of the outcomes.

    Args:
        outcomes: as measured.
        margin: of matching.
    """
    found: dict[tuple[object, ...], list[ConnectOutcome]] = {}
    for outcome in outcomes:
        across = len(outcome.strategies) == 1 and len(outcome.seeds) > 1
        found.setdefault((*outcome.strategies, outcome.sparsity, across), []).append(outcome)
    return [_section(own, margin) for own in found.values()]


def _section(outcomes: Sequence[ConnectOutcome], margin: float) -> Section:
    rows = _rows(outcomes, margin)
    counts = [_counted(outcomes, split, margin) for split in SPLITS]
    counts = [count for count in counts if count.total]
    words = [*_stable(rows), *(_in_words(count, margin) for count in counts)]
    return Section(_title(outcomes), rows, counts, _overlap(outcomes), words)


def _title(outcomes: Sequence[ConnectOutcome]) -> str:
    first = outcomes[0]
    seeds = f"{len(outcomes)} seeds" if len(outcomes) > 1 else "1 seed"
    if len(first.strategies) == 1 and len(first.seeds) > 1:
        seeds = f"{len(outcomes)} pair{'s' * (len(outcomes) > 1)} of seeds"
    dense = Estimate.of([one.dense_test_accuracy for one in outcomes])
    names = " and ".join(first.strategies)
    return f"{names} on {first.task} at sparsity {first.sparsity:g}, {seeds}; dense network {percent(dense)} %"


def _rows(outcomes: Sequence[ConnectOutcome], margin: float) -> list[Row]:
    found: dict[tuple[object, ...], list[tuple[ConnectOutcome, Line]]] = {}
    for outcome in outcomes:
        for line in outcome.lines:
            key = line.comparison, line.first, line.second, line.place, line.matched
            found.setdefault(key, []).append((outcome, line))
    return [_row(own, margin) for own in found.values()]


def _row(own: Sequence[tuple[ConnectOutcome, Line]], margin: float) -> Row:
    line = own[0][1]

    def over(value: Callable[[Line], float]) -> Estimate:
        return Estimate.of([value(one) for _, one in own])

    rounds = line.comparison == "rounds"
    return Row(
        comparison=line.comparison,
        networks=networks_of(line),
        place=line.place,
        sparsities=line.sparsities,
        seeds=[outcome.seeds[0] for outcome, _ in own],
        test=over(lambda one: barrier(one.test.error)),
        above=over(lambda one: above_ends(one.test.error)),
        train=over(lambda one: barrier(one.train.error)),
        loss=over(lambda one: barrier(one.test.loss)),
        accuracies=(over(lambda one: 1 - one.test.error[0]), over(lambda one: 1 - one.test.error[-1])),
        connected=sum(barrier(one.test.error) < STABLE for _, one in own),
        matching=sum(_matches(outcome, one, "test", margin) for outcome, one in own) if rounds else None,
    )


def networks_of(line: Line) -> str:
    """What a line lies between."""
    if line.comparison == "orders":
        return f"{line.first}, from step {line.place}"
    return f"{line.first} and {line.second}" + (", neurons matched" if line.matched else "")


def _matches(outcome: ConnectOutcome, line: Line, split: Split, margin: float) -> bool:
    """Whether the later of two rounds is as good as the dense network: the confirmed one, in training the first round.

    An error is a count over examples; so is the margin, within rounding.
    """
    if split == "test":
        dense = 1 - outcome.dense_test_accuracy
    else:
        dense = next(one for one in outcome.lines if one.comparison == "rounds").train.error[0]
    profile = line.test if split == "test" else line.train
    return profile.error[-1] <= dense + margin + 1e-9


def _counted(outcomes: Sequence[ConnectOutcome], split: Split, margin: float) -> Count:
    cells = [
        (barrier((one.test if split == "test" else one.train).error) < STABLE, _matches(outcome, one, split, margin))
        for outcome in outcomes
        for one in outcome.lines
        if one.comparison == "rounds"
    ]
    return Count(split, *(cells.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))))


def _in_words(count: Count, margin: float) -> str:
    points = f"{100 * margin:g} point{'' if 100 * margin == 1 else 's'}"
    return (
        f"Successive rounds, {count.split} split: connected and matching coincide in {count.agree} of {count.total} "
        f"({count.both} both, {count.neither} neither); {count.connected_only} are connected though the later one does "
        f"not match, {count.matching_only} match and are not connected. Matching: at most {points} less accurate than "
        "the dense network."
    )


def _stable(rows: Sequence[Row]) -> list[str]:
    """From which step on two orders end connected, for each network and split."""
    words = []
    own = [row for row in rows if row.comparison == "orders"]
    for name in dict.fromkeys(row.networks.split(",")[0] for row in own):
        mine = sorted((row for row in own if row.networks.startswith(f"{name},")), key=lambda row: row.place or 0)
        for split in SPLITS:
            unstable = [row.place for row in mine if (row.test if split == "test" else row.train).mean >= STABLE]
            later = [row.place for row in mine if not unstable or (row.place or 0) > (unstable[-1] or 0)]
            how = f"stable from step {later[0]} on" if later else "stable from none of these steps"
            words.append(f"{name[0].upper()}{name[1:]}, {split} split: {how} (mean barrier below 2 points).")
    return words


def _overlap(outcomes: Sequence[ConnectOutcome]) -> tuple[int, Estimate, Estimate, Estimate] | None:
    own = [one.overlap for one in outcomes if one.overlap is not None]
    if not own:
        return None
    plain, matched, degrees = (
        Estimate.of([getattr(one, name) for one in own]) for name in ("plain", "matched", "degrees")
    )
    return len(own), plain, matched, degrees
