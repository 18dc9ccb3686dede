"""Made-up studies with something to show in every part of a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.helpers.results import COST, result
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.section import Section
from ticketsearch.leaderboard.studies import LoadedStudy
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Baseline, Failure

STEPS = (5, 10, 20)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def cost(epochs: float) -> dict[str, Any]:
    return COST | {
        "epochs": epochs,
        "train_examples": int(300 * epochs),
        "forward_examples": 0,
        "wall_s": epochs / 50,
        "sparse_flops": int(10**6 * epochs),
        "cpu_s": epochs / 100,
        "engine_s": epochs / 80,
        "strategy_s": epochs / 400,
    }


def made(
    strategy: str, seed: int, sparsity: float, top: float, epochs: float, *, search: bool = False, **changes: Any
) -> Result:
    """A run that climbs towards ``top`` above random masks, with one checkpoint, or eight if it is a search."""
    rng = np.random.Generator(np.random.PCG64([seed, int(100 * sparsity), len(strategy)]))
    random = 0.9 - 0.5 * sparsity + float(rng.normal(0, 0.005))
    curve: list[dict[str, Any]] = []
    for step in range(8 if search else 1):
        share = (step + 1) / 8 if search else 1.0
        accuracy = random + top * share + float(rng.normal(0, 0.004))
        point = {
            "cost": cost(epochs * 2.0 ** (step - 7) if search else epochs),
            "test_accuracy": accuracy,
            "search_score": 0.2 + 0.1 * share if search else None,
            "fidelity": 100 if search else None,
            "validation_accuracy": accuracy,
            "mask_digest": str(step),
        }
        curve.append(point)
    accuracy = curve[-1]["test_accuracy"]
    base = result(strategy, seed, accuracy)
    other = base.confirmation.model_copy(update={"test_accuracy": random - 0.01})
    values: dict[str, Any] = {
        "sparsity": sparsity,
        "budget": 2000.0,
        "curve": curve,
        "cost": cost(epochs),
        "parameters": {},
        "calls": {"evaluate": 80} if search else {"train": 3},
        "random_test_accuracy": random,
        "confirmation": base.confirmation.model_dump() | {"cost": cost(50.0)},
        "references": {"shuffle-mask": other.model_dump()},
        "layers": [{"name": f"fc{i}.weight", "shape": [4, 4], "kept": 4, "density": 0.1 * i} for i in (1, 2)],
        "short_scores": {steps: 0.1 + accuracy / 3 + float(rng.normal(0, 0.01)) for steps in STEPS},
        "versions": {"python": "3.11", "ticketsearch": "0.1.0"},
        "run": f"{strategy}-{sparsity}-{seed}",
    } | changes
    return result(strategy, seed, accuracy, **values)


def baseline(seed: int, sparsity: float) -> Baseline:
    scores = np.random.Generator(np.random.PCG64([seed, 5])).normal(0.4, 0.02, 8)
    return Baseline(
        task="tiny",
        task_fingerprint="f1",
        sparsity=sparsity,
        seed=seed,
        budget=2000.0,
        fidelity=10,
        short_scores={steps: (scores / 2).tolist() for steps in STEPS},
        evaluation_epochs=dict.fromkeys(STEPS, 1.5),
        test_accuracies=scores.tolist(),
        dense_budget_test_accuracy=0.82,
    )


def study(seeds: int = 10, sparsities: tuple[float, ...] = (0.8, 0.9)) -> LoadedStudy:
    results = []
    for sparsity in sparsities:
        for seed in range(seeds):
            results += [
                made("imp", seed, sparsity, 0.1, 40.0, parameters={"rounds": 1}),
                made("imp", seed, sparsity, 0.2, 400.0, parameters={"rounds": 11}, run=f"imp-11-{sparsity}-{seed}"),
                made("magnitude", seed, sparsity, 0.12, 50.0),
                made("snip", seed, sparsity, 0.08, 0.25),
                made("ga", seed, sparsity, 0.21, 2000.0, search=True),
                made("random", seed, sparsity, 0.05, 2000.0, search=True),
            ]
    failure = Failure(strategy="sa", settings={"t0": 1}, task="tiny", sparsity=0.8, seed=3, budget="9ep", reason="NaN")
    return LoadedStudy(results, [baseline(s, sparsity) for sparsity in sparsities for s in range(seeds)], [failure])


def analysed(study: LoadedStudy) -> list[Section]:
    return analyse(study.results, study.baselines)


def evil() -> LoadedStudy:
    """Names, settings and reasons that are HTML."""
    changes: dict[str, Any] = {"task": EVIL, "parameters": {"name": EVIL}, "versions": {EVIL: EVIL}, "device": EVIL}
    layers = [{"name": EVIL, "shape": [1], "kept": 1, "density": 1.0}]
    results = [
        made(strategy, seed, 0.8, 0.1, 90.0, search=strategy == EVIL, layers=layers, **changes)
        for strategy in ("imp", EVIL)
        for seed in range(3)
    ]
    failure = Failure(strategy=EVIL, settings={EVIL: EVIL}, task=EVIL, sparsity=0.8, seed=3, budget=EVIL, reason=EVIL)
    return LoadedStudy(results, [], [failure], [f"a problem with {EVIL}"])
