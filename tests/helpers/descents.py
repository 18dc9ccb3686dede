"""Outcomes of the command descent: of a real network of a few hundred weights, and made up."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.helpers import tiny
from ticketsearch.studies.capacity import DENSE, IMP, RANDOM, DescentOutcome, Plan, Point
from ticketsearch.tasks import Task
from ticketsearch.tasks.networks import scaled_mlp

PLAN = Plan(sparsities=(0.5, 0.8), widths=(0.25, 1.0), seeds=(0,))


def task() -> Task:
    """For ``--task tests.helpers.descents:task``."""
    small = tiny.RECIPE.lasting(30)
    return replace(tiny.make_task(recipe=small), scaled=partial(scaled_mlp, (tiny.INPUTS, 12, 10, tiny.CLASSES)))


def point(curve: str, weights: int, test: float, train: float = 1.0, width: float = 1.0) -> Point:
    return Point(
        curve=curve,
        width=weights / 1000 if curve == DENSE else width,
        sparsity=0.0 if curve == DENSE else 1 - weights / 1000,
        distance=weights / 100,
        n_kept=weights,
        n_weights=weights,
        train_accuracy=train,
        train_loss=1 - train,
        test_accuracy=test,
        test_loss=1 - test,
        epochs=1.0,
        sparse_flops=weights,
    )


def outcome(seed: int, points: list[Point]) -> DescentOutcome:
    return DescentOutcome(
        task="made-up",
        task_fingerprint="f1",
        task_options={"label_noise": 0.2, "label_noise_kind": "flip"},
        keep=[],
        steps=100,
        train_examples=300,
        seed=seed,
        engine="dense",
        device="cpu",
        cpu_s=1.0,
        points=points,
    )


def made_up(seeds: int = 3) -> list[DescentOutcome]:
    """Dense networks of 10, 100 and 1,000 weights; tickets whose accuracy falls to 0.5 and rises to 0.7."""
    return [
        outcome(
            seed,
            [
                point(DENSE, 10, 0.3 + shift, 0.4),
                point(DENSE, 100, 0.4 + shift, 0.995),
                point(DENSE, 1000, 0.6 + shift),
                point(IMP, 500, 0.5 + 2 * shift),
                point(RANDOM, 500, 0.45 + 2 * shift, 0.9),
                point(IMP, 250, 0.59 + shift, 0.992),
                point(RANDOM, 250, 0.4 + shift, 0.8),
                point(IMP, 100, 0.7 + 3 * shift, 0.8),
                point(RANDOM, 100, 0.3 + shift, 0.7),
                point(IMP, 5, 0.2 + shift, 0.3),
                point(RANDOM, 5, 0.2 + shift, 0.2),
            ],
        )
        for seed, shift in zip(range(seeds), (-0.01, 0.0, 0.01), strict=False)
    ]
