"""What masks do to a network that is not trained at all: LeNet-300-100 on MNIST (Zhou et al., arXiv:1905.01067).

    python benchmarks/supermasks.py --data-root DATA

Test accuracy of the masked network before its first step, at sparsity 0.5, mean over seeds: random masks over initial
weights; large final weights of the same sign over signed constants (published: 86 %); learned supermasks over signed
constants (95.3 %), and with dynamic weight rescaling (98.0 %). Writes ``benchmarks/results/supermasks.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import ticketsearch
from ticketsearch.confirm import Shared
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.text import percent
from ticketsearch.tasks import DataSource

RESULTS = Path(__file__).resolve().parent / "results"
SAME_SIGN = {"criterion": "large_final_same_sign", "mask_1": "constant", "scope": "layer"}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "random mask, initial weights": ("magnitude", {"criterion": "random", "scope": "layer"}),
    "random mask, signed constants": ("magnitude", {"criterion": "random", "mask_1": "constant", "scope": "layer"}),
    "large final, initial weights": ("magnitude", {"scope": "layer"}),
    "large final, same sign, signed constants": ("magnitude", SAME_SIGN),
    "learned supermask, signed constants": ("supermask", {}),
    "learned supermask, rescaled": ("supermask", {"rescale": True}),
}


def main() -> None:
    """Run what is missing, then print the table."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder that holds MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=Path("runs/supermasks"), help="folder of run folders")
    arguments = parser.parse_args()
    source, shared, found = DataSource(arguments.data_root), Shared(), []
    print("| network | untrained % | after training % |\n|---|---:|---:|")
    for name, (strategy, settings) in ROWS.items():
        results = []
        for seed in range(arguments.seeds):
            results.append(
                ticketsearch.run(
                    strategy, "mnist-lenet", sparsity=arguments.sparsity, seed=seed, settings=settings, orders=1,
                    source=source, shared=shared, out=arguments.out,
                )
            )  # fmt: skip
            print(f"{name}: seed {seed}", file=sys.stderr, flush=True)
        before = [result.confirmation.untrained_test_accuracy for result in results]
        after = [result.test_accuracy for result in results]
        found.append({"network": name, "strategy": strategy, "settings": settings, "untrained": before, "after": after})
        print(f"| {name} | {percent(Estimate.of(before))} | {percent(Estimate.of(after))} |", flush=True)
    document = {"machine": machine.describe(), "sparsity": arguments.sparsity, "rows": found}
    (RESULTS / "supermasks.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
