from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import BudgetExhausted, MaskProblem, Recipe, Weights
from ticketsearch.cost import Cost
from ticketsearch.engine import Job, Measures
from ticketsearch.errors import InvalidValue, SearchStalled, StrategyError
from ticketsearch.problem import evaluator as evaluator_module
from ticketsearch.problem.scores import Score
from ticketsearch.records.ledger import Ledger
from ticketsearch.tasks import Split

EVALUATION = 3 * 10 * 30 + 100  # thirds: ten steps of thirty examples, and a validation of a hundred
EPOCH = 3 * 300
EPOCHS = EVALUATION / EPOCH


def wrapped(fails: Callable[[Any], bool] = lambda mask: False) -> tiny.WrappedEngine:
    return tiny.WrappedEngine(tiny.make_task(), fails)


def test_what_is_free_says_what_it_is(problem: MaskProblem) -> None:
    assert (problem.space.size, problem.sparsity, problem.n_kept) == (tiny.SIZE, 0.9, tiny.SIZE - 221)
    assert (problem.fidelity, problem.steps_per_epoch, problem.recipe) == (10, 10, tiny.RECIPE)
    assert problem.remaining == 20
    assert problem.spent.thirds == problem.spent_fraction == problem.trials == 0


def test_initial_weights_are_copies(problem: MaskProblem) -> None:
    weights = problem.initial_weights()
    weights.vector[:] = 7
    weights.rest[:] = 7
    assert not (problem.initial_weights().vector == 7).any()
    assert not (problem.initial_weights().rest == 7).any()


def test_a_named_stream_begins_anew_each_time_and_depends_on_the_seed() -> None:
    draws = [tiny.make_problem(seed=seed).rng(name).random() for seed, name in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


def test_an_evaluation_costs_its_training_and_a_third_of_its_validation(problem: MaskProblem) -> None:
    problem.evaluate(tiny.masks_of(problem, 3))
    spent = problem.spent
    assert (spent.train_examples, spent.forward_examples, spent.trainings) == (3 * 300, 3 * 100, 3)
    assert problem.evaluation_cost() == pytest.approx(EPOCHS)
    assert problem.remaining == pytest.approx(20 - 3 * EPOCHS)
    assert problem.spent_fraction == pytest.approx(3 * EPOCHS / 20)


def test_flops_follow_the_formula(problem: MaskProblem) -> None:
    problem.evaluate(tiny.masks_of(problem, 2))
    passes = 3 * 300 + 100  # a training example makes three products a weight, two operations each
    assert problem.spent.dense_flops == 2 * passes * 2 * tiny.SIZE
    assert problem.spent.sparse_flops == 2 * passes * 2 * problem.n_kept


def test_work_is_charged_before_it_runs() -> None:
    charged = []

    class Watching(tiny.WrappedEngine):
        def evaluate(self, job: Job, split: Split) -> Measures:
            charged.append(problem.spent.train_examples)
            return super().evaluate(job, split)

        def gradients(self, weights: Weights, indices: Any) -> Any:
            charged.append(problem.spent.train_examples)
            return super().gradients(weights, indices)

    problem = tiny.make_problem(engine=Watching(tiny.make_task()))
    problem.evaluate(tiny.masks_of(problem, 2))
    problem.gradients(None, 50)
    assert charged == [600, 650]


def test_what_the_budget_covers_of_a_batch_is_scored_before_the_error() -> None:
    problem = tiny.make_problem(3.5 * EPOCHS)
    masks = tiny.masks_of(problem, 6)
    with pytest.raises(BudgetExhausted, match=r"costs 1\.111ep, 0\.5556ep are left"):
        problem.evaluate(masks)
    assert problem.trials == 3
    assert problem.spent.thirds == 3 * EVALUATION
    assert problem.incumbent is not None
    assert len(problem.evaluate(masks[:3])) == 3  # known, so free
    with pytest.raises(BudgetExhausted):
        problem.evaluate(masks[3:4])


def test_a_budget_is_spent_to_the_last_example() -> None:
    problem = tiny.make_problem(2 * EVALUATION / EPOCH)
    problem.evaluate(tiny.masks_of(problem, 2))
    assert problem.remaining == pytest.approx(0, abs=1 / EPOCH)


def test_repeated_masks_are_free_within_a_call_and_between_calls() -> None:
    engine = wrapped()
    problem = tiny.make_problem(engine=engine)
    masks = tiny.masks_of(problem, 3)
    first = problem.evaluate(masks[[0, 1, 0, 2, 1]])
    assert first[0] == first[2]
    assert first[1] == first[4]
    assert problem.evaluate(masks) == [first[0], first[1], first[3]]
    assert (problem.trials, problem.spent.trainings, engine.calls) == (3, 3, ["evaluate"])


def test_another_fidelity_is_another_question() -> None:
    problem = tiny.make_problem()
    mask = tiny.masks_of(problem, 1)
    assert problem.evaluate(mask, fidelity=20) != problem.evaluate(mask)
    assert problem.trials == 2
    assert problem.spent.train_examples == 20 * 30 + 10 * 30
    problem.evaluate(mask, fidelity=0)
    assert (problem.spent.trainings, problem.spent.train_examples) == (2, 900)


def test_all_masks_of_a_run_see_the_same_batches() -> None:
    one, other = tiny.make_problem(), tiny.make_problem()
    masks = tiny.masks_of(one, 5)
    together = one.evaluate(masks)
    assert [other.evaluate(masks[row : row + 1])[0] for row in (4, 2, 0, 1, 3)] == [
        together[i] for i in (4, 2, 0, 1, 3)
    ]
    assert tiny.make_problem(seed=1).evaluate(masks) != together


def test_slabs_are_recorded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "SLAB", 4)
    monkeypatch.setattr(evaluator_module, "ROUNDS", 0)
    told = []
    ledger = Ledger()
    problem = tiny.make_problem(ledger=ledger, progress=lambda p: told.append((len(ledger), p.trials)))
    problem.evaluate(tiny.masks_of(problem, 10))
    assert told == [(4, 4), (8, 8), (10, 10)]


