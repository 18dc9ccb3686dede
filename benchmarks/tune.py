"""Defaults of strategies, tuned alike: as many settings of each, the same tasks, seeds and budget, validation accuracy.

    python -m benchmarks.tune --out benchmarks/results/tuning.json
    TICKETSEARCH_DATA=DATA python -m benchmarks.tune --strategies imp --tasks mnist-lenet

Each setting is searched on each task and seed, and its ticket trained in full on two data orders. What counts is
validation accuracy; the test split is not touched, and the seeds are none of any study's. What is in the file is not
made again, so an interrupted tuning goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from ticketsearch.cost import parse_fidelity
from ticketsearch.engine import make_engine
from ticketsearch.errors import TicketsearchError
from ticketsearch.masks.ticket import Ticket
from ticketsearch.records.files import write_atomically
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.spec import Spec
from ticketsearch.runner.confirm import confirm
from ticketsearch.runner.progress import Silent, quiet
from ticketsearch.runner.search import search
from ticketsearch.runner.setup import Setup
from ticketsearch.strategies.base import make_strategy, parameters_of
from ticketsearch.tasks import load_task

SEEDS = (1000, 1001)
"""None of any study's."""
TASKS = {"mnist1d-mlp": 0.9, "mnist1d-wide": 0.98, "mnist-lenet": 0.98}
"""Name -> sparsity. LeNet is for IMP alone: an epoch of it costs what 240 do of ``mnist1d-mlp``."""
BUDGET = 2000.0
"""Epochs of the dense network."""
SHORT = "100step"
RISING = "100step..400step"
SETTINGS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "imp": [
        (SHORT, {"scope": scope, "round_steps": length})
        for scope in ("global", "layer")
        for length in ("7%", "20%", "100%")
    ],
    "continuous-sparsification": [
        (SHORT, {"rate": rate, "pull": pull}) for rate in (3.0, 10.0, 30.0) for pull in (0.3, 1.0)
    ],
    "synflow": [(SHORT, {"rounds": rounds}) for rounds in (1, 10, 30, 100, 300, 1000)],
    "snip": [(SHORT, {"examples": examples}) for examples in (100, 250, 500, 1000, 2000, 4000)],
    "ga": [
        (RISING, {"encoding": encoding, "orders": orders, **more})
        for encoding, more in (("swap", {}), ("neurons", {}), ("neurons", {"mutation": 0.6}))
        for orders in ("common", "fresh")
    ],
    "sa": [
        (RISING, {"encoding": encoding, "orders": orders, **more})
        for encoding, more in (("swap", {}), ("neurons", {}), ("neurons", {"chains": 4}))
        for orders in ("common", "fresh")
    ],
    "cma-es": [
        (RISING, {"population": size, "score": score}) for size in (12, 24, 48) for score in ("accuracy", "loss")
    ],
    "eda": [
        (RISING, {"update": update, "rate": rate})
        for update, rates in (("policy-gradient", (0.3, 1.0)), ("cross-entropy", (0.1, 0.3)), ("pbil", (0.1, 0.3)))
        for rate in rates
    ],
    "hyperband": [
        (SHORT, {"proposals": "evolution", "weight": weight, "pool": pool})
        for weight in (0.5, 0.8)
        for pool in (12, 24, 48)
    ],
}
"""Six settings of each strategy."""


def main() -> None:
    """Tune, or go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tuning.json"))
    parser.add_argument("--strategies", default=",".join(SETTINGS))
    parser.add_argument("--tasks", default="mnist1d-mlp,mnist1d-wide")
    arguments = parser.parse_args()
    out: Path = arguments.out
    content: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {"machine": describe(), "runs": {}}
    for task_name in arguments.tasks.split(","):
        task, sparsity = load_task(task_name), TASKS[task_name]
        engine = make_engine(task, workers=1)
        for seed in SEEDS:
            setup = Setup.of(task, engine, seed)
            for name in arguments.strategies.split(","):
                for fidelity, settings in SETTINGS[name]:
                    key = json.dumps([name, settings, fidelity, task_name, sparsity, seed], sort_keys=True)
                    if key not in content["runs"]:
                        content["runs"][key] = _tuned(setup, name, settings, fidelity, sparsity)
                        write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
                        print(key, content["runs"][key], file=sys.stderr, flush=True)
    print(table(content["runs"]))


def _tuned(setup: Setup, name: str, settings: dict[str, Any], fidelity: str, sparsity: float) -> dict[str, Any]:
    """Validation accuracy of the ticket after full training, and what the search cost; or why there is none."""
    strategy = make_strategy(name, settings)
    first, last = parse_fidelity(fidelity, setup.task.steps_per_epoch)
    spec = Spec(
        strategy=name,
        distribution="ticketsearch",
        parameters=parameters_of(strategy),
        task=setup.task.name,
        task_fingerprint=setup.task.fingerprint,
        sparsity=sparsity,
        budget=BUDGET,
        fidelity=first,
        seed=setup.seed,
        orders=2,
        controls=[],
        checkpoints=0,
        engine=setup.engine.name,
        device="cpu",
        fidelity_end=last,
    )
    try:
        found = search(setup, spec, strategy, Ledger(), Silent())
    except TicketsearchError as error:
        return {"validation_accuracy": None, "reason": str(error)}
    tickets: list[Ticket] = [found.ticket] * 2
    record = confirm(setup, tickets, name, quiet).record
    return {
        "validation_accuracy": record.validation_accuracy,
        "epochs": found.spent.epochs(len(setup.task.train.labels)),
        "sparse_gflop": found.spent.sparse_flops / 1e9,
        "cpu_s": found.spent.cpu_s,
    }


def table(runs: dict[str, Any]) -> str:
    """Mean validation accuracy of each setting over tasks and seeds, in Markdown; the best of a strategy in bold."""
    lines = [
        "| strategy | settings | " + " | ".join(f"{task} {s:g}" for task, s in TASKS.items()) + " | mean | GFLOP |"
    ]
    lines.append("|---|---|" + "---:|" * (len(TASKS) + 2))
    for name, settings in SETTINGS.items():
        rows = []
        for fidelity, own in settings:
            cells, flops = [], []
            for task, sparsity in TASKS.items():
                keys = [json.dumps([name, own, fidelity, task, sparsity, seed], sort_keys=True) for seed in SEEDS]
                found = [runs[key] for key in keys if key in runs and runs[key]["validation_accuracy"] is not None]
                cells.append(float(np.mean([one["validation_accuracy"] for one in found])) if found else float("nan"))
                flops += [one["sparse_gflop"] for one in found]
            measured = [cell for cell in cells if np.isfinite(cell)]
            rows.append(
                (
                    own,
                    cells,
                    float(np.mean(measured)) if measured else float("nan"),
                    float(np.mean(flops)) if flops else float("nan"),
                )
            )
        best = max((mean for *_, mean, _ in rows if np.isfinite(mean)), default=None)
        for own, cells, mean, flop in rows:
            mark = "**" if mean == best else ""
            words = ", ".join(f"{key}={value}" for key, value in own.items())
            numbers = " | ".join(f"{100 * cell:.1f}" if np.isfinite(cell) else "" for cell in cells)
            lines.append(f"| {name} | {words} | {numbers} | {mark}{100 * mean:.1f}{mark} | {flop:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
