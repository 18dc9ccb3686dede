"""Recompute a report from its raw results, by other means, and compare: no import of the package it checks.

    ticketsearch report benchmarks/results/search-cost.json.gz --json > report.json
    python benchmarks/recompute.py benchmarks/results/search-cost.json.gz report.json

Means and their intervals, paired differences, signed-rank p-values (without ties, where SciPy's test is exact) with
Holm's correction, probabilities of improvement, targets, running times, the ratios of the verdicts and rank
correlations are computed with SciPy and plain Python from the archive alone, and each run must be in exactly one row.
Bootstrap intervals, ranks, exploitation and outcomes are not recomputed. Prints how many numbers were compared and the
largest difference; exits 1 if one is above 1e-9.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

TOLERANCE = 1e-9
CURRENCIES: dict[str, Callable[[Any], float]] = {
    "train examples": lambda cost: cost["train_examples"] + cost["forward_examples"] / 3,
    "kept-weight FLOPs": lambda cost: cost["sparse_flops"],
    "CPU seconds": lambda cost: cost["cpu_s"],
}


class Checker:
    """Compares numbers, remembers the worst."""

    def __init__(self) -> None:
        self.compared, self.worst, self.place = 0, 0.0, ""

    def check(self, place: str, reported: Any, own: float | None) -> None:
        """Equal to the tolerance, both infinite, or both missing."""
        self.compared += 1
        reported = float(reported) if isinstance(reported, str) else reported
        if reported is None or own is None:
            difference = 0.0 if reported is None and own is None else math.inf
        elif math.isinf(own) or math.isinf(reported):
            difference = 0.0 if own == reported else math.inf
        else:
            difference = abs(reported - own) / max(1.0, abs(own))
            difference = math.inf if math.isnan(difference) else difference
        if difference >= self.worst:
            self.worst, self.place = difference, f"{place}: reported {reported}, recomputed {own}"


def main() -> None:
    """Compare and say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("report", type=Path)
    arguments = parser.parse_args()
    archive = json.loads(gzip.decompress(arguments.archive.read_bytes()))
    report = json.loads(arguments.report.read_text(encoding="utf-8"))
    by_folder = {run["run"]: run for run in archive["results"]}
    rows = [f for section in report["sections"] for one in section["contenders"] for f in one["row"]["runs"]]
    if len(rows) != len(set(rows)) or not set(rows) <= by_folder.keys():
        sys.exit("a run is in two rows, or in the report alone")
    checker = Checker()
    for section in report["sections"]:
        _section(section, by_folder, archive["baselines"], checker)
    print(f"{checker.compared} numbers compared; largest relative difference {checker.worst:.2g} ({checker.place})")
    if not checker.compared or checker.worst > TOLERANCE:
        sys.exit(1)


def _section(section: Any, by_folder: Any, baselines: Any, checker: Checker) -> None:
    where = f"{section['task']} {section['sparsity']}"
    runs = {
        one["label"]: {by_folder[f]["seed"]: by_folder[f] for f in one["row"]["runs"]} for one in section["contenders"]
    }
    accuracies = {
        label: {seed: statistics.fmean(r["confirmation"]["test_accuracies"]) for seed, r in own.items()}
        for label, own in runs.items()
    }
    reference = _reference(section, runs)
    p_values: dict[tuple[str, bool], dict[str, tuple[Any, float]]] = defaultdict(dict)  # IMPs are a family of their own
    for one in section["contenders"]:
        label, place = one["label"], f"{where} {one['label']}"
        values = list(accuracies[label].values())
        _mean(checker, place, one["row"]["test_accuracy"], values)
        _mean(checker, f"{place} cost", one["row"]["epochs"], [r["cost"]["epochs"] for r in runs[label].values()])
        random = {
            seed: statistics.fmean(r["references"]["random"]["test_accuracies"]) for seed, r in runs[label].items()
        }
        gains = {seed: accuracies[label][seed] - random[seed] for seed in random}
        for what, mine, other in (
            ("to_imp", accuracies[label], accuracies.get(reference, {})),
            ("to_random", gains, dict.fromkeys(gains, 0.0)),
        ):
            if one[what] and one[what]["paired"]["n"]:
                _paired(checker, f"{place} {what}", one[what]["paired"], mine, other)
                is_imp = next(iter(runs[label].values()))["strategy"] == "imp"
                p_values[what, is_imp][label] = one[what]["p_holm"], one[what]["paired"]["p"]
    for (what, _), family in p_values.items():
        adjusted = _holm([p for _, p in family.values()])
        for (label, (reported, _)), own in zip(family.items(), adjusted, strict=True):
            checker.check(f"{where} {label} {what} Holm", reported, own)
    if section["targets"]:
        _targets(section, runs, accuracies, reference, checker)
        _ratios(section, runs, accuracies, reference, checker)
    _fidelity(section, runs, baselines, checker)


def _reference(section: Any, runs: Any) -> str:
    imps = [label for label, own in runs.items() if next(iter(own.values()))["strategy"] == "imp"]
    validation = {label: statistics.fmean(r["validation_accuracy"] for r in runs[label].values()) for label in imps}
    best = max(imps, key=lambda label: (len(runs[label]), validation[label]), default="")
    if section["reference"] not in (best or None, best):
        sys.exit(f"reference {section['reference']!r}; recomputed {best!r}")
    return best


