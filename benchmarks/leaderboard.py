"""The leaderboard of the README: every built-in strategy on MNIST-1D, at one sparsity, over ten paired seeds.

    python benchmarks/leaderboard.py

Runs that are finished are not repeated. Writes ``benchmarks/results/leaderboard.{md,svg,json}``; the JSON holds the
raw accuracies and costs of every run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import ticketsearch
from ticketsearch import leaderboard, plugins
from ticketsearch.report.svg import write_svg
from ticketsearch.report.text import markdown

RAW = {
    *("strategy", "seed", "sparsity", "budget", "cost", "mask_digest"),
    *("test_accuracy", "validation_accuracy", "search_score"),
    *("dense_test_accuracy", "random_test_accuracy", "magnitude_test_accuracy"),
}
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Run what is missing, then report."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/leaderboard"), help="folder of run folders")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--budget", default="2000ep")
    arguments = parser.parse_args()
    own = [plugin.name for plugin in plugins.available(plugins.STRATEGIES) if plugin.distribution == "ticketsearch"]
    for seed in range(arguments.seeds):
        for strategy in own:
            result = ticketsearch.run(
                strategy, sparsity=arguments.sparsity, budget=arguments.budget, seed=seed, out=arguments.out
            )
            print(f"seed {seed}  {strategy:12} {100 * result.test_accuracy:.2f} %", file=sys.stderr, flush=True)
    results, problems = leaderboard.load_results(arguments.out)
    assert not problems, problems
    groups = leaderboard.build(results)
    (RESULTS / "leaderboard.md").write_text(markdown(groups) + "\n", encoding="utf-8")
    write_svg(RESULTS / "leaderboard.svg", groups)
    raw = [result.model_dump(include=RAW) for result in results]
    document = {"machine": machine.describe(), "runs": raw}
    (RESULTS / "leaderboard.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(markdown(groups))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