def test_a_wide_engine_is_given_more_and_replays_what_a_narrow_one_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "SLAB", 4)
    monkeypatch.setattr(evaluator_module, "ROUNDS", 2)
    ledger = Ledger()
    told: dict[int, list[int]] = {1: [], 3: []}

    def problem_of(width: int) -> MaskProblem:
        engine = tiny.WrappedEngine(tiny.make_task())
        engine.width = width
        return tiny.make_problem(
            100.0, engine=engine, ledger=ledger, progress=lambda _: told[width].append(len(ledger))
        )

    masks = tiny.masks_of(problem_of(3), 20)
    alone = problem_of(1).evaluate(masks[:12])  # the record ends within what a wide engine is given at a time
    assert problem_of(3).evaluate(masks)[:12] == alone
    assert told == {1: [4, 8, 12], 3: [12, 12, 20]}
    problem_of(1).evaluate(masks)
    assert len(ledger) == 20


def test_costs_of_trials_add_up() -> None:
    ledger = Ledger()
    problem = tiny.make_problem(ledger=ledger)
    problem.evaluate(tiny.masks_of(problem, 4))
    problem.gradients(None, 30)
    for _ in problem.train(recipe=problem.recipe.lasting(10)):
        pass
    trials = list(ledger)
    assert [trial.kind for trial in trials] == ["evaluate"] * 4 + ["gradients", "train"]
    assert trials[0].before.thirds == 0
    for earlier, later in pairwise(trials):
        assert earlier.after.thirds == later.before.thirds
        assert earlier.after.wall_s <= later.after.wall_s
    assert trials[-1].after.thirds == problem.spent.thirds


