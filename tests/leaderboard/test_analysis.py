"""The analysis of a study: small studies whose answers can be worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from tests.helpers.analyses import IMP, SEEDS, TRAIN, noise, run, study
from ticketsearch.leaderboard.analysis import aggregate, analyse
from ticketsearch.leaderboard.fidelity import tau
from ticketsearch.leaderboard.reliability import components
from ticketsearch.leaderboard.section import EPOCHS, FLOPS, SECONDS
from ticketsearch.leaderboard.statistics import paired, t_interval
from ticketsearch.leaderboard.trajectories import curve_of
from ticketsearch.records.study_records import Baseline


def test_kinds_reference_and_frontier() -> None:
    section = study(
        imp=IMP,
        imp_2=[(100.0, 0.62, None)],
        imp_3=[(200.0, 0.60, None)],
        magnitude=[(50.0, 0.6, None)],
        snip=[(1.0, 0.5, None)],
        ga=[(900.0, 0.5, 0.3)],
    )
    assert {one.label: one.kind for one in section.contenders} == {
        "imp (version=1)": "imp",
        "imp (version=2)": "imp",
        "imp (version=3)": "imp",
        "magnitude": "other",
        "snip": "other",
        "ga": "search",
    }
    assert section.reference == "imp (version=1)"
    assert section.frontier == ["magnitude", "imp (version=2)", "imp (version=1)"]  # version 3: dearer, no better
    means = [one.row.test_accuracy.mean for one in section.contenders]
    assert means == sorted(means, reverse=True)


def test_comparisons_are_those_of_the_statistics_paired_by_seed() -> None:
    section = study(imp=IMP, ga=[(900.0, 0.5, 0.3)])
    ga, imp = section.contender("ga"), section.contender("imp")
    assert ga.to_imp is not None
    assert ga.to_imp.paired == paired([ga.accuracies[s] for s in SEEDS], [imp.accuracies[s] for s in SEEDS])
    assert ga.to_imp.separated
    assert imp.to_imp is None
    assert ga.to_random is not None
    gains = [ga.accuracies[s] - (0.4 + noise(s + 100)) for s in SEEDS]
    assert ga.to_random.paired.difference == pytest.approx(np.mean(gains))
    assert [one.rank and one.rank.value for one in section.contenders] == [1, 2]


def test_targets_span_the_gap_from_random_masks_to_imp() -> None:
    section = study(imp=IMP, ga=[(900.0, 0.5, 0.3)])
    imp = np.mean([0.66 + noise(s) for s in SEEDS])
    random = np.mean([0.4 + noise(s + 100) for s in SEEDS])
    assert section.targets == pytest.approx([random + k / 10 * (imp - random) for k in range(1, 11)])


def test_mean_curves_are_steps_averaged_over_seeds() -> None:
    section = study(imp=IMP, ga=[(10.0, 0.42, 0.2), (100.0, 0.5, 0.3), (1000.0, 0.55, 0.4)])
    points = section.contender("ga").curve
    costs = [point.cost for point in points]
    assert (costs[0], costs[-1]) == pytest.approx((10.0, 1000.0))
    own = np.array([noise(s) for s in SEEDS])
    for point in points:
        expected = 0.42 if point.cost < 99.9 else 0.5 if point.cost < 999 else 0.55
        assert point.mean == pytest.approx(expected + own.mean())
        assert (point.low, point.high) == pytest.approx(t_interval(expected + own))
        assert point.n == 10


def test_a_run_costs_what_its_ledger_says_in_every_currency() -> None:
    one = run("ga", 0, (10.0, 0.42, 0.2), (100.0, 0.5, 0.3))
    assert curve_of(one, EPOCHS).costs == (10.0 * TRAIN, 100.0 * TRAIN)
    assert curve_of(one, FLOPS).spent == 100 * 10**6
    assert curve_of(one, SECONDS).costs == (1.0, 10.0)


def test_running_times_and_break_even_ratios() -> None:
    """The search is at 0.5 after 100 epochs, at 0.55 after 1000; one-shot magnitude has 0.6 after 50."""
    section = study(
        imp=IMP, magnitude=[(50.0, 0.6, None)], ga=[(10.0, 0.40, 0.2), (100.0, 0.5, 0.3), (1000.0, 0.55, 0.4)]
    )
    ga = section.contender("ga")
    half, last = ga.running_times[EPOCHS][1], ga.running_times[EPOCHS][9]  # targets 0.452 and 0.66
    assert half.ert == pytest.approx(100 * TRAIN)
    assert (last.ert, last.successes) == (np.inf, 0)
    assert ga.ratios[EPOCHS][1].value == pytest.approx(100 / 50)  # magnitude is the cheapest that gets there
    assert ga.ratios[EPOCHS][9].value == np.inf
    assert (ga.ratios[EPOCHS][9].low or 0) > 1
    assert section.contender("imp").ratios == {}


def test_shares_of_solved_targets_rise_with_cost() -> None:
    section = study(imp=IMP, ga=[(10.0, 0.40, 0.2), (100.0, 0.5, 0.3), (1000.0, 0.55, 0.4)])
    solved = section.contender("ga").solved  # targets 0.426, 0.452, ... 0.66: three below 0.5, five below 0.55
    assert [cost for cost, _ in solved] == pytest.approx([100, 1000], abs=1e-9)
    assert [share for _, share in solved] == pytest.approx([0.3, 0.5], abs=0.05)
    assert section.contender("imp").solved[-1][0] == 550


def test_strategies_are_aggregated_over_the_sparsities_they_share() -> None:
    runs = [
        run(name, seed, (9.0, accuracy - sparsity / 10, 0.2), sparsity=sparsity, run=f"{name}{sparsity}{seed}")
        for sparsity in (0.5, 0.9)
        for name, accuracy in (("ga", 0.6), ("imp", 0.7))
        for seed in range(4)
    ] + [run("sa", 0, (9.0, 0.9, 0.2))]
    imp, ga = aggregate(analyse(runs))
    assert (imp.label, ga.label, ga.sparsities, ga.middle.n) == ("imp", "ga", [0.5, 0.9], 8)
    values = [one.test_accuracy for one in runs if one.strategy == "ga"]
    assert ga.middle.value == pytest.approx(stats.trim_mean(values, 0.25))
    assert aggregate(analyse(runs[:8])) == []  # one sparsity


def test_a_search_that_never_gets_there_supports_the_guess_and_one_that_gets_there_at_once_refutes_it() -> None:
    section = study(imp=IMP, ga=[(30_000.0, 0.5, 0.3)], sa=[(5.0, 0.70, 0.3)])
    outcomes = {(v.strategy, v.currency): v.outcome for v in section.verdicts}
    assert {outcomes["ga", currency] for currency in (EPOCHS, FLOPS, SECONDS)} == {"supported"}
    assert {outcomes["sa", currency] for currency in (EPOCHS, FLOPS, SECONDS)} == {"refuted"}
    assert len(section.verdicts) == 6


def test_no_verdict_without_imp_with_few_seeds_or_with_a_failed_control() -> None:
    runs = [run("ga", seed, (900.0, 0.5, 0.3)) for seed in SEEDS]
    [alone] = analyse(runs)
    assert (alone.reference, alone.verdicts, alone.targets) == (None, [], [])
    assert not alone.controls[0].passed
    imps = [run("imp", seed, *IMP, run=f"i{seed}") for seed in SEEDS]
    [few] = analyse(runs[:9] + imps[:9])
    assert {v.outcome for v in few.verdicts} == {"none"}
    assert any("9 paired seeds" in reason for v in few.verdicts for reason in v.reasons)
    bare = [one.model_copy(update={"references": {}}) for one in imps]
    assert any("No IMP was run with the control" in reason for reason in analyse(runs + bare)[0].verdicts[0].reasons)
    useless = {"shuffle-mask": imps[0].confirmation.model_copy(update={"test_accuracy": 0.67})}
    shuffled = [one.model_copy(update={"references": useless}) for one in imps]
    [failed] = analyse(runs + shuffled)
    assert {v.outcome for v in failed.verdicts} == {"none"}
    assert any("not shown to be above the same mask shuffled" in reason for reason in failed.verdicts[0].reasons)


def test_a_search_that_exploits_its_evaluator_is_reported_as_such() -> None:
    climbing = [(2.0**k, 0.50 if k < 4 else 0.50 - 0.01 * (k - 3), 0.20 + 0.02 * k) for k in range(8)]
    honest = [(2.0**k, 0.40 + 0.01 * k, 0.20 + 0.02 * k) for k in range(8)]
    section = study(imp=IMP, ga=climbing, sa=honest)
    ga, sa, imp = (section.contender(name).exploitation for name in ("ga", "sa", "imp"))
    assert ga is not None
    assert (ga.exploits, ga.falls, ga.cost) == (True, True, 8.0)
    assert sa is not None
    assert not sa.exploits
    assert imp is None
    tau_ga, tau_sa = section.contender("ga").tau, section.contender("sa").tau
    assert tau_ga is not None
    assert tau_sa is not None
    assert tau_ga.value < 0 < tau_sa.value == 1.0


def test_scores_that_rise_with_the_length_of_the_training_are_no_climb() -> None:
    """As under successive halving: the first half of the checkpoints was scored by shorter trainings."""
    climbing = [(2.0**k, 0.50 - 0.01 * k, 0.20 + 0.02 * k) for k in range(8)]
    runs = [run("ga", seed, *climbing) for seed in SEEDS] + [run("imp", seed, *IMP) for seed in SEEDS]
    shorter = [
        one.model_copy(update={"curve": [p.model_copy(update={"fidelity": 10}) for p in one.curve[:7]] + one.curve[7:]})
        for one in runs
    ]
    [same], [rising] = analyse(runs), analyse(shorter)
    found = same.contender("ga").exploitation
    assert found is not None
    assert found.exploits
    assert rising.contender("ga").exploitation is None
    assert rising.contender("ga").tau is None


def test_the_sweep_of_imp_does_not_make_searches_indistinguishable() -> None:
    """Ten seeds have no p below 2/1024, and Holm's correction among thirty would make 0.06 of that."""
    sweep = {f"imp_{version}": [(100.0 + version, 0.5, None)] for version in range(2, 32)}
    section = study(imp=IMP, **sweep, ga=[(900.0, 0.5, 0.3)], sa=[(900.0, 0.5, 0.3)])
    ga, weak = section.contender("ga").to_imp, section.contender("imp (version=2)").to_imp
    assert ga is not None
    assert ga.separated
    assert ga.p_holm == pytest.approx(2 * 2 / 2**10)
    assert weak is not None
    assert weak.p_holm == pytest.approx(30 * 2 / 2**10)
    assert not weak.separated


