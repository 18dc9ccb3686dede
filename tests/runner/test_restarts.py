"""What a round of iterative pruning goes back to, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import MaskProblem, Ticket
from ticketsearch.problem.scores import Snapshot
from ticketsearch.strategies.imp import IterativeMagnitudePruning
from ticketsearch.strategies.stability import Stability


def logged(problem: MaskProblem, strategy: IterativeMagnitudePruning) -> tuple[Ticket, list[dict[str, Any]]]:
    """The ticket, and of each training: its arguments, the learning rates at both ends, steps and last weights."""
    calls: list[dict[str, Any]] = []
    original = problem.train

    def train(mask: Any = None, **options: Any) -> Iterator[Snapshot]:
        recipe, first = options["recipe"], options["first_step"]
        call: dict[str, Any] = {"mask": mask, "start": options["start"], "first": first, "steps": 0}
        call["rate"] = recipe.learning_rate_at(first)
        calls.append(call)
        for snapshot in original(mask, **options):
            call["steps"], call["final"] = snapshot.step - first, snapshot.weights
            call["last_rate"] = recipe.learning_rate_at(snapshot.step - 1)
            yield snapshot

    tiny.watch(problem, "train", train)
    return strategy.search(problem), calls


def test_by_default_every_round_begins_at_the_peak_of_the_schedule() -> None:
    _, calls = logged(tiny.make_problem(), IterativeMagnitudePruning(rounds=3))
    assert [call["rate"] for call in calls] == [tiny.RECIPE.learning_rate] * 3


def test_without_restarts_one_schedule_falls_through_all_rounds() -> None:
    problem = tiny.make_problem()
    _, calls = logged(problem, IterativeMagnitudePruning(rounds=3, lr_restart=False))
    rates = [call["rate"] for call in calls]
    assert rates[0] == tiny.RECIPE.learning_rate
    assert rates[0] > rates[1] > rates[2] > 0
    assert [call["steps"] for call in calls] == [60, 60, 60]
    assert all(later["rate"] < earlier["last_rate"] for earlier, later in pairwise(calls))
    assert problem.spent.train_examples == 3 * 60 * 30  # breaking off at the end of a round pays for no more


def test_weights_are_rewound_or_only_the_learning_rate() -> None:
    ticket, calls = logged(tiny.make_problem(), IterativeMagnitudePruning(rounds=2, rewind="7step"))
    assert calls[1]["first"] == 7
    assert ticket.step == 7
    assert ticket.weights is calls[1]["start"]
    ticket, calls = logged(
        tiny.make_problem(), IterativeMagnitudePruning(rounds=2, rewind="7step", restart="learning-rate")
    )
    assert calls[1]["start"] is calls[0]["final"]
    assert ticket.weights is calls[1]["final"]
    assert (calls[1]["first"], ticket.step) == (7, 7)


@pytest.mark.parametrize("distance", ["raw", "normalised"])
def test_a_round_ends_when_its_mask_has_settled(distance: Any) -> None:
    strategy = IterativeMagnitudePruning(rounds=2, stop=distance, queue=2, threshold=1.0)
    _, calls = logged(tiny.make_problem(), strategy)
    assert [call["steps"] for call in calls] == [20, 20]  # two epochs: two masks that differ by anything at all
    strict = IterativeMagnitudePruning(rounds=2, stop=distance, queue=6, threshold=1e-9)
    assert [call["steps"] for call in logged(tiny.make_problem(), strict)[1]] == [60, 60]


def test_stability_compares_the_newest_with_each_of_a_full_queue() -> None:
    a, b = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    stability = Stability(3, 0.1, normalised=False)
    assert [stability.settled(mask) for mask in (b, a, a, a, a, b)] == [False, False, False, True, True, False]


def test_a_normalised_distance_is_stricter_on_sparse_masks() -> None:
    masks = np.zeros((2, 1000), dtype=bool)
    masks[0, :20], masks[1, 10:30] = True, True  # half of the kept weights differ, 2 % of all
    raw, normalised = (Stability(2, 0.1, normalised=kind) for kind in (False, True))
    assert [raw.settled(mask) for mask in masks] == [False, True]
    assert [normalised.settled(mask) for mask in masks] == [False, False]
