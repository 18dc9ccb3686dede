from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.helpers import tiny
from ticketsearch import MaskProblem
from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import MaskSpace
from ticketsearch.strategies.imp import IterativeMagnitudePruning

LENET = MaskSpace.from_shapes({"fc1": (300, 784), "fc2": (100, 300), "output": (10, 100)})


def test_lenet_loses_its_weights_at_the_pace_of_the_paper() -> None:
    plan = IterativeMagnitudePruning(scope="layer", rate=0.2, output_rate=0.5).plan(LENET, 3_000)
    remaining = [100 * counts.sum() / LENET.size for counts in plan]
    for rounds, percent in {3: 51.28, 7: 21.07, 12: 6.95, 15: 3.58, 18: 1.85}.items():
        assert remaining[rounds - 1] == pytest.approx(percent, abs=0.005)  # Frankle & Carbin, as they print it
    np.testing.assert_allclose(plan[2], np.array([235_200, 30_000, 1_000]) * [0.8**3, 0.8**3, 0.9**3], atol=1)


@pytest.mark.parametrize("rounds", [1, 4, 12])
def test_equal_rounds_each_keep_the_same_share_of_the_survivors(rounds: int) -> None:
    plan = IterativeMagnitudePruning(rounds=rounds, scope="global").plan(LENET, 5_324)
    share = (5_324 / LENET.size) ** (1 / rounds)
    totals = [counts.sum() for counts in plan]
    assert len(plan) == rounds
    np.testing.assert_allclose(totals, [LENET.size * share**done for done in range(1, rounds + 1)], atol=1)


def test_equal_rounds_by_layer_spare_the_output_layer() -> None:
    plan = IterativeMagnitudePruning(rounds=5, scope="layer").plan(LENET, 20_000)
    densities = plan[-1] / LENET.sizes
    rate = 1 - densities[0] ** (1 / 5)
    np.testing.assert_allclose(densities, [(1 - rate) ** 5, (1 - rate) ** 5, (1 - rate / 2) ** 5], rtol=2e-3)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=5),
    st.floats(0.0, 0.99),
    st.sampled_from(["global", "layer"]),
    st.one_of(st.none(), st.integers(1, 30)),
    st.floats(0.02, 0.95),
)
@example([3, 7, 170, 2], 0.44, "layer", None, 0.028888)  # where rounding alone would regrow a layer
def test_a_plan_never_regrows_and_ends_at_exactly_n(
    sizes: list[int], sparsity: float, scope: str, rounds: int | None, rate: float
) -> None:
    space = MaskSpace.from_shapes({f"l{i}": (n,) for i, n in enumerate(sizes)})
    n = max(len(sizes), space.size - round(sparsity * space.size))
    plan = IterativeMagnitudePruning(rounds=rounds, rate=rate, scope=scope).plan(space, n)  # type: ignore[arg-type]
    before = space.sizes
    for counts in plan:
        if scope == "layer":
            assert (counts <= before).all()
        assert counts.sum() <= before.sum()
        assert (counts >= 1).all()
        before = counts
    assert before.sum() == n


def test_a_rate_that_would_take_forever_is_refused() -> None:
    with pytest.raises(InvalidValue, match="rate 1e-09"):
        IterativeMagnitudePruning(rate=1e-9).plan(LENET, 1_000)


class Watching:
    """The masks and starts of a problem's trainings."""

    def __init__(self, problem: MaskProblem) -> None:
        self.masks: list[BoolArray] = []
        self.starts: list[np.ndarray] = []
        self.ends: list[np.ndarray] = []
        train = problem.train

        def watch(mask: BoolArray, **arguments: object) -> object:
            self.masks.append(mask.copy())
            self.starts.append(arguments["start"].vector.copy())  # type: ignore[attr-defined]
            for snapshot in train(mask, **arguments):  # type: ignore[arg-type]
                yield snapshot
            self.ends.append(snapshot.weights.vector)

        tiny.watch(problem, "train", watch)


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("rewind", [0, "1ep"])
@pytest.mark.parametrize("criterion", ["large_final", "movement", "small_final"])
def test_masks_are_nested_and_keep_the_best_survivors(scope: str, rewind: int | str, criterion: str) -> None:
    problem = tiny.make_problem(1000, sparsity=0.8)
    seen = Watching(problem)
    imp = IterativeMagnitudePruning(rounds=4, scope=scope, rewind=rewind, criterion=criterion)  # type: ignore[arg-type]
    initial = problem.initial_weights().vector
    score: dict[str, Callable[[FloatArray], FloatArray]]
    score = {"large_final": np.abs, "movement": lambda w: np.abs(w - initial), "small_final": lambda w: -np.abs(w)}
    ticket = imp.search(problem)
    masks = [*seen.masks, ticket.mask]
    assert masks[0].all()
    for before, after, counts, end in zip(
        masks, masks[1:], imp.plan(problem.space, problem.n_kept), seen.ends, strict=False
    ):
        assert not (after & ~before).any()
        assert after.sum() == counts.sum()
        if scope == "layer":
            assert problem.space.counts(after).tolist() == counts.tolist()
        else:
            scores = score[criterion](end)
            assert scores[after].min() >= scores[before & ~after].max()
    assert ticket.mask.sum() == problem.n_kept


