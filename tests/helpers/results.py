"""Results made up, for reports."""

from __future__ import annotations

from typing import Any

from ticketsearch import Result

COST = {
    "epochs": 90.0,
    "train_examples": 100,
    "forward_examples": 10,
    "dense_flops": 5 * 10**9,
    "sparse_flops": 10**9,
    "trainings": 7,
    "wall_s": 1.5,
    "cpu_s": 2.5,
    "engine_s": 1.0,
    "strategy_s": 0.1,
}


LAYERS = [{"name": "weight", "shape": [6, 41], "kept": 25, "density": 25 / 246}]


def result(strategy: str = "ga", seed: int = 0, accuracy: float = 0.6, **changes: Any) -> Result:
    confirmation = {
        "test_accuracy": accuracy,
        "validation_accuracy": 0.5,
        "spread": 0.0,
        "test_accuracies": [accuracy],
        "untrained_test_accuracy": 0.1,
        "validation_accuracies": [0.5],
        "steps": 60,
        "diverged": 0,
        "cost": COST,
    }
    values: dict[str, Any] = {
        "strategy": strategy,
        "parameters": {"population": 24},
        "distribution": "ticketsearch",
        "task": "tiny",
        "task_fingerprint": "f1",
        "orders": 3,
        "seed": seed,
        "sparsity": 0.9,
        "budget": 100.0,
        "fidelity": 10,
        "n_weights": 246,
        "validation_accuracy": 0.5,
        "test_accuracy": accuracy,
        "dense_test_accuracy": 0.8,
        "random_test_accuracy": 0.4,
        "magnitude_test_accuracy": 0.5,
        "search_score": None,
        "curve": [],
        "short_scores": {},
        "cost": COST,
        "confirmation": confirmation,
        "references": {},
        "layers": LAYERS,
        "mask_digest": "0",
        "trials": 80,
        "failed_trials": 0,
        "calls": {"evaluate": 80},
        "stopped": "",
        "notes": {},
        "engine": "dense",
        "device": "cpu",
        "versions": {},
        "checkpoints": 8,
        "time_limit_s": None,
        "machine": {"processor": "Z80", "cores": 1, "threads": 1, "accelerator": "", "system": "CP/M"},
        "ticket": "t",
        "run": f"runs/{strategy}-{seed}",
    } | changes
    values.setdefault("n_kept", sum(layer["kept"] for layer in values["layers"]))
    return Result.model_validate(values)
