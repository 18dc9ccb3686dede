"""What a short training is scored by, on which data orders, how often, and for how long; and what a search believes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.runs import run
from ticketsearch import BudgetExhausted, MaskProblem
from ticketsearch.cost import levels_between, parse_fidelity
from ticketsearch.engine import Job, batch_indices
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import digest
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.results import read_result
from ticketsearch.runner.verify import verify_run
from ticketsearch.seeds import stream

STEPS, BATCH, TRAIN, VALIDATION = 10, 30, 300, 100
EVALUATION = (3 * STEPS * BATCH + VALIDATION) / (3 * TRAIN)
"""Epochs."""


def losses_of(kind: str, masks: Any, order: Any) -> Any:
    """Training losses ``(P, S)`` of each step, by an engine's training loop, stopped at each."""
    task = tiny.make_task()
    engine = tiny.ENGINES[kind](task)
    problem = tiny.make_problem()
    job = Job(masks, problem.initial_weights(), task.recipe.lasting(STEPS), order)
    return np.stack([losses for _, losses in engine.train(job, tuple(range(1, STEPS + 1)))], axis=1)


@pytest.mark.parametrize("engine", list(tiny.ENGINES))
def test_scores_of_training_losses_are_those_of_its_steps(engine: str) -> None:
    problem = tiny.make_problem(1000.0, engine=tiny.ENGINES[engine](tiny.make_task()))
    masks = tiny.masks_of(problem, 4)
    order = batch_indices(TRAIN, BATCH, STEPS, stream(0, "evaluate"))
    trace = losses_of(engine, masks, order)
    average = trace[:, 0]
    for step in range(1, STEPS):  # ema <- 0.1 ema + 0.9 loss
        average = 0.1 * average + 0.9 * trace[:, step]
    expected = {"train-loss": trace.mean(1), "train-loss-last": trace[:, -1], "train-loss-ema": average}
    for score, values in expected.items():
        found = problem.evaluate(masks, score=score)  # type: ignore[arg-type]
        assert [one.value for one in found] == pytest.approx((-values).tolist(), rel=1e-5)
    plain = problem.evaluate(masks)
    assert [one.value for one in problem.evaluate(masks, score="loss")] == [-one.loss for one in plain]
    assert problem.spent.epochs(TRAIN) == pytest.approx(5 * 4 * EVALUATION)  # the same training, the same price


def test_fresh_orders_are_one_for_each_call_and_the_same_for_its_masks() -> None:
    problem = tiny.make_problem(1000.0)
    masks = tiny.masks_of(problem, 3)
    task = tiny.make_task()
    engine = tiny.dense_engine(task)
    for call in (1, 2):
        order = batch_indices(TRAIN, BATCH, STEPS, stream(0, "evaluate", call))
        job = Job(masks, problem.initial_weights(), task.recipe.lasting(STEPS), order)
        expected = engine.evaluate(job, task.validation)
        found = problem.evaluate(masks, orders="fresh")
        assert [one.loss for one in found] == expected.loss.tolist()
    assert problem.trials == 6  # a new order is a new measurement: nothing is answered from memory
    common = [problem.evaluate(masks) for _ in range(2)]
    assert common[0] == common[1]
    assert problem.trials == 9


def test_a_mask_asked_for_twice_in_a_call_is_trained_once() -> None:
    problem = tiny.make_problem(1000.0)
    [mask] = tiny.masks_of(problem, 1)
    first, second = problem.evaluate([mask, mask], orders="fresh")
    assert first == second
    assert problem.trials == 1


def test_repeats_are_paid_one_by_one_and_their_mean_is_the_score() -> None:
    problem = tiny.make_problem(1000.0)
    masks = tiny.masks_of(problem, 3)
    scores = problem.evaluate(masks, repeats=3)
    trials = list(problem._session.replay.ledger)
    assert problem.spent.epochs(TRAIN) == pytest.approx(9 * EVALUATION)
    assert problem.spent.trainings == len(trials) == 9
    for mask, score in zip(masks, scores, strict=True):
        own = [trial.score for trial in trials if trial.mask == digest(mask)]
        assert len({trial.loss for trial in trials if trial.mask == digest(mask)}) == 3  # other orders
        assert score.value == pytest.approx(np.mean([value for value in own if value is not None]))
    [single] = problem.evaluate(masks[:1])
    assert single.value == trials[0].score  # the first order is that of a single training
    best = problem.incumbent
    assert best is not None
    assert best.score == max(scores)
    assert np.mean(best.values) == pytest.approx(best.score.value)


def test_a_budget_for_some_of_the_repeats_pays_for_none() -> None:
    problem = tiny.make_problem(3 * EVALUATION)
    with pytest.raises(BudgetExhausted, match="an evaluation costs 2\\.222ep"):
        problem.evaluate(tiny.masks_of(problem, 2), repeats=2)
    assert problem.trials == 2  # of the first mask, both


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "los"}, "score 'los' is none of accuracy, loss"),
        ({"orders": "new"}, "orders 'new' is none of common, fresh"),
        ({"weights": "warm"}, "weights 'warm' is none of initial, inherited"),
        ({"repeats": 0}, "repeats 0"),
        ({"repeats": True}, "repeats True"),
        ({"repeats": 1.5}, "repeats 1.5"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], words: str) -> None:
    problem = tiny.make_problem()
    with pytest.raises(StrategyError, match=words):
        problem.evaluate(tiny.masks_of(problem, 1), **options)