def test_fidelity_is_tau_within_seeds_averaged_over_them() -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    short, full = rng.random((3, 8)), rng.random((3, 8))
    baselines = [
        Baseline(
            task="tiny",
            task_fingerprint="f1",
            sparsity=0.9,
            seed=seed,
            budget=2000.0,
            fidelity=10,
            short_scores={10: short[seed].tolist()},
            evaluation_epochs={10: 2.5},
            test_accuracies=full[seed].tolist(),
            order_accuracies=[[one + 0.1, one - 0.1 * row] for row, one in enumerate(full[seed].tolist())],
            dense_budget_test_accuracy=0.7 + seed / 100,
        )
        for seed in range(3)
    ]
    runs = [run("imp", seed, *IMP, short_scores={10: 0.3, 20: 0.4}) for seed in range(3)]
    runs += [run("ga", seed, (9.0, 0.5, 0.2), short_scores={10: 0.5, 20: 0.3}) for seed in range(3)]
    runs += [run("sa", seed, (9.0, 0.45, 0.2), short_scores={10: 0.4, 20: 0.2}) for seed in range(3)]
    [section] = analyse(runs, baselines)
    random, short_tickets, long_tickets = section.fidelity
    assert (random.population, random.steps, random.epochs, len(random.pairs)) == ("random masks", 10, 2.5, 24)
    own = [tau(short[seed].tolist(), full[seed].tolist()) for seed in range(3)]
    values = np.array([one.value for one in own if one])
    assert random.tau is not None
    assert random.tau.value == pytest.approx(values.mean())
    assert (random.tau.low, random.tau.high) == pytest.approx(t_interval(values))
    assert random.ceiling == pytest.approx(
        np.mean([2 / np.pi * np.arcsin(components(one.order_accuracies).reliability ** 0.5) for one in baselines])
    )
    assert short_tickets.ceiling is None
    assert (short_tickets.steps, long_tickets.steps) == (10, 20)
    assert short_tickets.tau is not None
    assert long_tickets.tau is not None
    assert (short_tickets.tau.value, long_tickets.tau.value) == pytest.approx((-1 / 3, 1.0))
    assert section.dense_budget is not None
    assert section.dense_budget.mean == pytest.approx(0.71)
    assert section.dense_budget_epochs == 2000
    [other] = analyse(runs, [baselines[0].model_copy(update={"sparsity": 0.5})])
    assert other.dense_budget is None