@pytest.mark.parametrize(
    "masks",
    [
        np.zeros(tiny.SIZE, dtype=bool),
        np.zeros((2, tiny.SIZE - 1), dtype=bool),
        np.zeros((2, tiny.SIZE)),
        np.zeros((2, tiny.SIZE), dtype=np.uint8),
        [],
        None,
        "mask",
        [np.zeros(3, dtype=bool), np.zeros(4, dtype=bool)],
    ],
    ids=["flat", "short", "float", "bytes", "empty", "none", "text", "ragged"],
)
def test_masks_of_wrong_shape_or_type_are_refused(problem: MaskProblem, masks: Any) -> None:
    with pytest.raises(StrategyError, match=r"masks must be booleans of shape \(P, 246\)"):
        problem.evaluate(masks)
    assert problem.spent.thirds == 0


@pytest.mark.parametrize("extra", [-1, 1])
def test_one_weight_too_many_or_too_few_is_refused(problem: MaskProblem, extra: int) -> None:
    masks = tiny.masks_of(problem, 3)
    masks[1] = np.arange(tiny.SIZE) < problem.n_kept + extra
    with pytest.raises(StrategyError, match=rf"mask 1 keeps {25 + extra} of 246 .*25.* sparsity 0\.9|mask 1 keeps"):
        problem.evaluate(masks)
    assert problem.trials == 0


@pytest.mark.parametrize("fidelity", [-1, 1.5, True, "10"])
def test_a_fidelity_that_is_no_number_of_steps_is_refused(problem: MaskProblem, fidelity: Any) -> None:
    with pytest.raises(StrategyError, match="fidelity"):
        problem.evaluate(tiny.masks_of(problem, 1), fidelity=fidelity)


def test_a_search_that_asks_only_what_it_knows_is_stalled(
    problem: MaskProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator_module, "FREE_CALLS", 5)
    monkeypatch.setattr(evaluator_module, "FREE_MASKS", 9)
    masks = tiny.masks_of(problem, 2)
    for _ in range(6):
        problem.evaluate(masks[:1])
    problem.evaluate(masks)  # something new: the count begins anew
    for _ in range(5):
        problem.evaluate(masks)
    with pytest.raises(SearchStalled, match="last 12 masks"):
        problem.evaluate(masks)


def test_a_failed_training_is_a_failed_score_and_the_search_goes_on() -> None:
    ledger = Ledger()
    problem = tiny.make_problem(engine=wrapped(lambda mask: bool(mask[0])), ledger=ledger)
    masks = tiny.masks_of(problem, 8)
    masks[:, :2] = [[True, False], [False, True]] * 4
    masks[:, 2:] = tiny.masks_of(problem, 8)[:, 2:]
    for mask in masks:  # exactly n again
        ones = np.flatnonzero(mask[2:]) + 2
        mask[ones[: max(0, int(mask.sum()) - problem.n_kept)]] = False
        zeros = np.flatnonzero(~mask[2:]) + 2
        mask[zeros[: max(0, problem.n_kept - int(mask.sum()))]] = True
    scores = problem.evaluate(masks)
    assert [score.failed for score in scores] == [True, False] * 4
    assert all(float(score) == -math.inf and "diverged" in score.reason for score in scores[::2])
    assert all(score.failed for score in sorted(scores)[:4])
    assert not max(scores).failed
    assert [trial.state for trial in ledger] == ["failed", "complete"] * 4
    assert [(trial.score, trial.loss) for trial in ledger][::2] == [(None, None)] * 4
    assert problem.incumbent is not None
    assert not problem.incumbent.mask[0]
    assert problem.evaluate(masks) == scores


def test_a_network_that_really_diverges_fails() -> None:
    task = tiny.make_task(recipe=replace(tiny.RECIPE, learning_rate=1e25))
    problem = tiny.make_problem(task=task)
    assert all(score.failed for score in problem.evaluate(tiny.masks_of(problem, 3)))
    assert problem.incumbent is None


