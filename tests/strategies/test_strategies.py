"""One contract for every strategy, each with every encoding it accepts."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import BudgetExhausted, MaskProblem, Split, Strategy
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Job, Measures
from ticketsearch.errors import InvalidValue, SearchStalled, UnknownName
from ticketsearch.masks import top_n
from ticketsearch.plugins import STRATEGIES, available
from ticketsearch.problem import evaluator as evaluator_module
from ticketsearch.strategies.base import checked_strategy, make_strategy, parameters_of
from ticketsearch.strategies.early_bird import EarlyBird
from ticketsearch.strategies.encoding import make_encoding
from ticketsearch.strategies.ga import Genetic
from ticketsearch.strategies.magnitude import Magnitude
from ticketsearch.strategies.random_search import RandomSearch
from ticketsearch.strategies.sa import SimulatedAnnealing, _metropolis
from ticketsearch.strategies.stability import Stability
from ticketsearch.testing import check_strategy

SMALL = {"ga": {"population": 5}, "sa": {"chains": 3}, "optuna": {"batch": 4}, "random": {"batch": 4}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    **{f"random-{d}": ("random", {"densities": d}) for d in ("uniform", "erk", "smart-ratio")},
    "snip": ("snip", {}),
    "grasp": ("grasp", {}),
    "synflow": ("synflow", {"rounds": 9}),
    "edge-popup": ("edge-popup", {}),
    "edge-popup-erk": ("edge-popup", {"densities": "erk", "weights": "init"}),
    "supermask": ("supermask", {}),
    "supermask-rescaled": ("supermask", {"rescale": True, "densities": "smart-ratio", "weights": "init"}),
    "continuous-sparsification": ("continuous-sparsification", {}),
    "continuous-sparsification-2": ("continuous-sparsification", {"rounds": 2}),
    "hard-concrete": ("hard-concrete", {}),
    "magnitude": ("magnitude", {}),
    "magnitude-layer": ("magnitude", {"scope": "layer", "criterion": "magnitude_increase"}),
    "magnitude-snip": ("magnitude", {"criterion": "snip"}),
    "imp": ("imp", {}),
    "imp-layer": ("imp", {"scope": "layer", "rounds": 3, "rewind": "5step"}),
    "magnitude-l1": ("magnitude", {"l1": 1e-3}),
    "imp-hoyer": ("imp", {"hoyer": 1e-3, "rounds": 2}),
    "early-bird-l1": ("early-bird", {"l1": 1e-3}),
    "imp-lr-rewind": ("imp", {"restart": "learning-rate", "rounds": 3, "rewind": "3step"}),
    "imp-one-schedule": ("imp", {"lr_restart": False, "rounds": 3, "rewind": "3step"}),
    "imp-stop": ("imp", {"stop": "raw", "rounds": 2, "threshold": 0.5, "queue": 2}),
    "imp-movement": ("imp", {"criterion": "movement", "rate": 0.5}),
    "early-bird": ("early-bird", {}),
    "early-bird-draw": ("early-bird", {"start": "draw", "threshold": 1.0, "every": "5step"}),
    **{f"ga-{e}": ("ga", {"encoding": e}) for e in ("swap", "neurons", "layer-density", "criterion-mixture")},
    **{f"sa-{e}": ("sa", {"encoding": e}) for e in ("swap", "neurons", "low-rank", "seeded")},
    **{f"cma-es-{e}": ("cma-es", {"encoding": e, "population": 6}) for e in ("neurons", "layer-density")},
    "cma-es-started": ("cma-es", {"population": 6, "separable": False, "start": "counts(synflow)", "score": "loss"}),
    **{f"eda-{u}": ("eda", {"update": u, "population": 6}) for u in ("policy-gradient", "cross-entropy", "pbil")},
    "eda-started": ("eda", {"population": 6, "start": "mask(synflow)", "score": "train-loss", "repeats": 2}),
    **{f"hyperband-{p}": ("hyperband", {"proposals": p}) for p in ("evolution", "random")},
    "ga-fresh": ("ga", {"encoding": "degrees", "orders": "fresh", "repeats": 2, "score": "train-loss-ema"}),
    "set": ("set", {"decay": "constant", "stop": 1.0}),
    "rigl": ("rigl", {"every": "5step", "start": "draw"}),
    "cts": ("cts", {"length": 0.5, "rewind": "5step"}),
    "cts-kl": ("cts", {"loss": "kl"}),
    "gem-miner": ("gem-miner", {"weights": "init", "cuts": 3}),
    "ntk-sap": ("ntk-sap", {"rounds": 3, "batches": 1}),
    "es-hybrid": ("es-hybrid", {"population": 3, "start": "draw"}),
    "sa-basin": ("sa", {"score": "basin"}),
    "optuna": ("optuna", {}),  # TPE, which is slow where there are more than a few dimensions
    **{f"optuna-{e}": ("optuna", {"encoding": e, "sampler": "cmaes"}) for e in ("criterion-mixture", "seeded")},
}
every_strategy = pytest.mark.parametrize("case", CASES)
BLACK_BOX = [case for case in CASES if CASES[case][0] in ("random", "ga", "sa", "optuna") and "basin" not in case]


def make(case: str) -> Strategy:
    name, settings = CASES[case]
    return make_strategy(name, SMALL.get(name, {}) | settings)


def search(case: str, problem: MaskProblem) -> BoolArray:
    """The mask found, as the host takes it."""
    ticket = None
    with contextlib.suppress(BudgetExhausted):
        ticket = make(case).search(problem)
    if ticket is not None:
        return ticket.mask
    assert problem.incumbent is not None
    return problem.incumbent.mask


def test_every_registered_strategy_is_under_this_contract() -> None:
    own = {plugin.name for plugin in available(STRATEGIES) if plugin.distribution == "ticketsearch"}
    assert own == {name for name, _ in CASES.values()}


SET = [case for case, (_, settings) in CASES.items() if settings]
CONTRACT = ("searches", "exact-count", "global-random-state", "same-seed", "granularities")
"""What settings may change; tests/testing holds each strategy to the whole contract, at its defaults."""


@pytest.mark.parametrize("case", SET)
def test_each_setting_keeps_the_contract(case: str) -> None:
    report = check_strategy(lambda: make(case), checks=CONTRACT)
    report.require()
    assert [result.name for result in report.results] == list(CONTRACT)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES.values()}))
@pytest.mark.parametrize("sparsity", [0.0, 0.95])
def test_the_ticket_keeps_exactly_n_at_the_ends(name: str, sparsity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "FREE_MASKS", 10)  # at sparsity 0 there is one mask only
    problem = tiny.make_problem(15, sparsity=sparsity)
    mask = search(next(case for case in CASES if CASES[case][0] == name), problem)
    assert mask.dtype == np.bool_
    assert np.count_nonzero(mask) == tiny.SIZE - round(sparsity * tiny.SIZE)
    assert 0 <= problem.remaining <= 15


@pytest.mark.parametrize("case", BLACK_BOX)
def test_a_search_whose_every_score_fails_ends_with_the_budget(case: str) -> None:
    engine = tiny.WrappedEngine(tiny.make_task(), lambda mask: True)
    problem = tiny.make_problem(15, engine=engine, sparsity=0.8)
    with pytest.raises(BudgetExhausted):
        make(case).search(problem)
    assert problem.incumbent is None


@every_strategy
def test_parameters_are_those_given(case: str) -> None:
    strategy = make(case)
    name, _ = CASES[case]
    assert make_strategy(name, parameters_of(strategy)) == checked_strategy(strategy) == strategy


@pytest.mark.parametrize(
    ("name", "settings", "error", "words"),
    [
        ("gaa", {}, UnknownName, "unknown strategy 'gaa'; did you mean 'ga'"),
        ("ga", {"popluation": 3}, UnknownName, "parameter of strategy 'ga' 'popluation'; did you mean 'population'"),
        ("ga", {"population": "many"}, InvalidValue, "population = 'many'"),
        ("ga", {"population": 1}, InvalidValue, "population = 1: .*greater than or equal to 2"),
        ("ga", {"mutation": 0}, InvalidValue, "mutation = 0"),
        ("ga", {"mutation": float("nan")}, InvalidValue, "mutation = nan"),
        ("ga", {"encoding": "seeded(radius=inf)"}, InvalidValue, "radius = inf"),
        ("sa", {"encoding": "swp"}, UnknownName, "unknown encoding 'swp'; did you mean 'swap'"),
        (
            "sa",
            {"encoding": "seeded(criterion=magnitude)"},
            UnknownName,
            "unknown criterion 'magnitude'.*magnitude_increase",
        ),
        ("ga", {"encoding": "criterion-mixture(criteria=[])"}, InvalidValue, "at least one criterion"),
        (
            "ga",
            {"encoding": 'criterion-mixture(criteria=["snip", "snap"])'},
            UnknownName,
            "unknown criterion 'snap'; did you mean 'snip'",
        ),
        ("optuna", {"encoding": "swap"}, InvalidValue, "one parameter per weight.*layer-density"),
        ("cma-es", {"start": "unifrm"}, UnknownName, "unknown start 'unifrm'; did you mean 'uniform'"),
        ("ga", {"score": "los"}, UnknownName, "unknown score 'los'; did you mean 'loss'"),
        ("ga", {"orders": "new"}, InvalidValue, "orders = 'new'"),
        ("ga", {"repeats": 0}, InvalidValue, "repeats = 0"),
        ("optuna", {"sampler": "random"}, InvalidValue, "sampler = 'random'"),
        ("imp", {"rate": 1.0}, InvalidValue, "rate = 1"),
        ("imp", {"scope": "both"}, InvalidValue, "scope = 'both'"),
        ("early-bird", {"criterion": "snip"}, InvalidValue, "not 'snip'"),
        ("early-bird", {"queue": 1}, InvalidValue, "queue = 1"),
        ("random", {"count": 0}, InvalidValue, "count = 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(
    name: str, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make_strategy(name, settings)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("continuous-sparsification", "rate"),
        ("hard-concrete", "rate"),
        ("edge-popup", "learning_rate"),
        ("supermask", "learning_rate"),
        ("supermask", "steepness"),
        ("hard-concrete", "pull"),
        ("ga", "tournament"),
        ("synflow", "rounds"),
    ],
)
def test_what_no_computation_can_hold_is_refused(name: str, key: str) -> None:
    with pytest.raises(InvalidValue, match=f"{key} = 1.*less than or equal to"):
        make_strategy(name, {key: 10**12})


def test_settings_are_read_as_the_type_they_are_for() -> None:
    ga = make_strategy("ga", {"population": "7", "mutation": "0.5", "encoding": "neurons"})
    assert ga == Genetic(population=7, mutation=0.5, encoding="neurons")


@pytest.mark.parametrize(
    ("name", "size"), [("ga", "population"), ("sa", "chains"), ("optuna", "batch"), ("random", "batch")]
)
def test_more_masks_than_the_budget_pays_for_are_not_drawn(name: str, size: str) -> None:
    questions = []
    for count in (100, 10**18):
        problem = tiny.make_problem(20.0)
        with contextlib.suppress(BudgetExhausted):
            make_strategy(name, {size: count}).search(problem)
        assert problem.remaining < problem.evaluation_cost()
        questions.append([trial.question for trial in problem._session.replay.ledger])
    assert questions[0] == questions[1]
    assert 10 < len(questions[0]) < 100


def test_random_search_tries_as_many_as_asked_or_affordable() -> None:
    problem = tiny.make_problem(100)
    RandomSearch(count=11, batch=4).search(problem)
    assert problem.trials == 11
    problem = tiny.make_problem(10)
    with pytest.raises(BudgetExhausted):
        RandomSearch().search(problem)
    assert problem.trials == 9  # nine evaluations of 10/9 of an epoch


def test_magnitude_keeps_the_largest_weights_of_one_dense_training() -> None:
    ticket = Magnitude().search(tiny.make_problem(100))
    final = list(tiny.make_problem(100).train())[-1].weights.vector
    assert np.array_equal(ticket.mask, top_n(np.abs(final), 25))
    assert ticket.weights is not None
    assert np.array_equal(ticket.weights.vector, tiny.make_problem().initial_weights().vector)


def test_magnitude_by_layer_gives_every_layer_the_same_density() -> None:
    problem = tiny.make_problem(100, sparsity=0.75)
    counts = problem.space.counts(Magnitude(scope="layer").search(problem).mask)
    assert np.abs(counts - problem.space.sizes * problem.n_kept / tiny.SIZE).max() < 1


def test_magnitude_makes_do_with_a_small_budget() -> None:
    problem = tiny.make_problem(0.5)
    Magnitude().search(problem)
    assert problem.spent.train_examples == 150


def early_bird(problem: MaskProblem, **settings: Any) -> tuple[int, list[BoolArray]]:
    """Steps trained, and the masks of the dense training the paper would draw."""
    ticket = EarlyBird(every="5step", **settings).search(problem)
    other = tiny.make_problem(100, sparsity=problem.sparsity)
    masks = [top_n(np.abs(s.weights.vector), problem.n_kept) for s in other.train(every="5step")]
    trained = problem.spent.train_examples // 30
    assert np.array_equal(ticket.mask, masks[trained // 5 - 1])
    return trained, masks


@pytest.mark.parametrize("distance", ["raw", "normalised"])
@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.3])
def test_early_bird_stops_at_the_first_mask_like_the_four_before(distance: Any, threshold: float) -> None:
    trained, masks = early_bird(tiny.make_problem(100), distance=distance, threshold=threshold)
    rho = 25 / tiny.SIZE
    unit = 1 if distance == "raw" else 2 * rho * (1 - rho)
    stable = [
        index
        for index in range(4, len(masks))
        if all(np.mean(masks[index] != masks[index - back]) / unit <= threshold for back in (1, 2, 3, 4))
    ]
    assert trained == 5 * (stable[0] + 1 if stable else len(masks))


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(("moved", "settled"), [(50, True), (51, False)])
def test_the_default_threshold_is_the_published_one_at_half_density(
    normalised: bool, moved: int, settled: bool
) -> None:
    mask = np.arange(1000) < 500
    other = mask.copy()
    other[500 - moved : 500 + moved] = ~other[500 - moved : 500 + moved]  # as many kept; 50 moved: a tenth of all bits
    stability = Stability(2, None, normalised)
    assert not stability.settled(mask)
    assert stability.settled(other) == settled


def test_early_bird_tells_when_it_drew_and_how_the_masks_came_to_rest() -> None:
    problem = tiny.make_problem(100)
    EarlyBird(every="5step", threshold=0.3).search(problem)
    masks = [top_n(np.abs(s.weights.vector), problem.n_kept) for s in tiny.make_problem(100).train(every="5step")]
    rho, notes = 25 / tiny.SIZE, problem.notes
    drawn = problem.spent.train_examples // 150  # masks
    assert notes["draw_epoch"] == 5 * drawn / 10
    assert (notes["full_epochs"], notes["saved_epochs"]) == (6, 6 - notes["draw_epoch"])
    largest = [
        max(np.mean(masks[i] != masks[j]) for j in range(max(0, i - 4), i)) / (2 * rho * (1 - rho))
        for i in range(1, drawn)
    ]
    assert notes["distances"] == pytest.approx(largest, abs=1e-4)
    assert notes["settled"] == (largest[-1] <= 0.3)


def test_early_bird_draws_fifty_masks_in_a_training() -> None:
    problem = tiny.make_problem(100)
    EarlyBird(queue=100).search(problem)
    assert len(problem.notes["distances"]) == 59  # 60 steps: one mask each
    longer = tiny.make_problem(100, task=tiny.make_task(recipe=tiny.RECIPE.lasting(150)))
    EarlyBird(queue=100).search(longer)
    assert len(longer.notes["distances"]) == 49


def test_a_raw_distance_stops_a_sparse_search_sooner() -> None:
    raw, _ = early_bird(tiny.make_problem(100), distance="raw")
    normalised, _ = early_bird(tiny.make_problem(100), distance="normalised")
    assert raw == 25 < normalised  # a tenth of all bits is more than unrelated sparse masks ever differ in


def test_an_early_bird_may_go_on_from_where_it_was_drawn() -> None:
    problem = tiny.make_problem(100)
    ticket = EarlyBird(start="draw", threshold=1.0, every="5step").search(problem)
    assert ticket.step == 25
    assert ticket.weights is not None
    snapshot = next(s for s in tiny.make_problem(100).train(every="5step") if s.step == 25)
    assert np.array_equal(ticket.weights.vector, snapshot.weights.vector)


def test_children_keep_what_both_parents_keep_and_the_exact_count() -> None:
    problem = tiny.make_problem()
    encoding = make_encoding("swap", problem)
    for seed in range(50):
        rng = np.random.Generator(np.random.PCG64(seed))
        a, b = encoding.sample(rng), encoding.sample(rng)
        child = encoding.decode(encoding.crossover(a, b, rng))
        both = encoding.decode(a) & encoding.decode(b)
        assert child.sum() == 25
        assert child[both].all()
        assert not child[~(encoding.decode(a) | encoding.decode(b))].any()


class Batches(tiny.WrappedEngine):
    """Keeps the populations it evaluates."""

    def __init__(self) -> None:
        super().__init__(tiny.make_task())
        self.batches: list[BoolArray] = []

    def evaluate(self, job: Job, split: Split) -> Measures:
        self.batches.append(job.masks)
        return super().evaluate(job, split)


def test_a_generation_is_a_batch_of_children_of_the_best() -> None:
    engine = Batches()
    problem = tiny.make_problem(40, engine=engine)
    with pytest.raises(BudgetExhausted):
        Genetic(encoding="swap", population=9, mutation=0.01, crossover=0.0, tournament=99, elite=1).search(problem)
    assert [len(batch) for batch in engine.batches] == [9] * 4  # 36 evaluations of 10/9 of an epoch
    scores = tiny.make_problem(100)
    for generation in range(1, 4):
        parents = np.concatenate(engine.batches[:generation])
        values = np.array([score.value for score in scores.evaluate(parents)])
        best = parents[values == values.max()]
        for child in engine.batches[generation]:  # without crossover one swap away from a winner
            assert np.count_nonzero(best != child, axis=1).min() == 2


def test_a_genetic_search_improves_on_its_first_generation() -> None:
    best: list[float] = []
    problem = tiny.make_problem(
        150, progress=lambda p: best.append(p.incumbent.score.value if p.incumbent else 0.0), sparsity=0.9
    )
    with pytest.raises(BudgetExhausted):
        Genetic(population=9).search(problem)
    assert best == sorted(best)
    assert best[-1] > best[0]


def test_worse_moves_are_accepted_by_the_law_of_metropolis() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    n, temperature = 20_000, 0.05
    for loss in (0.0, 0.01, 0.05, 0.2):
        accepted = _metropolis(np.full(n, 0.5 - loss), np.full(n, 0.5), temperature, rng)
        expected = np.exp(-loss / temperature)
        assert accepted.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / n) + 1e-12)


def test_better_moves_are_always_accepted_and_failed_ones_never() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    found = np.array([0.6, 0.5, -np.inf, -np.inf, 0.1])
    energies = np.array([0.5, 0.5, 0.5, -np.inf, -np.inf])
    assert _metropolis(found, energies, 1e-9, rng).tolist() == [True, True, False, False, True]


def test_the_start_temperature_accepts_a_typical_worsening_as_often_as_asked() -> None:
    changes = np.array([0.02, -0.04, 0.06])
    temperature = SimulatedAnnealing(acceptance=0.3)._calibrate(changes)
    assert np.exp(-0.04 / temperature) == pytest.approx(0.3)


def test_moves_shrink_as_the_budget_is_spent() -> None:
    engine = Batches()
    problem = tiny.make_problem(60, engine=engine, sparsity=0.5)
    with pytest.raises(BudgetExhausted):
        SimulatedAnnealing(encoding="swap", chains=1, move=0.5, final_move=0.01, acceptance=0.99, cooling=0.99).search(
            problem
        )
    masks = [batch[0] for batch in engine.batches]
    sizes = [int(np.count_nonzero(a != b)) for a, b in pairwise(masks)]
    assert np.mean(sizes[:8]) > 2 * np.mean(sizes[-8:])


def test_optuna_leaves_its_log_level_as_found() -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        search("optuna-seeded", tiny.make_problem(10))
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_samplers_work_in_the_smallest_batches(batch: int) -> None:
    for sampler in ("tpe", "cmaes"):
        with pytest.raises(BudgetExhausted):
            make_strategy("optuna", {"batch": batch, "sampler": sampler}).search(tiny.make_problem(10))


@pytest.mark.parametrize("name", ["random", "ga", "sa"])
def test_a_search_with_nothing_left_to_try_ends(name: str) -> None:
    common = {} if name == "random" else {"orders": "common"}  # on fresh orders there is always more to learn
    with pytest.raises(SearchStalled):
        make_strategy(name, SMALL[name] | common).search(tiny.make_problem(1000, sparsity=0.0))