def _mean(checker: Checker, place: str, reported: Any, values: list[float]) -> None:
    checker.check(f"{place} mean", reported["mean"], float(np.mean(values)))
    half = None if len(values) < 2 else float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    checker.check(f"{place} half width", reported["half_width"], half)


def _paired(checker: Checker, place: str, reported: Any, a: dict[int, float], b: dict[int, float]) -> None:
    seeds = sorted(a.keys() & b.keys())
    x, y = np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds])
    checker.check(f"{place} difference", reported["difference"], float((x - y).mean()))
    if len(seeds) > 1:
        differences = x - y
        low, high = stats.t.interval(0.95, len(seeds) - 1, loc=differences.mean(), scale=stats.sem(differences))
        checker.check(f"{place} low", reported["low"], float(low))
        checker.check(f"{place} high", reported["high"], float(high))
    rounded = np.round(x - y, 12)
    if len(set(np.abs(rounded))) == len(rounded) and (rounded != 0).all():  # no ties: SciPy's exact test applies
        checker.check(f"{place} p", reported["p"], float(stats.wilcoxon(rounded, method="exact").pvalue))
    wins = statistics.fmean(1.0 if u - v > 1e-12 else 0.5 if abs(u - v) <= 1e-12 else 0.0 for u in x for v in y)
    checker.check(f"{place} improvement", reported["improvement"], wins)


def _holm(p_values: list[float]) -> list[float]:
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(
        1, np.maximum.accumulate((len(p_values) - np.arange(len(p_values))) * np.array(p_values)[order])
    )
    return [float(p) for p in adjusted]


def _targets(section: Any, runs: Any, accuracies: Any, reference: str, checker: Checker) -> None:
    where = f"{section['task']} {section['sparsity']}"
    low = statistics.fmean(
        statistics.fmean(r["references"]["random"]["test_accuracies"]) for r in runs[reference].values()
    )
    high = statistics.fmean(accuracies[reference].values())
    targets = [low + fraction * (high - low) for fraction in section["fractions"]]
    for reported, own in zip(section["targets"], targets, strict=True):
        checker.check(f"{where} target", reported, own)
    for one in section["contenders"]:
        for currency, cost_of in CURRENCIES.items():
            for target, reported in zip(targets, one["running_times"][currency], strict=True):
                own = _ert(runs[one["label"]].values(), target, cost_of)
                checker.check(f"{where} {one['label']} ERT {currency}", reported["ert"], own)


def _ratios(section: Any, runs: Any, accuracies: Any, reference: str, checker: Checker) -> None:
    """R of each verdict: first hits on paired seeds, to the reference's mean accuracy less the margin."""
    for verdict in section["verdicts"]:
        if verdict["target"] is None:
            continue
        own, other = runs[verdict["strategy"]], runs[reference]
        seeds = sorted(own.keys() & other.keys())
        target = statistics.fmean(accuracies[reference][seed] for seed in seeds) - 0.003
        cost_of = CURRENCIES[verdict["currency"]]
        times = [_ert([runs_of[seed] for seed in seeds], target, cost_of) for runs_of in (own, other)]
        place = f"{section['task']} {section['sparsity']} {verdict['strategy']} R {verdict['currency']}"
        checker.check(f"{place} target", verdict["target"], target)
        checker.check(place, verdict["ratio"], times[0] / times[1])


def _ert(runs: Any, target: float, cost_of: Callable[[Any], float]) -> float:
    spent, hits = 0.0, 0
    for run in runs:
        hit = next((cost_of(p["cost"]) for p in run["curve"] if p["test_accuracy"] >= target - 1e-9), None)
        hits += hit is not None
        spent += cost_of(run["cost"]) if hit is None else min(hit, cost_of(run["cost"]))
    return spent / hits if hits else math.inf


def _fidelity(section: Any, runs: Any, baselines: Any, checker: Checker) -> None:
    fingerprint = next(iter(next(iter(runs.values())).values()))["task_fingerprint"]
    for one in section["fidelity"]:
        by_seed: dict[int, list[tuple[float, float]]] = defaultdict(list)
        if one["population"] == "random masks":
            for b in baselines:
                if (b["task_fingerprint"], b["sparsity"]) == (fingerprint, section["sparsity"]):
                    scores = b["short_scores"].get(str(one["steps"]), [])
                    by_seed[b["seed"]] += list(zip(scores, b["test_accuracies"], strict=False))
        else:
            for own in runs.values():
                for seed, run in own.items():
                    if str(one["steps"]) in run["short_scores"]:
                        by_seed[seed].append((run["short_scores"][str(one["steps"])], run["test_accuracy"]))
        columns = [np.round(np.array(pairs).T, 12) for pairs in by_seed.values() if len(pairs) > 2]  # ties to 1e-12
        taus = [stats.kendalltau(*own).statistic for own in columns]
        taus = [tau for tau in taus if not math.isnan(tau)]
        if one["tau"] is not None:
            place = f"{section['task']} {section['sparsity']} tau {one['population']} {one['steps']}"
            checker.check(place, one["tau"]["value"], float(np.mean(taus)))


if __name__ == "__main__":
    main()
