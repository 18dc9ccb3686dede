"""What moving weights costs: CPU seconds of a training by RigL beside one under its last mask without it.

    python -m benchmarks.dynamic

Both take turns on one thread; each line is the median of the ratios. The price on kept weights is that of the ledger:
a gradient by all weights has one dense product of three.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import ticketsearch.strategies.dynamic as dynamic
from ticketsearch.cost import Meter
from ticketsearch.engine import make_engine
from ticketsearch.problem import MaskProblem
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.setup import Setup
from ticketsearch.tasks import load_task

Found = TypeVar("Found")


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print("| task, sparsity | CPU s of a training | with `rigl` | ratio of CPU | of kept-weight FLOPs |")
    print("|---|---:|---:|---:|---:|")
    for name, sparsity in (("mnist1d-mlp", 0.9), ("mnist1d-mlp", 0.98), ("mnist1d-wide", 0.9), ("mnist1d-wide", 0.98)):
        setup = Setup.of(task := load_task(name), make_engine(task, workers=1), 0)
        rows = [_measured(setup, sparsity) for _ in range(arguments.repeats + 1)][1:]
        plain, moved = (median(row[index] for row in rows) for index in (0, 1))
        ratio, flops = median(row[1] / row[0] for row in rows), rows[0][2]
        print(f"| {name}, {sparsity:g} | {plain:.2f} | {moved:.2f} | {ratio:.2f} | {flops:.2f} |", flush=True)


def _measured(setup: Setup, sparsity: float) -> tuple[float, float, float]:
    """CPU seconds of a training, of one by RigL, and the ratio of their prices."""

    def timed(search: Callable[[MaskProblem], Found]) -> tuple[Found, float, int]:
        problem = MaskProblem(
            setup.session(sparsity, setup.task.fidelity, Meter(len(setup.task.train.labels)), Ledger())
        )
        begun = time.process_time()
        found = search(problem)
        return found, time.process_time() - begun, problem.spent.sparse_flops

    ticket, moved, moved_price = timed(dynamic.RigL().search)
    _, plain, price = timed(lambda problem: list(problem.train(ticket.mask)))
    return plain, moved, moved_price / price


if __name__ == "__main__":
    main()
