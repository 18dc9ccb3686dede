"""What masks do to a network that is not trained at all: LeNet-300-100 on MNIST (Zhou et al., arXiv:1905.01067).

    python benchmarks/supermasks.py --data-root DATA

Test accuracy of the masked network before its first step, mean over seeds. At sparsity 0.8, the output layer's half of
the others': random masks; large final weights, and those of the same sign, over initial weights or signed constants
(published: 86 %). At sparsity 0.5: learned supermasks over signed constants (95.3 %), and with dynamic weight
rescaling (98.0 %). Writes
``benchmarks/results/supermasks.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import ticketsearch
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.report.text import percent
from ticketsearch.studies.ablation import Cell, Plan, ablate
from ticketsearch.tasks import DataSource, load_task

RESULTS = Path(__file__).resolve().parent / "results"
CELLS = {
    "random mask, initial weights": Cell("random", "rewind", "zero"),
    "random mask, signed constants": Cell("random", "constant", "zero"),
    "large final, initial weights": Cell("large_final", "rewind", "zero"),
    "large final, same sign, initial weights": Cell("large_final_same_sign", "rewind", "zero"),
    "large final, same sign, signed constants": Cell("large_final_same_sign", "constant", "zero"),
}
LEARNED: dict[str, dict[str, Any]] = {
    "learned supermask, signed constants": {},
    "learned supermask, rescaled": {"rescale": True},
}


def main() -> None:
    """Run what is missing, then print the table."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder that holds MNIST")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/supermasks"), help="folder of what is computed")
    arguments = parser.parse_args()
    source, seeds = DataSource(arguments.data_root), range(arguments.seeds)
    table = ablate(
        load_task("mnist-lenet", source),
        Plan(list(CELLS.values()), sparsity=0.8, output_rate=0.5, seeds=seeds),
        out=arguments.out / "cells",
    )
    rows = {
        name: [(o.untrained_test_accuracy, o.test_accuracy) for o in (seed.outcomes[index] for seed in table)]
        for index, name in enumerate(CELLS)
    }
    for name, settings in LEARNED.items():
        results = [
            ticketsearch.run(
                "supermask",
                "mnist-lenet",
                sparsity=0.5,
                seed=seed,
                settings=settings,
                orders=1,
                source=source,
                out=arguments.out / "runs",
            )
            for seed in seeds
        ]
        rows[name] = [(one.confirmation.untrained_test_accuracy, one.test_accuracy) for one in results]
    print("| network | untrained % | after training % |\n|---|---:|---:|")
    for name, pairs in rows.items():
        before, after = (percent(Estimate.of(values)) for values in zip(*pairs, strict=True))
        print(f"| {name} | {before} | {after} |")
    document = {"machine": machine.describe(), "rows": rows}
    (RESULTS / "supermasks.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
