"""What a study says: every number of a report, from finished runs alone.

A *contender* is a strategy with one set of parameters under one budget, over its seeds. Contenders of one task and
sparsity are compared seed by seed; costs are compared in three currencies. Nothing here trains, draws or reads masks.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.multiples import Multiple, multiple
from ticketsearch.leaderboard.reliability import ceiling, components
from ticketsearch.leaderboard.running_time import (
    FRACTIONS,
    Ratio,
    ecdf,
    expected_running_time,
    first_hit,
    ratio_of_running_times,
    targets,
)
from ticketsearch.leaderboard.section import EPOCHS, Aggregate, Contender, Kind, RankCorrelation, Section
from ticketsearch.leaderboard.statistics import Summary, interquartile_mean, rank_intervals, t_interval
from ticketsearch.leaderboard.table import Estimate, Row, build, label_of
from ticketsearch.leaderboard.trajectories import (
    curve_of,
    exploitation_of,
    mean_curve,
    mean_tau,
    rank_correlation,
    scored_checkpoints,
    spent_in,
    train_size,
)
from ticketsearch.leaderboard.verdict import CURRENCIES, Claim, Comparison, Control, Verdict, compare, judge
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Baseline


def analyse(results: Iterable[Result], baselines: Sequence[Baseline] = ()) -> list[Section]:
    """Everything a report shows, one section for each task and sparsity, in order."""
    by_folder = {result.run: result for result in results}
    sections = []
    for group in build(by_folder.values()):
        runs = {label_of(row): {by_folder[f].seed: by_folder[f] for f in row.runs} for row in group.rows}
        one = by_folder[group.rows[0].runs[0]]
        about = one.task_fingerprint, one.sparsity, one.kind
        own = [b for b in baselines if (b.task_fingerprint, b.sparsity, b.kind) == about]
        rows = {label_of(row): row for row in group.rows}
        sections.append(_Builder(group.task, group.sparsity, rows, runs, own).section())
    return sections


def aggregate(sections: Sequence[Section]) -> list[Aggregate]:
    """Interquartile means of strategies over the sparsities of each task, best first; none for a single sparsity."""
    found = []
    for task in dict.fromkeys(section.task for section in sections):
        own = [section for section in sections if section.task == task]
        by_key: dict[str, list[Contender]] = defaultdict(list)
        for section in own:
            for one in section.contenders:
                by_key[one.key].append(one)
        for same in by_key.values():
            middle = interquartile_mean([list(one.accuracies.values()) for one in same])
            if len(own) > 1 and len(same) == len(own) and middle:
                label = min((one.label for one in same), key=len)
                found.append(Aggregate(label, task, [section.sparsity for section in own], middle))
    return sorted(found, key=lambda one: (one.task, -one.middle.value, one.label))


class _Builder:
    """One section in the making."""

    def __init__(
        self,
        task: str,
        sparsity: float,
        rows: dict[str, Row],
        runs: dict[str, dict[int, Result]],
        baselines: Sequence[Baseline],
    ) -> None:
        self.task, self.sparsity, self.rows, self.runs = task, sparsity, rows, runs
        self.baselines = list({one.seed: one for one in sorted(baselines, key=lambda one: one.budget)}.values())
        self.accuracies = {name: {s: r.test_accuracy for s, r in own.items()} for name, own in runs.items()}
        self.means = {name: statistics.fmean(own.values()) for name, own in self.accuracies.items()}
        self.kinds = {name: _kind(next(iter(own.values()))) for name, own in runs.items()}
        self.curves = {
            currency: {name: {s: curve_of(r, currency) for s, r in own.items()} for name, own in runs.items()}
            for currency in CURRENCIES
        }
        imps = [name for name, kind in self.kinds.items() if kind == "imp"]
        self.validation = {
            name: statistics.fmean(run.validation_accuracy for run in own.values()) for name, own in runs.items()
        }
        self.reference = max(imps, key=lambda name: (len(runs[name]), self.validation[name]), default=None)
        self.frontier = self._frontier()
        self.targets = self._targets()

    def section(self) -> Section:
        """Everything."""
        to_imp = self._compared(self.accuracies[self.reference] if self.reference else {})
        to_random = self._compared(None)
        ranks = self._ranks()
        contenders = [
            self._contender(name, to_imp.get(name), to_random.get(name), ranks.get(name)) for name in self.rows
        ]
        longest = max((one.budget for one in self.baselines), default=None)
        dense = [one.dense_budget_test_accuracy for one in self.baselines if one.budget == longest]
        return Section(
            task=self.task,
            sparsity=self.sparsity,
            contenders=sorted(contenders, key=lambda one: (-one.row.test_accuracy.mean, one.label)),
            reference=self.reference,
            frontier=self.frontier,
            fractions=list(FRACTIONS) if self.targets else [],
            targets=list(self.targets),
            controls=self._controls(),
            verdicts=self._verdicts(),
            fidelity=self._fidelity(),
            dense_budget=Estimate.of(dense) if dense else None,
            dense_budget_epochs=longest,
        )

    def _contender(
        self, name: str, to_imp: Comparison | None, to_random: Comparison | None, rank: Summary | None
    ) -> Contender:
        runs = list(self.runs[name].values())
        search = self.kinds[name] in ("search", "hybrid")
        costs = [run.cost for run in runs]
        return Contender(
            label=name,
            key=json.dumps([runs[0].strategy, runs[0].parameters], sort_keys=True),
            kind=self.kinds[name],
            row=self.rows[name],
            accuracies=self.accuracies[name],
            validation=self.validation[name],
            curves={
                currency: mean_curve(list(curves[name].values()), train_size(runs[0]) if currency == EPOCHS else 1.0)
                for currency, curves in self.curves.items()
            },
            multiples=self._multiples(name) if search else {},
            to_imp=to_imp,
            to_random=to_random,
            rank=rank,
            running_times={
                currency: [expected_running_time(list(curves[name].values()), target) for target in self.targets]
                for currency, curves in self.curves.items()
            },
            solved=self._solved(name),
            ratios={currency: self._ratios(name, currency) for currency in CURRENCIES} if search else {},
            exploitation=exploitation_of(runs) if search else None,
            tau=mean_tau([[point[1:] for point in scored_checkpoints(run)] for run in runs]) if search else None,
            train_size=train_size(runs[0]),
            densities={
                layer.name: statistics.fmean(run.layers[index].density for run in runs)
                for index, layer in enumerate(runs[0].layers)
            },
            seconds={
                "cpu": statistics.fmean(cost.cpu_s for cost in costs),
                "wall": statistics.fmean(cost.wall_s for cost in costs),
                "engine": statistics.fmean(cost.engine_s for cost in costs),
                "strategy": statistics.fmean(cost.strategy_s for cost in costs),
            },
        )

    def _frontier(self) -> list[str]:
        """Of what prunes by magnitude of trained weights, on the most seeds: cheaper or better than all others."""
        names = [n for n, own in self.runs.items() if self.kinds[n] == "imp" or _strategy(own) == "magnitude"]
        most = max((len(self.runs[name]) for name in names), default=0)
        ordered = sorted(names, key=lambda name: (self.rows[name].epochs.mean, -self.validation[name]))
        best, kept = -math.inf, []
        for name in ordered:
            if len(self.runs[name]) == most and self.validation[name] > best:
                best = self.validation[name]
                kept.append(name)
        return kept

    def _targets(self) -> tuple[float, ...]:
        if self.reference is None:
            return ()
        runs = list(self.runs[self.reference].values())
        try:
            return targets([r.random_test_accuracy for r in runs], [r.test_accuracy for r in runs])
        except InvalidValue:  # IMP is not above random masks: the controls say so
            return ()

    def _ratios(self, name: str, currency: str) -> list[Ratio]:
        """ERT over that of the cheapest frontier point, target by target."""
        curves, found = self.curves[currency], []
        for target in self.targets:
            best = min(
                self.frontier, key=lambda one: expected_running_time(list(curves[one].values()), target).ert
            )  # of equals the cheaper: the frontier is ordered by cost
            found.append(ratio_of_running_times(curves[name], curves[best], target))
        return found

    def _multiples(self, name: str) -> dict[str, Multiple]:
        """Over IMP's cost, of the settings that ran on all of its seeds, by currency."""
        own = self.runs[name]
        imps = [
            self.runs[one] for one, kind in self.kinds.items() if kind == "imp" and own.keys() <= self.runs[one].keys()
        ]
        if not imps:
            return {}

        def both(runs: Mapping[int, Result], currency: str) -> tuple[list[float], list[float]]:
            return [spent_in(runs[s].cost, currency) for s in own], [runs[s].test_accuracy for s in own]

        return {
            currency: multiple(*both(own, currency), [both(imp, currency) for imp in imps]) for currency in CURRENCIES
        }

    def _solved(self, name: str) -> list[tuple[float, float]]:
        """Empirical distribution of the cost to targets."""
        if not self.targets:
            return []
        curves, size = list(self.curves[EPOCHS][name].values()), train_size(next(iter(self.runs[name].values())))
        hits = {first_hit(curve, target) for curve in curves for target in self.targets} - {None}
        grid = sorted(hit for hit in hits if hit is not None)
        shares = ecdf(curves, self.targets, grid).tolist() if grid else []
        return [(cost / size, share) for cost, share in zip(grid, shares, strict=True)]

    def _compared(self, reference: Mapping[int, float] | None) -> dict[str, Comparison]:
        """Paired comparisons with one reference, or (None) each with random masks of its own counts.

        The points of IMP's sweep are a family of their own: with them, so many are compared that no p-value of ten
        seeds could pass Holm's correction.
        """
        compared = {name: own for name, own in self.accuracies.items() if name != self.reference}
        if reference is None:  # each against its own, so the gains against nothing
            reference = dict.fromkeys(self._all_seeds(), 0.0)
            compared = {
                name: {seed: run.test_accuracy - run.random_test_accuracy for seed, run in own.items()}
                for name, own in self.runs.items()
            }
        sweep = {name: compared.pop(name) for name in list(compared) if self.kinds[name] == "imp"}
        return {one.strategy: one for family in (compared, sweep) for one in compare(family, reference)}

    def _all_seeds(self) -> set[int]:
        return {seed for own in self.runs.values() for seed in own}

    def _ranks(self) -> dict[str, Summary]:
        """On the seeds that most contenders have; of those that have them all."""
        common, _ = Counter(frozenset(own) for own in self.accuracies.values()).most_common(1)[0]
        seeds = sorted(common)
        names = [name for name, own in self.accuracies.items() if own.keys() >= common]
        summaries = rank_intervals([[self.accuracies[name][seed] for seed in seeds] for name in names])
        return dict(zip(names, summaries, strict=True))

    def _controls(self) -> list[Control]:
        if self.reference is None:
            return [Control("reference", False, "No IMP was run: there is nothing to compare searches with.")]
        runs = list(self.runs[self.reference].values())
        found = [
            _above(
                "dense",
                "The dense network",
                [r.dense_test_accuracy for r in runs],
                "random masks",
                [r.random_test_accuracy for r in runs],
            )
        ]
        controlled = [
            name
            for name, own in self.runs.items()
            if self.kinds[name] == "imp" and all("shuffle-mask" in run.references for run in own.values())
        ]
        if not controlled:
            return [*found, Control("shuffle-mask", False, "No IMP was run with the control shuffle-mask.")]
        best = max(controlled, key=lambda name: (len(self.runs[name]), self.validation[name]))
        runs = list(self.runs[best].values())
        shuffled = [run.references["shuffle-mask"].test_accuracy for run in runs]
        found.append(
            _above(
                "shuffle-mask",
                "IMP's ticket",
                [r.test_accuracy for r in runs],
                "the same mask shuffled within layers",
                shuffled,
            )
        )
        return found

    def _verdicts(self) -> list[Verdict]:
        if self.reference is None:
            return []
        random = {seed: run.random_test_accuracy for seed, run in self.runs[self.reference].items()}
        controls = self._controls()
        return [
            judge(
                Claim(name, self.task, self.sparsity, currency),
                self.curves[currency][name],
                self.curves[currency][self.reference],
                random,
                controls,
                [self.curves[currency][one] for one in self.frontier],
            )
            for name, kind in self.kinds.items()
            if kind == "search"
            for currency in CURRENCIES
        ]

    def _ceiling(self) -> float | None:
        """The highest tau that a score of random masks could have, mean over seeds."""
        tables = [b.order_accuracies for b in self.baselines if b.order_accuracies]
        found = [ceiling(components(table).reliability) for table in tables if min(map(len, tables)) > 1]
        return float(np.mean(found)) if found else None

    def _fidelity(self) -> list[RankCorrelation]:
        found = []
        for steps in sorted({steps for b in self.baselines for steps in b.short_scores}):
            pairs = [
                list(zip(b.short_scores[steps], b.test_accuracies, strict=True))
                for b in self.baselines
                if steps in b.short_scores
            ]
            epochs = self.baselines[0].evaluation_epochs.get(steps)
            found.append(rank_correlation("random masks", steps, epochs, pairs, self._ceiling()))
        tickets: dict[int, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        for own in self.runs.values():
            for seed, run in own.items():
                for steps, score in run.short_scores.items():
                    tickets[steps][seed].append((score, run.test_accuracy))
        known = {steps: epochs for b in self.baselines for steps, epochs in b.evaluation_epochs.items()}
        for steps, seeds in sorted(tickets.items()):
            found.append(rank_correlation("tickets of all strategies", steps, known.get(steps), list(seeds.values())))
        return found


def _kind(run: Result) -> Kind:
    if run.calls.get("evaluate") or run.calls.get("predict"):
        return "search" if run.calls.keys() <= {"evaluate", "predict"} else "hybrid"
    return "imp" if run.strategy == "imp" else "other"


def _strategy(runs: Mapping[int, Result]) -> str:
    return next(iter(runs.values())).strategy


def _above(name: str, what: str, values: Sequence[float], other: str, others: Sequence[float]) -> Control:
    """Whether one is above the other, by the 95 % interval of the paired difference."""
    differences = np.subtract(values, others)
    low, high = t_interval(differences)
    passed = low is not None and low > 0
    found = f"{100 * float(differences.mean()):+.1f} points"
    if low is not None and high is not None:
        found += f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return Control(name, passed, f"{what} is {'' if passed else 'not shown to be '}above {other}: {found}.")
