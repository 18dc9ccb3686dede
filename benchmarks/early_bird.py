"""Early-bird tickets beside one-shot magnitude after the whole training: LeNet-300-100 on MNIST.

    python benchmarks/early_bird.py --data-root DATA

You et al. (arXiv:1909.11957): the mask of a dense training settles long before the weights do. For each sparsity and
seed: the epoch at which the mask is drawn, of how many, and the confirmed test accuracy of both tickets. Writes
``benchmarks/results/early_bird.json``.
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
from ticketsearch.runner.references import Shared
from ticketsearch.tasks import DataSource

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Run what is missing, then print the table."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder that holds MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/early-bird"), help="folder of run folders")
    arguments = parser.parse_args()
    source, shared, found = DataSource(arguments.data_root), Shared(), []
    print("| sparsity | drawn at epoch | of | early-bird % | one-shot magnitude % | difference |")
    print("|---:|---:|---:|---:|---:|---:|")
    for sparsity in (0.8, 0.9):
        pairs: list[dict[str, Any]] = []
        for seed in range(arguments.seeds):
            drawn, trained = (
                ticketsearch.run(
                    name,
                    "mnist-lenet",
                    sparsity=sparsity,
                    seed=seed,
                    orders=3,
                    source=source,
                    shared=shared,
                    out=arguments.out,
                )
                for name in ("early-bird", "magnitude")
            )
            pair = {"early": drawn.test_accuracy, "late": trained.test_accuracy}
            pairs.append({"seed": seed, **drawn.notes, **pair})
            print(f"sparsity {sparsity} seed {seed}", file=sys.stderr, flush=True)
        early, late = ([pair[which] for pair in pairs] for which in ("early", "late"))
        epochs = [pair["draw_epoch"] for pair in pairs]
        difference = Estimate.of([a - b for a, b in zip(early, late, strict=True)])
        epoch, full = sum(epochs) / len(epochs), pairs[0]["full_epochs"]
        accuracies = " | ".join(percent(estimate) for estimate in (Estimate.of(early), Estimate.of(late), difference))
        print(f"| {sparsity} | {epoch:.2f} | {full:.3g} | {accuracies} |", flush=True)
        found.append({"sparsity": sparsity, "seeds": pairs})
    document = {"machine": machine.describe(), "rows": found}
    (RESULTS / "early_bird.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