def test_the_incumbent_is_the_best_at_the_highest_fidelity(problem: MaskProblem) -> None:
    masks = tiny.masks_of(problem, 6)
    scores = problem.evaluate(masks)
    best = int(np.lexsort(([s.tie for s in scores], [s.value for s in scores]))[-1])
    assert problem.incumbent is not None
    assert np.array_equal(problem.incumbent.mask, masks[best])
    assert problem.incumbent.score == max(scores)
    worst = int(np.argmin([s.value for s in scores]))
    problem.evaluate(masks[worst : worst + 1], fidelity=20)
    assert (problem.incumbent.fidelity, problem.incumbent.mask.tolist()) == (20, masks[worst].tolist())
    problem.evaluate(masks, fidelity=5)
    assert problem.incumbent.fidelity == 20


def test_the_incumbent_is_a_copy(problem: MaskProblem) -> None:
    masks = tiny.masks_of(problem, 1)
    kept = masks[0].copy()
    problem.evaluate(masks)
    masks[:] = False
    assert problem.incumbent is not None
    assert np.array_equal(problem.incumbent.mask, kept)


def test_breaking_off_a_training_stops_paying() -> None:
    engine = wrapped()
    problem = tiny.make_problem(engine=engine)
    for snapshot in problem.train(every="1ep"):
        if snapshot.step == 20:
            break
    assert problem.spent.train_examples == 20 * 30
    assert (problem.spent.trainings, problem.trials, engine.stops_reached) == (1, 1, 2)


def test_a_training_that_is_never_begun_costs_nothing(problem: MaskProblem) -> None:
    problem.train()
    assert problem.spent.thirds == problem.trials == 0


def test_snapshots_come_where_asked_and_at_the_end(problem: MaskProblem) -> None:
    steps = [s.step for s in problem.train(every="25step", at=(3, 0, 99), recipe=problem.recipe.lasting(60))]
    assert steps == [3, 25, 50, 60]
    assert [s.step for s in problem.train(first_step=50, every=4)] == [54, 58, 60]
    assert problem.spent.train_examples == (60 + 10) * 30
    assert [s.step for s in problem.train(at=(7, 3))] == [3, 7]  # and there it ends
    assert problem.spent.train_examples == (60 + 10 + 7) * 30
    assert [s.step for s in problem.train(at=(0, 99), first_step=57)] == [60]


def test_a_training_that_ends_early_is_the_beginning_of_one_that_does_not() -> None:
    whole, early = tiny.make_problem(), tiny.make_problem()
    first, _ = whole.train(every="40step", at=(40,))
    [last] = early.train(at=(40,))
    np.testing.assert_array_equal(first.weights.vector, last.weights.vector)
    assert first.train_loss == last.train_loss


def test_validations_are_paid_for(problem: MaskProblem) -> None:
    snapshots, scores = [], []
    for snapshot in problem.train(every="2ep"):
        snapshots.append(snapshot)
        scores.append(problem.validate(None, snapshot.weights))
    assert problem.spent.forward_examples == 3 * 100
    assert scores[-1] > scores[0]
    assert snapshots[-1].train_loss < snapshots[0].train_loss


def test_a_training_stops_where_the_budget_ends() -> None:
    problem = tiny.make_problem(2.5)
    training = iter(problem.train(every="1ep"))
    assert [next(training).step, next(training).step] == [10, 20]
    with pytest.raises(BudgetExhausted, match=r"costs 1ep, 0\.5ep of the budget are left"):
        next(training)
    assert problem.trials == 1
    assert problem.spent.thirds <= 2.5 * EPOCH


def test_trained_masks_keep_their_zeros_and_may_have_any_count(problem: MaskProblem) -> None:
    mask = np.arange(tiny.SIZE) % 3 == 0
    before = mask.copy()
    for snapshot in problem.train(mask, every=7):
        assert np.count_nonzero(snapshot.weights.vector[~mask]) == 0
    assert np.array_equal(mask, before)


