"""At what multiple of SGD's cost does black-box search reach it? From a study's runs, or its archive.

    python -m benchmarks.black_box benchmarks/results/black-box.json.gz --out benchmarks/results/black-box.md

What a multiple is, and its interval: :mod:`ticketsearch.leaderboard.multiples`. Here it is taken at each of a search's
checkpoints, in each currency.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ticketsearch.leaderboard.multiples import multiple
from ticketsearch.leaderboard.studies import load_study
from ticketsearch.records.results import CostRecord, Result

CURRENCIES: dict[str, Callable[[CostRecord], float]] = {
    "GFLOP of kept weights": lambda cost: cost.sparse_flops / 1e9,
    "CPU s": lambda cost: cost.cpu_s,
    "epochs": lambda cost: cost.epochs,
}
SEARCHES = ("cma-es", "ga", "sa", "eda", "hyperband", "optuna", "random")


def label(result: Result) -> str:
    """A strategy with what sets it apart."""
    if result.strategy in SEARCHES:
        inherited = ", inherited weights" if result.parameters.get("weights") == "inherited" else ""
        return f"{result.strategy}, {result.budget:g} ep{inherited}"
    if result.strategy != "imp":
        return result.strategy
    return f"imp {result.parameters['scope']} {result.parameters['round_steps']}"


def at_cost(result: Result, cost: float, currency: Callable[[CostRecord], float]) -> float:
    """Confirmed accuracy of what a search held when it had spent so much; NaN before its first checkpoint."""
    held = [point for point in result.curve if currency(point.cost) <= cost * 1.01]
    return held[-1].test_accuracy if held else math.nan


def study(results: Sequence[Result]) -> str:
    """The tables, in Markdown."""
    lines: list[str] = []
    for task, sparsity in sorted({(one.task, one.sparsity) for one in results}):
        own = [one for one in results if (one.task, one.sparsity) == (task, sparsity)]
        runs: dict[str, dict[int, Result]] = defaultdict(dict)
        for one in own:
            runs[label(one)][one.seed] = one
        lines += [f"## {task}, sparsity {sparsity:g}", "", *_means(runs), ""]
        for name in [one for one in runs if one.partition(",")[0] in SEARCHES]:
            lines += [*_multiples(name, runs), ""]
    return "\n".join(lines)


def _means(runs: Mapping[str, Mapping[int, Result]]) -> list[str]:
    """A line for each strategy and reference: accuracy with its interval, costs."""
    from scipy.stats import t

    lines = ["| | seeds | test accuracy % | GFLOP of kept weights | CPU s | epochs |", "|---|---:|---:|---:|---:|---:|"]

    def line(name: str, values: Sequence[float], costs: Sequence[CostRecord]) -> str:
        half = (
            float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0
        )
        means = [
            f"{np.mean([currency(cost) for cost in costs]):.3g}" if costs else "" for currency in CURRENCIES.values()
        ]
        return f"| {name} | {len(values)} | {100 * np.mean(values):.1f} ± {100 * half:.1f} | {' | '.join(means)} |"

    ordered = sorted(runs.items(), key=lambda item: -float(np.mean([one.test_accuracy for one in item[1].values()])))
    lines += [line(n, [r.test_accuracy for r in o.values()], [r.cost for r in o.values()]) for n, o in ordered]
    widest = max(runs.values(), key=len)
    for name in ("dense", "small-dense"):
        found = [one.references[name].test_accuracy for one in widest.values() if name in one.references]
        if found:
            lines.append(line("dense network" if name == "dense" else "dense, as many weights", found, []))
    for name, one in ordered:  # what is left of a find if only its counts in each layer are kept
        lines.append(line(f"random masks, counts of {name}", [r.random_test_accuracy for r in one.values()], []))
    return lines


def _multiples(name: str, runs: Mapping[str, Mapping[int, Result]]) -> list[str]:
    """For each checkpoint of a search, its accuracy and the multiple of the frontier's cost, in each currency."""
    searches = runs[name]
    imps = [own for key, own in runs.items() if key.startswith("imp") and own.keys() >= searches.keys()]
    if not imps:
        return []  # IMP was run on fewer seeds: no frontier to compare with
    seeds = sorted(searches)
    heads = [f"{name} at", "test accuracy %", *(f"times IMP's {currency}" for currency in CURRENCIES)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---:|" * len(heads)]
    flops = CURRENCIES["GFLOP of kept weights"]
    last = float(np.mean([flops(searches[seed].cost) for seed in seeds]))
    for back in range(6, -1, -1):
        spent = last / 2**back
        own = [searches[seed] for seed in seeds]
        accuracies = [at_cost(one, spent, flops) if back else one.test_accuracy for one in own]
        if not np.isfinite(accuracies).all():
            continue
        cells = [
            _multiple(
                [currency(one.cost) / 2**back for one in own],
                accuracies,
                [([currency(imp[s].cost) for s in seeds], [imp[s].test_accuracy for s in seeds]) for imp in imps],
            )
            for currency in CURRENCIES.values()
        ]
        lines.append(f"| {spent:.0f} GFLOP | {100 * np.mean(accuracies):.1f} | {' | '.join(cells)} |")
    return lines


def _multiple(
    costs: Sequence[float], accuracies: Sequence[float], settings: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> str:
    """The multiple at one checkpoint, and its 95 % interval."""
    found = multiple(costs, accuracies, settings)
    if found.standing == "below":  # IMP reaches it for less than its cheapest setting costs
        return f"at least {found.value:.2g}"
    ends = "" if found.low is None or found.high is None else f" [{found.low:.2g}, {found.high:.2g}]"
    return f"{found.value:.2g}{ends}"


def main() -> None:
    """Read, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="a study's folder, or an archive")
    parser.add_argument("--out", type=Path, help="a Markdown file; default stdout")
    arguments = parser.parse_args()
    text = study(load_study(arguments.runs).results)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
