"""What a default `ga` run spends on anything but training: the ledger, the driver, the strategy.

    python benchmarks/overhead.py [--runs 5] [--budget 2000ep]

Each run is `ticketsearch run --strategy ga` with its defaults, in a folder of its own, kernels compiled beforehand. Of
its search's wall seconds, as its result has them: those outside the engine; of these the strategy's own; the rest is
the driver's (digests, prices, the meter, the record), in which the ledger's are timed apart. Shares are medians, of the
search's seconds and of the whole run's, its confirmation included. Prints one JSON line and writes
``benchmarks/results/overhead.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import ticketsearch
from ticketsearch.records.ledger import Ledger, Trial

RESULTS = Path(__file__).resolve().parent / "results"


def measured(out: Path, seed: int, budget: str) -> dict[str, float]:
    """Seconds of one run's search."""
    ledger_s = 0.0
    append = Ledger.append

    def timed(self: Ledger, trials: Sequence[Trial]) -> None:
        nonlocal ledger_s
        begin = time.perf_counter()
        append(self, trials)
        ledger_s += time.perf_counter() - begin

    begin = time.perf_counter()
    with mock.patch.object(Ledger, "append", timed):
        result = ticketsearch.run("ga", seed=seed, budget=budget, out=out)
    run_s = time.perf_counter() - begin
    cost = result.cost
    return {
        "trials": result.trials,
        "run_s": run_s,
        "search_s": cost.wall_s,
        "engine_s": cost.engine_s,
        "strategy_s": cost.strategy_s,
        "driver_s": cost.wall_s - cost.engine_s - cost.strategy_s,
        "ledger_s": ledger_s,
    }


def main() -> None:
    """Run, print, write."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--budget", default="2000ep")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ticketsearch.run("random", budget="10ep", orders=1, checkpoints=0, out=folder)  # compiles
        runs = [measured(Path(folder) / str(seed), seed, arguments.budget) for seed in range(arguments.runs)]
    shares = {
        f"share_of_{whole}": {
            name: round(statistics.median(run[f"{name}_s"] / run[f"{whole}_s"] for run in runs), 4)
            for name in ("engine", "strategy", "driver", "ledger")
        }
        for whole in ("search", "run")
    }
    print(json.dumps(shares | {"runs": len(runs)}))
    document = {"machine": machine.describe(), "budget": arguments.budget, **shares, "runs": runs}
    (RESULTS / "overhead.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