def test_each_training_draws_its_own_order_the_same_in_every_run() -> None:
    ends = []
    for _ in range(2):
        problem = tiny.make_problem(50)
        ends.append([list(problem.train())[-1].weights.vector for _ in range(2)])
    assert not np.array_equal(ends[0][0], ends[0][1])
    assert np.array_equal(ends[0], ends[1])


def test_a_training_goes_on_from_the_start_it_is_given(problem: MaskProblem) -> None:
    start = problem.initial_weights()
    start.vector[:] *= 2
    kept = start.vector.copy()
    slow = replace(problem.recipe.lasting(1), learning_rate=1e-12)
    snapshot = next(iter(problem.train(start=start, recipe=slow)))
    np.testing.assert_allclose(snapshot.weights.vector, kept, rtol=1e-6)
    assert np.array_equal(start.vector, kept)


def test_a_training_that_diverges_is_an_error_and_a_failed_trial() -> None:
    ledger = Ledger()
    problem = tiny.make_problem(ledger=ledger)
    wild = replace(problem.recipe, learning_rate=1e25)
    with pytest.raises(StrategyError, match="diverged before step"):
        list(problem.train(recipe=wild))
    assert [(trial.state, bool(trial.reason)) for trial in ledger] == [("failed", True)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"first_step": -1},
        {"first_step": 61},
        {"every": 0},
        {"every": "0.01ep"},
        {"mask": np.ones(3, dtype=bool)},
        {"mask": np.ones(tiny.SIZE)},
        {"recipe": Recipe(steps=10, batch_size=301, learning_rate=0.1)},
        {"start": Weights(np.zeros(3, dtype=np.float32), np.zeros(25, dtype=np.float32))},
        {"start": Weights(np.zeros(tiny.SIZE, dtype=np.float32), np.zeros(24, dtype=np.float32))},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_arguments_of_train_that_do_not_fit_are_refused_at_once(
    problem: MaskProblem, arguments: dict[str, Any]
) -> None:
    with pytest.raises(StrategyError):
        problem.train(**arguments)
    assert problem.spent.thirds == 0


def test_gradients_are_metered_and_drawn_anew_each_time() -> None:
    problems = [tiny.make_problem(), tiny.make_problem()]
    first = [problem.gradients(None, 60) for problem in problems]
    second = problems[0].gradients(None, 60)
    assert np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], second)
    spent = problems[0].spent
    assert (spent.train_examples, spent.forward_examples, spent.trainings) == (120, 0, 0)
    assert spent.dense_flops == spent.sparse_flops == 120 * 3 * 2 * tiny.SIZE


