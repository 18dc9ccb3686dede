"""Evaluations that start from the weights of earlier ones: from whose, to what end, and after a kill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers import images, tiny
from ticketsearch import MaskProblem
from ticketsearch.engine import Job, batch_indices
from ticketsearch.masks.ticket import Weights
from ticketsearch.problem.inheritance import POOL, Network, Order, unheld
from ticketsearch.records.ledger import Ledger
from ticketsearch.seeds import stream

STEPS, BATCH, TRAIN = 10, 30, 300


def trained(engine: Any, masks: Any, start: Weights) -> Weights:
    """By an engine's training loop, on the common data order."""
    order = batch_indices(TRAIN, BATCH, STEPS, stream(0, "evaluate"))
    [(weights, _)] = engine.train(Job(masks, start, tiny.RECIPE.lasting(STEPS), order), (STEPS,))
    return weights  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", list(tiny.ENGINES))
def test_a_child_goes_on_from_what_it_shares_with_the_nearest(name: str) -> None:
    task = tiny.make_task()
    engine = tiny.ENGINES[name](task)
    problem = tiny.make_problem(1000.0, engine=engine)
    first = tiny.masks_of(problem, 3)
    children = np.stack([problem.space.swap(first[row], 4, problem.rng(f"child {row}")) for row in (2, 0)])
    problem.evaluate(first, weights="inherited")
    before = problem.spent
    found = problem.evaluate(children, weights="inherited")
    initial = problem.initial_weights()
    parents = trained(engine, first, initial)
    start = np.tile(initial.vector, (2, 1))
    for row, parent in enumerate((2, 0)):
        both = children[row] & first[parent]
        assert 0 < both.sum() < problem.n_kept
        start[row, both] = parents.vector[parent, both]
    weights = trained(engine, children, Weights(start, parents.rest[[2, 0]]))
    expected = engine.measure(weights, task.validation)
    assert [one.loss for one in found] == pytest.approx(expected.loss.tolist(), rel=1e-5)
    assert [one.value for one in found] == pytest.approx(expected.accuracy.tolist())
    fresh = tiny.make_problem(1000.0, engine=engine)
    plain = fresh.evaluate(children)
    assert [one.loss for one in plain] != [one.loss for one in found]
    assert (problem.spent - before).counts() == fresh.spent.counts()  # it is charged for what it trains


def test_the_first_call_starts_from_the_initial_weights() -> None:
    masks = tiny.masks_of(tiny.make_problem(), 3)
    plain, inherited = (
        tiny.make_problem(100.0).evaluate(masks, weights=weights) for weights in ("initial", "inherited")
    )
    assert [one.loss for one in inherited] == pytest.approx([one.loss for one in plain], rel=1e-5)


def test_nothing_is_inherited_within_a_call_and_nothing_is_answered_from_memory() -> None:
    problem = tiny.make_problem(1000.0)
    [mask] = tiny.masks_of(problem, 1)
    alone = problem.evaluate([mask], weights="inherited")
    others = tiny.masks_of(problem, 90)  # more than one slab, and than the pool
    again = tiny.make_problem(1000.0)
    assert again.evaluate([*others, mask], weights="inherited")[-1].loss == pytest.approx(alone[0].loss, rel=1e-5)
    later = problem.evaluate([mask], weights="inherited")
    assert later[0].loss != alone[0].loss  # trained on from itself
    assert problem.trials == 2


@pytest.mark.parametrize("score", ["train-loss", "train-loss-last", "train-loss-ema"])
def test_training_losses_are_scored_as_without(score: Any) -> None:
    masks = tiny.masks_of(tiny.make_problem(), 3)
    plain, inherited = (
        tiny.make_problem(100.0).evaluate(masks, score=score, weights=weights) for weights in ("initial", "inherited")
    )
    assert [one.value for one in inherited] == pytest.approx([one.value for one in plain], rel=1e-5)


def test_without_a_step_a_child_is_measured_as_it_begins() -> None:
    problem = tiny.make_problem(100.0)
    [mask] = tiny.masks_of(problem, 1)
    [before] = problem.evaluate([mask], weights="inherited")
    [after] = problem.evaluate([mask], 0, weights="inherited")
    assert after.loss == pytest.approx(before.loss, rel=1e-6)


def descend(problem: MaskProblem, calls: int) -> list[float]:
    """Call after call, each on children of the best."""
    rng = problem.rng("descend")
    best, found = problem.space.random(problem.n_kept, rng), []
    for call in range(calls):
        masks = [best, *(problem.space.swap(best, 3, rng) for _ in range(POOL + 5 if call == 1 else 5))]
        scores = problem.evaluate(masks, orders="fresh", weights="inherited")
        found += [score.loss for score in scores]
        best = masks[int(np.argmax([score.value for score in scores]))]
    return found


@pytest.mark.parametrize("recorded", [0, 6, 6 + 64, 6 + 70, 6 + 70 + 6, 6 + 70 + 6 + 6])
def test_a_search_goes_on_after_a_kill_as_it_would_have(recorded: int) -> None:
    """Also within a call: what was trained is on record up to a slab of it."""
    whole = Ledger()
    expected = descend(tiny.make_problem(10_000.0, ledger=whole), 5)
    part = Ledger()
    part.append([whole[number] for number in range(recorded)])
    problem = tiny.make_problem(10_000.0, ledger=part)
    assert descend(problem, 5) == expected
    assert problem.spent.counts() == whole[len(whole) - 1].after.counts()  # what was lost is not charged twice


def test_channels_bring_their_rest_and_new_ones_begin_anew() -> None:
    problem = tiny.make_problem(1000.0, task=images.resnet(), granularity="channel", sparsity=0.5)
    rng = problem.rng("channels")
    mask = problem.space.random(problem.n_kept, rng)
    child = problem.space.swap(mask, 2, rng)
    problem.evaluate([mask], 3, weights="inherited")
    seen: list[Job] = []
    engine = problem._session.engine
    train = engine.train

    def spied(job: Job, stops: tuple[int, ...]) -> Any:
        seen.append(job)
        return train(job, stops)

    engine.train = spied  # type: ignore[method-assign]
    problem.evaluate([child], 3, weights="inherited")
    [job] = seen
    units, initial = problem.units, problem.initial_weights()
    owned, kept = units.rest_mask(mask[None]), units.expand(mask[None])
    assert owned is not None
    new = units.expand(child[None])[0] & ~kept[0]
    assert new.any()
    assert np.array_equal(job.start.vector[0, new], initial.vector[new])
    assert not np.array_equal(job.start.vector[0, kept[0]], initial.vector[kept[0]])
    assert np.array_equal(job.start.rest[0, ~owned[0]], initial.rest[~owned[0]])
    assert not np.array_equal(job.start.rest[0, owned[0]], initial.rest[owned[0]])


def test_what_is_not_held_is_trained_from_its_oldest_ancestor_on() -> None:
    orders = [Order(5, call, 0) for call in range(4)]
    root = Network.untrained(np.ones(8, dtype=bool), orders[0], None)
    left, right = (Network.untrained(np.ones(8, dtype=bool), orders[1], root) for _ in range(2))
    low = Network.untrained(np.ones(8, dtype=bool), orders[2], left)
    assert unheld([None, low, right, low]) == [[root], [left, right], [low]]
    root.kept = np.zeros(8, dtype=np.float32)
    assert unheld([low, right]) == [[left, right], [low]]
    left.kept = root.kept
    assert unheld([low]) == [[low]]
    assert unheld([left, None]) == []