def test_a_rising_fidelity_doubles_with_equal_shares_of_the_budget() -> None:
    assert levels_between(10, 60) == [10, 20, 40, 60]
    session = tiny.make_problem(200.0)._session
    session.fidelity_end = 60
    problem = MaskProblem(session)
    seen: list[tuple[float, int]] = []
    masks = iter(tiny.masks_of(problem, 2000))

    def spend() -> None:
        for mask in masks:
            seen.append((problem.spent_fraction, problem.fidelity))
            problem.evaluate([mask])

    with pytest.raises(BudgetExhausted):
        spend()
    assert all(steps == [10, 20, 40, 60][min(3, int(4 * spent))] for spent, steps in seen)
    assert {steps for _, steps in seen} == {10, 20, 40, 60}
    trials = list(session.replay.ledger)
    assert {trial.fidelity for trial in trials} == {10, 20, 40, 60}
    best = problem.incumbent
    assert best is not None
    assert best.fidelity == 60


@pytest.mark.parametrize(
    ("text", "parsed"), [("100step..800step", (100, 800)), ("1ep..2ep", (10, 20)), (7, (7, None)), ("0.5ep", (5, None))]
)
def test_a_fidelity_is_read(text: int | str, parsed: tuple[int, int | None]) -> None:
    assert parse_fidelity(text, 10) == parsed


@pytest.mark.parametrize("text", ["20step..10step", "5step..5step", "0step..5step", "..5step", "5step..", "5step..x"])
def test_a_fidelity_that_does_not_rise_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="fidelity"):
        parse_fidelity(text, 10)


@dataclass(frozen=True)
class Believing:
    """Evaluates random masks, and believes in others."""

    until: int = 100
    ends: bool = False

    def search(self, problem: MaskProblem) -> None:
        rng = problem.rng("believing")
        for turn in range(self.until):
            problem.evaluate(problem.space.random(problem.n_kept, rng, 2))
            if turn % 2:
                problem.believe(problem.space.random(problem.n_kept, problem.rng(f"belief {turn}")))


def test_the_last_belief_is_the_ticket_and_those_before_it_the_curve(tmp_path: Path) -> None:
    result = run(tmp_path, Believing(), budget="20ep", checkpoints=4)
    problem = tiny.make_problem()
    turns = int(20 / (2 * EVALUATION))
    believed = [
        digest(problem.space.random(problem.n_kept, problem.rng(f"belief {turn}"))) for turn in range(1, turns, 2)
    ]
    assert result.mask_digest == believed[-1]
    assert {point.mask_digest for point in result.curve} <= set(believed)
    assert len(result.curve) > 2
    assert result.curve[-1].search_score is None  # it was never scored
    report = verify_run(result.run, strategy=Believing(), task=tiny.make_task())
    assert not report.differences


def test_without_a_belief_the_best_mask_is_the_ticket(tmp_path: Path) -> None:
    result = run(tmp_path, Believing(until=1), budget="20ep")
    assert result.curve[-1].search_score == result.search_score


def test_a_belief_that_keeps_another_number_is_refused(problem: MaskProblem) -> None:
    with pytest.raises(StrategyError, match="keeps"):
        problem.believe(np.ones(problem.space.size, dtype=bool))


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "ga", "population": 4, "orders": "fresh", "repeats": 2, "score": "train-loss"},
        {"strategy": "cma-es", "population": 4},
        {"strategy": "sa", "chains": 3, "encoding": "neurons", "score": "loss"},
        {"strategy": "ga", "population": 4, "weights": "inherited"},
        {"strategy": "hyperband", "weights": "inherited", "repeats": 2},
    ],
)
def test_runs_are_verified_with_their_options(settings: dict[str, Any], tmp_path: Path) -> None:
    name = settings.pop("strategy")
    result = run(tmp_path, name, settings=settings, budget="30ep", fidelity="5step..20step")
    again = read_result(Path(result.run))
    assert (again.fidelity, again.fidelity_end) == (5, 20)
    report = verify_run(result.run, task=tiny.make_task())
    assert not report.differences
    assert report.evaluations > 3


def test_a_search_that_is_replayed_goes_on_as_it_was() -> None:
    ledger = Ledger()
    masks = tiny.masks_of(tiny.make_problem(), 5)

    def asked(problem: MaskProblem) -> list[float]:
        found = [problem.evaluate(masks, orders="fresh", repeats=2) for _ in range(2)]
        return [one.value for scores in found for one in scores]

    first = asked(tiny.make_problem(1000.0, ledger=ledger))
    again = tiny.make_problem(1000.0, ledger=ledger)
    assert asked(again) == first
    assert again.trials == len(ledger) == 20
    later = [one.value for one in again.evaluate(masks, orders="fresh")]
    other = tiny.make_problem(1000.0)
    asked(other)
    assert [one.value for one in other.evaluate(masks, orders="fresh")] == later


def test_a_loss_is_told_as_a_loss(tmp_path: Path) -> None:
    from ticketsearch.records.results import score_in_words

    assert score_in_words(0.4071) == "40.71 %"
    assert score_in_words(-1.23456) == "a loss of 1.235"
    result = run(tmp_path, "cma-es", settings={"population": 4})
    assert result.search_score is not None
    assert result.search_score < 0  # minus the validation loss