def test_an_analysis_is_json_and_does_not_depend_on_the_order_of_runs() -> None:
    runs = [run("imp", seed, *IMP) for seed in SEEDS] + [run("ga", seed, (900.0, 0.5, 0.3)) for seed in SEEDS]
    forward, backward = analyse(runs), analyse(reversed(runs))
    assert json.dumps([s.as_dict() for s in forward]) == json.dumps([s.as_dict() for s in backward])


def test_rows_that_differ_in_budget_alone_have_names_of_their_own() -> None:
    runs = [
        run("ga", seed, (9.0, 0.5, 0.2), budget=budget, run=f"{budget}-{seed}")
        for seed in range(2)
        for budget in (10.0, 20.0)
    ]
    [section] = analyse(runs)
    assert sorted(one.label for one in section.contenders) == ["ga (budget=10ep)", "ga (budget=20ep)"]


def test_the_same_run_with_and_without_controls_counts_once() -> None:
    plain = run("ga", 0, (9.0, 0.5, 0.2), run="plain")
    told = plain.model_copy(update={"run": "told", "references": {"shuffle-mask": plain.confirmation}})
    [section] = analyse([told, plain, run("ga", 1, (9.0, 0.5, 0.2))])
    [ga] = section.contenders
    assert (ga.row.seeds, ga.row.runs) == ([0, 1], ["told", "ga1"])
