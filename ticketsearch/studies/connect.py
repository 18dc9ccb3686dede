"""Are two trained networks connected? Barriers on the lines between them, for finished runs.

``orders``: one network, two data orders from step k (Frankle et al., arXiv:1912.05671). ``dense``: ticket and dense
network, trained on the same data order. ``rounds``: successive rounds of an iterative search (Paul et al.,
arXiv:2210.03044, have them connected where the later one matches the dense network). ``tickets``: those of two
strategies, of one seed. ``masks``: how much two masks have in common before and after neurons are matched by their
activations, as in arXiv:2505.05143; those of two strategies, and of one strategy on successive seeds.

What a run gave is kept in a file of its own; the same command again goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from ticketsearch.cost import parse_steps
from ticketsearch.digests import digest_of_json
from ticketsearch.engine import make_engine
from ticketsearch.errors import CorruptRun, InvalidValue, UnknownName
from ticketsearch.runner.aligned import permutable
from ticketsearch.runner.progress import Tick, quiet
from ticketsearch.runner.references import Shared
from ticketsearch.runner.setup import Setup, task_of
from ticketsearch.studies.barrier import POINTS, ConnectOutcome, Line
from ticketsearch.studies.groups import FinishedRun, Group, Pair, check_tasks, grouped, listed
from ticketsearch.studies.lines import Lines, moved_to, overlap_of, trained
from ticketsearch.studies.seedwise import folder_in, seed_by_seed
from ticketsearch.tasks import DataSource, Task

COMPARISONS = ("orders", "dense", "rounds", "tickets", "masks")
FROM_STEPS = ("0", "1%", "2%", "5%", "10%", "20%", "50%", "80%")
_OF_ONE = ("orders", "dense", "rounds")


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        comparisons: of ``COMPARISONS``; ``None``: all that the runs allow.
        from_steps: steps k at which data orders part: ``100``, ``"100step"``, ``"2ep"``, or ``"5%"`` of the recipe.
        points: of a line, its ends included.
    """

    comparisons: Sequence[str] | None = None
    from_steps: Sequence[int | str] = FROM_STEPS
    points: int = POINTS


