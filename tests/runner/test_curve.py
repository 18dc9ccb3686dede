"""ResumeStore of a search: which masks, at what cost, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from ticketsearch import MaskProblem, Ticket
from ticketsearch.cost import Cost
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import digest
from ticketsearch.problem.scores import Incumbent, Score
from ticketsearch.runner.confirm import confirm
from ticketsearch.runner.curve import FIDELITIES, milestones, short_scores
from ticketsearch.runner.progress import quiet
from ticketsearch.runner.setup import Setup


def incumbent(index: int, thirds: int) -> Incumbent:
    mask = np.zeros(8, dtype=bool)
    mask[index] = True
    return Incumbent(mask, Score(index / 10, 0.0), 10, Cost(forward_examples=thirds), (index / 10,))


def test_milestones_lie_at_doubling_costs() -> None:
    found = [incumbent(index, cost) for index, cost in enumerate([1, 3, 20, 24, 40, 90, 100])]
    kept = {count: [one.cost.thirds for one in milestones(found, count)] for count in (0, 1, 2, 3, 8)}
    assert kept[0] == []
    assert kept[1] == [100]  # at 100
    assert kept[2] == [40, 100]  # at 50, 100
    assert kept[3] == [24, 40, 100]  # at 25, 50, 100
    assert kept[8] == [1, 3, 24, 40, 100]  # at 1.6, 3.1, 6.3, 12.5: nothing new in between
    assert milestones([], 8) == []


@dataclass(frozen=True)
class Climb:
    """Four masks one after another; the run knows which were the best so far."""

    def search(self, problem: MaskProblem) -> None:
        for mask in tiny.masks_of(problem, 4):
            problem.evaluate([mask])


def test_a_curve_holds_what_the_search_would_have_returned(tmp_path: Path) -> None:
    task = tiny.make_task()
    result = ticketsearch.run(Climb(), task, budget="20ep", out=tmp_path, orders=2, engine="dense")
    problem = tiny.make_problem(20)
    Climb().search(problem)
    best = {digest(one.mask): one for one in problem.incumbents}
    assert len(best) >= 2, "the test needs a search that improves"
    assert [point.mask_digest for point in result.curve] == [
        digest(one.mask) for one in milestones(problem.incumbents, 8)
    ]
    setup = Setup.of(task, tiny.dense_engine(task), seed=0)
    for point in result.curve:
        own = best[point.mask_digest]
        assert point.search_score == own.score.value
        assert point.cost.epochs == pytest.approx(own.cost.epochs(300))
        alone = confirm(setup, [Ticket(own.mask)] * 2, "", quiet)
        assert point.test_accuracy == pytest.approx(alone.record.test_accuracy)
        assert point.validation_accuracy == pytest.approx(alone.record.validation_accuracy)
    last = result.curve[-1]
    assert (last.test_accuracy, last.mask_digest) == (result.test_accuracy, result.mask_digest)
    costs = [point.cost.epochs for point in result.curve]
    assert costs == sorted(costs)


def test_a_strategy_that_scores_nothing_has_a_curve_of_one_point_at_its_whole_cost(tmp_path: Path) -> None:
    result = ticketsearch.run("magnitude", tiny.make_task(), budget="20ep", out=tmp_path, orders=1)
    [point] = result.curve
    assert point.search_score is None
    assert point.cost.epochs == result.cost.epochs
    assert point.test_accuracy == result.test_accuracy


def test_checkpoints_change_nothing_else_and_can_be_left_out(tmp_path: Path) -> None:
    with_them = ticketsearch.run(Climb(), tiny.make_task(), budget="20ep", out=tmp_path, orders=1)
    without = ticketsearch.run(Climb(), tiny.make_task(), budget="20ep", out=tmp_path, orders=1, checkpoints=0)
    assert len(without.curve) == 1
    assert without.curve[-1].mask_digest == with_them.curve[-1].mask_digest
    assert without.test_accuracy == with_them.test_accuracy
    assert without.run != with_them.run
    with pytest.raises(InvalidValue, match="checkpoints -1"):
        ticketsearch.run(Climb(), tiny.make_task(), out=tmp_path, checkpoints=-1)


def test_short_scores_are_the_evaluator_s(tmp_path: Path) -> None:
    task = tiny.make_task()
    problem = tiny.make_problem(50, task=task)
    masks = tiny.masks_of(problem, 3)
    scores = short_scores(Setup.of(task, tiny.dense_engine(task), seed=0), masks, problem.fidelity)
    assert list(scores) == sorted({min(int(10 * factor), 60) for factor in FIDELITIES})
    for steps, found in scores.items():
        assert found.tolist() == [float(score) for score in problem.evaluate(masks, steps)]
    result = ticketsearch.run(Climb(), task, budget="20ep", out=tmp_path, orders=1, engine="dense")
    assert result.short_scores[10] == result.search_score
