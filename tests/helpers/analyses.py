"""Studies made up, for analyses."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.helpers.results import COST, result
from ticketsearch import Result
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.section import Section

SEEDS = range(10)


TRAIN = 300
"""Examples in an epoch."""


def cost(epochs: float) -> dict[str, Any]:
    """So many epochs of training; other currencies in proportion."""
    return COST | {
        "epochs": epochs,
        "train_examples": round(epochs * TRAIN),
        "forward_examples": 0,
        "sparse_flops": round(epochs * 10**6),
        "cpu_s": epochs / 10,
    }


def noise(seed: int) -> float:
    return float(np.random.Generator(np.random.PCG64(seed)).normal(0, 0.004))


def run(strategy: str, seed: int, *points: tuple[float, float, float | None], **changes: Any) -> Result:
    """A run from its curve: (epochs, accuracy, search score)."""
    last, accuracy = points[-1][0], points[-1][1] + noise(seed)
    curve = [
        {
            "cost": cost(epochs),
            "search_score": score,
            "fidelity": None if score is None else 100,
            "test_accuracy": value + noise(seed),
            "validation_accuracy": 0.5,
            "mask_digest": str(epochs),
        }
        for epochs, value, score in points
    ]
    confirmation = {
        "test_accuracy": accuracy,
        "validation_accuracy": 0.5,
        "spread": 0.0,
        "test_accuracies": [accuracy],
        "untrained_test_accuracy": 0.1,
        "validation_accuracies": [0.5],
        "steps": 60,
        "diverged": 0,
        "cost": cost(6),
    }
    calls = {"evaluate": 9} if strategy in ("ga", "sa", "random") else {"train": 1}
    values = {
        "curve": curve,
        "cost": cost(last),
        "confirmation": confirmation,
        "calls": calls,
        "run": f"{strategy}{seed}",
        "random_test_accuracy": 0.4 + noise(seed + 100),
        "dense_test_accuracy": 0.8,
        "short_scores": {},
        "validation_accuracy": points[-1][1],
        "references": {},
        "layers": [{"name": "a", "shape": [4, 5], "kept": 4, "density": 0.2}],
    }
    if strategy == "imp":
        shuffled = confirmation | {"test_accuracy": 0.41 + noise(seed + 200)}
        values["references"] = {"shuffle-mask": shuffled}
    return result(strategy, seed, accuracy, **(values | changes))


def study(**strategies: Any) -> Section:
    """Each strategy's points, the same for all seeds but for the noise; ``imp_2`` is ``imp`` with other parameters."""
    runs = []
    for name, points in strategies.items():
        strategy, _, version = name.partition("_")
        for seed in SEEDS:
            own = {"parameters": {"version": version or 1}, "run": f"{name}{seed}"}
            runs.append(run(strategy, seed, *points, **own))
    [section] = analyse(runs)
    return section


IMP = [(550.0, 0.66, None)]