@dataclass(frozen=True, eq=False)
class Connecting:
    """All that is about to be measured; see :func:`prepared`."""

    setup: Setup
    groups: list[Group]
    pairs: list[Pair]
    comparisons: list[str]
    steps: list[int]
    points: int
    shared: Shared = field(default_factory=Shared)

    def words(self) -> str:
        """What will be done, in a line."""
        runs = ", ".join(
            f"{len(group.runs)} run{'s' * (len(group.runs) > 1)} of {group.label}" for group in self.groups
        )
        epochs = sum(self._epochs(run) for group in self.groups for run in group.runs.values())
        pairs = sum(len(pair.seeds) for pair in self.pairs)
        return (
            f"{runs} on {self.setup.task.name}: {', '.join(self.comparisons)}"
            + (f"; {pairs} pair{'s' * (pairs > 1)}" if pairs else "")
            + f"; trainings of {epochs:,.0f}ep in all, and {self.points} points of each line measured"
        )

    def _epochs(self, run: FinishedRun) -> float:
        """Of trainings: children of two orders and what they share, the dense network, all rounds again."""
        whole, steps = self.setup.task.recipe.steps, 0
        if "orders" in self.comparisons:
            for first in (run.saved.step, 0):
                own = [k for k in self.steps if k >= first]
                steps += max(own) - first + sum(2 * (whole - k) for k in own)
        steps += whole * ("dense" in self.comparisons)
        rounds = run.result.cost.epochs if "rounds" in self.comparisons and run.result.rounds else 0.0
        return steps / self.setup.task.steps_per_epoch + rounds

    def measured(self, out: str | os.PathLike[str] = "connect", tick: Tick = quiet) -> list[ConnectOutcome]:
        """Run by run, then pair by pair; what is on disk already is read back.

        Raises:
            CorruptRun: a file is damaged, of another ticket, or a search does not go as it went.
        """
        found: list[ConnectOutcome] = []
        own = [name for name in self.comparisons if name in _OF_ONE]
        for group in self.groups if own else []:
            names = [name for name in own if name != "rounds" or group.has_rounds]
            spec = [group.identity, names, self.steps if "orders" in names else [], self.points]
            found += self._kept(out, group.label, spec, list(group.runs), partial(self._one, group, names, tick))
        for pair in self.pairs:
            wanted = [name for name in self.comparisons if name in self._allowed(pair)]
            ahead = [pair.further[seed] - seed for seed in pair.seeds]
            spec = [pair.first.identity, pair.second.identity, wanted, ahead, self.points]
            words = f"{pair.first.label}-and-{pair.second.label}"
            found += self._kept(out, words, spec, pair.seeds, partial(self._two, pair, wanted, tick))
        return found

    @staticmethod
    def _allowed(pair: Pair) -> tuple[str, ...]:
        return ("masks",) if pair.first is pair.second else ("tickets", "masks")

    def _kept(
        self,
        out: str | os.PathLike[str],
        words: str,
        spec: list[Any],
        seeds: Sequence[int],
        compute: Callable[[int], ConnectOutcome],
    ) -> list[ConnectOutcome]:
        engine = self.setup.engine
        identity = digest_of_json([*spec, self.setup.task.fingerprint, engine.name, engine.device], size=6)
        folder = folder_in(out, self.setup.task.name, words, identity)
        outcomes = seed_by_seed(folder, ConnectOutcome, seeds, compute)
        for outcome in outcomes:
            if outcome.tickets != self._tickets(outcome):
                place = folder / f"seed-{outcome.seeds[0]}.json"
                raise CorruptRun(f"{place} is of another ticket than the run now has; delete it to compute it anew")
        return outcomes

    def _tickets(self, outcome: ConnectOutcome) -> list[str]:
        """Digests of the files that an outcome's tickets now have."""
        labels = outcome.strategies if len(outcome.strategies) > 1 else outcome.strategies * len(outcome.seeds)
        seeds = outcome.seeds if len(outcome.seeds) > 1 else outcome.seeds * len(labels)
        groups = {group.label: group for group in self.groups}
        return [groups[label].runs[seed].ticket_digest for label, seed in zip(labels, seeds, strict=True)]

    def _one(self, group: Group, names: Sequence[str], tick: Tick, seed: int) -> ConnectOutcome:
        run = group.runs[seed]
        lines = Lines(self.setup.of_seed(seed), self.points, tick, self.shared)
        found: list[Line] = []
        if "orders" in names:
            found += lines.orders(run, self.steps)
        if "dense" in names:
            found.append(lines.dense(run))
        if "rounds" in names:
            found += lines.rounds(run)
        return self._outcome([group], [run], found)

    def _two(self, pair: Pair, names: Sequence[str], tick: Tick, seed: int) -> ConnectOutcome:
        setup, (first, second) = self.setup.of_seed(seed), pair.of(seed)
        tick(f"seed {seed}: {pair.first.label} and {pair.second.label}", 0.0)
        groups = [pair.first] if pair.first is pair.second else [pair.first, pair.second]
        found: list[Line] = []
        if "tickets" in names:
            lines = Lines(setup, self.points, tick)
            one, other = (
                replace(trained(run), name=group.label) for run, group in zip((first, second), groups, strict=True)
            )
            found.append(lines.line("tickets", one, other))
            if _permutable(setup):
                there = replace(moved_to(setup, first, second), name=one.name)
                found.append(lines.line("tickets", there, other, matched=True))
        outcome = self._outcome(groups, [first, second], found)
        return outcome.model_copy(update={"overlap": overlap_of(setup, first, second)}) if "masks" in names else outcome

    def _outcome(self, groups: Sequence[Group], runs: Sequence[FinishedRun], lines: list[Line]) -> ConnectOutcome:
        return ConnectOutcome(
            task=self.setup.task.name,
            task_fingerprint=self.setup.task.fingerprint,
            strategies=[group.label for group in groups],
            seeds=list(dict.fromkeys(run.spec.seed for run in runs)),
            sparsity=runs[0].spec.sparsity,
            dense_test_accuracy=runs[0].result.dense_test_accuracy,
            tickets=[run.ticket_digest for run in runs],
            lines=lines,
        )