def test_without_rewinding_every_round_and_the_ticket_start_from_the_initial_weights() -> None:
    problem = tiny.make_problem(1000, sparsity=0.8)
    seen = Watching(problem)
    ticket = IterativeMagnitudePruning(rounds=3).search(problem)
    initial = problem.initial_weights().vector
    assert all(np.array_equal(start, initial) for start in seen.starts)
    assert ticket.step == 0
    assert ticket.weights is not None
    assert np.array_equal(ticket.weights.vector, initial)
    assert problem.spent.train_examples == 3 * 60 * 30


def test_late_rewinding_returns_to_the_weights_of_step_k() -> None:
    problem = tiny.make_problem(1000, sparsity=0.8)
    seen = Watching(problem)
    ticket = IterativeMagnitudePruning(rounds=3, rewind="17step").search(problem)
    expected = next(s for s in tiny.make_problem(1000).train(at=(17,)) if s.step == 17)
    assert ticket.step == 17
    assert ticket.weights is not None
    assert np.array_equal(ticket.weights.vector, expected.weights.vector)
    assert np.array_equal(ticket.weights.rest, expected.weights.rest)
    assert np.array_equal(seen.starts[0], problem.initial_weights().vector)
    assert all(np.array_equal(start, expected.weights.vector) for start in seen.starts[1:])
    assert problem.spent.train_examples == (60 + 2 * 43) * 30  # later rounds begin at step 17


def test_nothing_to_prune_is_the_dense_network_at_its_start() -> None:
    ticket = IterativeMagnitudePruning(rewind="1ep").search(tiny.make_problem(100, sparsity=0.0))
    assert ticket.mask.all()
    assert ticket.step == 0  # no training was made that could be rewound to step 10


def test_rounds_share_a_small_budget_equally() -> None:
    problem = tiny.make_problem(6, sparsity=0.8)
    IterativeMagnitudePruning(rounds=4).search(problem)
    assert problem.spent.train_examples == 4 * 15 * 30


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rounds": 3, "rewind": "60step"}, "rewind '60step' is not before the end"),
        ({"rounds": 3, "rewind": "soon"}, "rewind 'soon'"),
        ({"rounds": 3, "round_steps": "4ep"}, r"3 rounds of round_steps '4ep' need 12ep; the budget is 10ep"),
        ({"rounds": 3, "round_steps": "0ep"}, "round_steps '0ep'"),
        ({"rounds": 500}, "500 trainings of at least one step; they need 50ep"),
    ],
)
def test_plans_that_do_not_fit_are_refused_before_anything_is_paid(settings: dict[str, object], words: str) -> None:
    problem = tiny.make_problem(10, sparsity=0.8)
    with pytest.raises(InvalidValue, match=words):
        IterativeMagnitudePruning(**settings).search(problem)  # type: ignore[arg-type]
    assert problem.spent.thirds == 0


def test_a_linear_schedule_prunes_as_many_weights_in_each_round() -> None:
    plan = IterativeMagnitudePruning(rounds=5, schedule="linear").plan(LENET, 5_324)
    pruned = np.diff([0, *(LENET.size - counts.sum() for counts in plan)])
    np.testing.assert_allclose(pruned, (LENET.size - 5_324) / 5, atol=1)


def test_a_linear_schedule_has_as_many_rounds_as_the_rate_needs() -> None:
    geometric = IterativeMagnitudePruning(rate=0.3).plan(LENET, 5_324)
    assert len(IterativeMagnitudePruning(rate=0.3, schedule="linear").plan(LENET, 5_324)) == len(geometric)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_listed_sparsities_are_gone_through_and_the_run_s_is_the_last(scope: str) -> None:
    n = round(0.02 * LENET.size)
    plan = IterativeMagnitudePruning(sparsities=(0.8, 0.9, 0.95), scope=scope).plan(LENET, n)  # type: ignore[arg-type]
    totals = [int(counts.sum()) for counts in plan]
    np.testing.assert_allclose(totals, [LENET.size * density for density in (0.2, 0.1, 0.05, 0.02)], atol=1)
    assert totals[-1] == n
    told_twice = IterativeMagnitudePruning(sparsities=(0.8, 0.98)).plan(LENET, n)
    assert len(told_twice) == 2


def test_survivors_may_be_chosen_earlier_than_at_the_end_of_the_schedule() -> None:
    problem = tiny.make_problem(1000, sparsity=0.8)
    ticket = IterativeMagnitudePruning(rounds=1, scope="global", prune_at="20step").search(problem)
    trained = next(s for s in tiny.make_problem(1000).train(at=(20,)) if s.step == 20)  # of the whole schedule
    assert np.array_equal(ticket.mask, problem.space.top(np.abs(trained.weights.vector), problem.n_kept))
    assert problem.spent.train_examples == 20 * 30  # the rest is neither run nor paid


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sparsities": (0.5, 0.5)}, r"sparsities \[0.5, 0.5\] do not rise"),
        ({"sparsities": (0.5, 0.9)}, "sparsities: 0.9 is beyond the run's, 0.8"),
        ({"prune_at": "61step"}, "prune_at '61step' is not after step 0, within a round of 60 steps"),
        ({"prune_at": "5step", "rewind": "5step"}, "prune_at '5step' is not after step 5"),
        ({"prune_at": 3, "lr_restart": False}, "prune_at ends rounds early"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(settings: dict[str, object], words: str) -> None:
    problem = tiny.make_problem(1000, sparsity=0.8)
    with pytest.raises(InvalidValue, match=words):
        IterativeMagnitudePruning(**settings).search(problem)  # type: ignore[arg-type]
    assert problem.spent.thirds == 0