def test_the_gradient_over_all_examples_is_that_of_the_whole_split(problem: MaskProblem) -> None:
    gradient = problem.gradients(None, 300)
    engine = tiny.dense_engine(tiny.make_task())
    np.testing.assert_allclose(
        gradient, engine.gradients(problem.initial_weights(), np.arange(300)), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("examples", [0, -1, 301])
def test_gradients_over_no_or_too_many_examples_are_refused(problem: MaskProblem, examples: int) -> None:
    with pytest.raises(StrategyError, match=f"{examples} examples of 300"):
        problem.gradients(None, examples)


def test_gradients_from_weights_of_another_shape_are_refused(problem: MaskProblem) -> None:
    with pytest.raises(StrategyError):
        problem.gradients(None, 10, start=Weights(np.zeros(2, dtype=np.float32), np.zeros(25, dtype=np.float32)))


def test_arguments_of_the_verbs_are_not_changed(problem: MaskProblem) -> None:
    masks = tiny.masks_of(problem, 2)
    start = problem.initial_weights()
    before = [masks.copy(), start.vector.copy(), start.rest.copy()]
    problem.evaluate(masks)
    list(problem.train(masks[0], start=start))
    problem.gradients(masks[1], 20, start=start)
    assert all(np.array_equal(a, b) for a, b in zip(before, (masks, start.vector, start.rest), strict=True))


def test_steps_for_shares_the_budget_among_trainings() -> None:
    assert tiny.make_problem(1000).steps_for(3) == 60  # the whole recipe fits
    problem = tiny.make_problem(6)
    assert problem.steps_for(3) == 20
    assert problem.steps_for(3, reserve=0.5) == 10
    for _ in range(3):
        list(problem.train(recipe=problem.recipe.lasting(20)))
    assert problem.remaining == pytest.approx(0)


def test_steps_for_says_what_the_least_costs() -> None:
    with pytest.raises(InvalidValue, match=r"too little for 5 trainings .* need 0\.5ep"):
        tiny.make_problem(0.3).steps_for(5)


def test_seconds_are_booked_where_they_are_spent() -> None:
    problem = tiny.make_problem()
    problem.evaluate(tiny.masks_of(problem, 4))
    spent = problem.spent
    assert 0 < spent.engine_s <= spent.wall_s
    assert spent.strategy_s <= spent.wall_s
    assert spent.cpu_s > 0


def test_an_interrupt_waits_for_the_batch_and_records_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "SLAB", 3)
    monkeypatch.setattr(evaluator_module, "ROUNDS", 0)
    ledger = Ledger()
    problem = tiny.make_problem(ledger=ledger, progress=lambda p: p._session.interrupt())
    with pytest.raises(KeyboardInterrupt):
        problem.evaluate(tiny.masks_of(problem, 9))
    assert len(ledger) == 3
    with pytest.raises(KeyboardInterrupt):
        problem.gradients(None, 10)


def test_scores_order_by_accuracy_then_loss_and_nothing_not_finite_wins() -> None:
    better, worse, tie = Score.of(0.6, 1.0), Score.of(0.5, 0.1), Score.of(0.6, 0.9)
    bad = [Score.of(0.99, math.nan), Score.of(0.99, math.inf), Score.of(math.nan, 0.1), Score.of(None, None)]
    assert max([*bad, worse, better, tie]) == tie
    assert sorted([*bad, worse, better, tie])[-3:] == [worse, better, tie]
    assert all(score.failed and float(score) == -math.inf and score.loss == math.inf for score in bad)


def test_prices_of_convolutions_count_every_position() -> None:
    problem = tiny.make_problem(task=tiny.make_task(tiny.batch_norm_network), sparsity=0.5)
    problem.gradients(None, 10)
    # Conv1d(2, 4, 3) over 4 positions, Linear(16, 3): operations of one forward pass, times three for training
    assert problem.spent.dense_flops == 10 * 3 * 2 * (4 * 2 * 3 * 4 + 16 * 3)
    assert problem.spent - problem.spent == Cost()


def test_notes_hold_what_json_holds_and_numpy_too(problem: MaskProblem) -> None:
    problem.note(epoch=np.float32(1.5), settled=np.bool_(True), trace=np.arange(3), word="settled")
    problem.note(epoch=2)
    assert problem.notes == {"epoch": 2, "settled": True, "trace": [0, 1, 2], "word": "settled"}
    with pytest.raises(StrategyError, match="note: mask: object is none of these"):
        problem.note(mask=object())


def test_weights_that_are_held_cost_their_products(problem: MaskProblem) -> None:
    mask = tiny.masks_of(problem, 1)[0]
    recipe = problem.recipe.lasting(10)
    held = np.where(np.arange(mask.size) < tiny.SIZE // 2, np.float32(0.1), np.float32(0))
    [snapshot] = problem.train(mask, recipe=recipe, held=held)
    assert np.array_equal(snapshot.weights.vector[~mask], held[~mask])
    paid = problem.spent
    [_] = problem.train(mask, recipe=recipe)
    zero_held = problem.spent - paid
    assert paid.sparse_flops > 3 * zero_held.sparse_flops
    assert paid.dense_flops == zero_held.dense_flops
    assert paid.thirds == zero_held.thirds
    with pytest.raises(StrategyError, match="held values of shape"):
        problem.train(mask, held=held[:-1])