def prepared(
    folders: Sequence[Path], plan: Plan, *, task: str | Task | None = None, source: DataSource | None = None
) -> Connecting:
    """Read runs and find out what can be compared; nothing is computed.

    Args:
        folders: of finished runs on one task.
        plan: what to measure.
        task: where the runs' task is, if its own name does not say.
        source: where data sets lie.

    Raises:
        UsageError: the runs do not go together, or do not allow what is asked for.
        CorruptRun: a file is damaged.
    """
    if plan.points < 2:
        raise InvalidValue(f"points {plan.points} is less than 2: the ends of a line are two")
    for name in plan.comparisons or ():
        if name not in COMPARISONS:
            raise UnknownName("comparison", name, COMPARISONS)
    runs = [FinishedRun.read(folder) for folder in folders]
    check_tasks(runs)
    first = runs[0]
    loaded = task_of(first.spec, task or first.result.task_source, source)
    engine = make_engine(loaded, first.spec.device, first.spec.engine)
    setup = Setup.of(loaded, engine, first.spec.seed, first.spec.granularity)
    groups = grouped(runs)
    pairs, wanted = _pairs(groups, setup), list(plan.comparisons or COMPARISONS)
    faults = {name: fault for name in wanted if (fault := _fault(name, groups, pairs, setup)) is not None}
    if plan.comparisons is not None and faults:
        raise InvalidValue("; ".join(faults.values()))
    names = [name for name in COMPARISONS if name in wanted and name not in faults]
    pairs = [pair for pair in pairs if set(names) & set(Connecting._allowed(pair))]
    steps = sorted({_step(text, loaded) for text in plan.from_steps})
    if "orders" in names:
        _check_steps(steps, runs)
    return Connecting(setup, groups, pairs, names, steps, plan.points)


def _pairs(groups: Sequence[Group], setup: Setup) -> list[Pair]:
    """Two groups of one sparsity on their common seeds; and successive seeds of one group, if masks can be matched."""
    found = []
    for first, second in combinations(groups, 2):
        common = [seed for seed in first.runs if seed in second.runs]
        if common and first.sparsity == second.sparsity:
            found.append(Pair(first, second, common, {seed: seed for seed in common}))
    for group in groups:
        if len(group.runs) > 1 and _permutable(setup):
            further = dict(pairwise(group.runs))
            found.append(Pair(group, group, list(further), further))
    return found


def _permutable(setup: Setup) -> bool:
    """Whether it is known which neurons may change places; see :func:`ticketsearch.runner.aligned.permutable`."""
    return setup.units.granularity == "weight" and permutable(setup.task.build(seed=0), setup.units.weights)


def _fault(name: str, groups: Sequence[Group], pairs: Sequence[Pair], setup: Setup) -> str | None:
    """Why the runs do not allow a comparison; ``None`` if they do."""
    if name == "rounds" and not any(group.has_rounds for group in groups):
        return f"rounds: {groups[0].label} trains no rounds, one after another; name runs of imp"
    if name == "tickets" and all(pair.first is pair.second for pair in pairs):
        return f"tickets: two runs of one seed and one sparsity are needed, by two strategies; {listed(groups)}"
    if name == "masks" and not _permutable(setup):
        return (
            f"masks: task {setup.task.name!r} is no plain chain of layers, all of them pruned, under --granularity "
            "weight: of others it is not known which neurons may change places"
        )
    if name == "masks" and not pairs:
        return f"masks: two runs are needed, of two seeds or by two strategies; {listed(groups)}"
    return None


def _step(text: int | str, task: Task) -> int:
    """A step of the recipe; ``"5%"`` of it is rounded."""
    if match := re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*%\s*", str(text), re.ASCII):
        step = round(task.recipe.steps * float(match[1]) / 100)
    else:
        step = parse_steps(text, task.steps_per_epoch, "from-steps")
    if step > task.recipe.steps:
        raise InvalidValue(f"from-steps {text!r} is beyond the {task.recipe.steps} steps of {task.name}'s recipe")
    return step


def _check_steps(steps: Sequence[int], runs: Sequence[FinishedRun]) -> None:
    if not steps:
        raise InvalidValue("from-steps names no step; write 0,100,400")
    for run in runs:
        if run.saved.step > max(steps):
            raise InvalidValue(
                f"from-steps ends at {max(steps)}, and the ticket of {run.folder} starts at step {run.saved.step}; "
                "name a later one"
            )
