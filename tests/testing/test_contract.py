"""The contract: our own strategies keep it, and each check catches a strategy that breaks it and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.helpers import breakers
from tests.helpers.breakers import BREAKERS, Sound
from tests.helpers.zygote import zygote
from ticketsearch import MaskProblem
from ticketsearch.errors import InvalidValue, PluginError, UnknownName
from ticketsearch.plugins import STRATEGIES, available
from ticketsearch.plugins.patience import run_limited
from ticketsearch.testing import CHECKS, CheckFailed, StrategyContract, check_strategy, fresh
from ticketsearch.testing.closed_form import closed_form_problem

OWN = [plugin.name for plugin in available(STRATEGIES) if plugin.distribution == "ticketsearch"]


FEWER = {"synflow": {"rounds": 30}, "ntk-sap": {"rounds": 2, "batches": 1}}
"""Many rounds over a million bits take most of a minute."""


@pytest.fixture(scope="module")
def other_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not hasattr(os, "fork"):  # Windows: each process by itself
        yield run_limited
        return
    with zygote(tmp_path_factory.mktemp("zygote")) as forked:
        yield forked


@pytest.mark.parametrize("name", OWN)
def test_every_strategy_of_ours_keeps_the_contract(
    name: str, other_processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "run_limited", other_processes)
    report = check_strategy(name, settings=FEWER.get(name))
    report.require()
    assert {result.state for result in report.results} == {"passed"}
    assert report.measured["unmetered_fraction"] == 0


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.name for check in CHECKS]


@pytest.mark.parametrize(("check", "breaker"), [(c, b) for c, classes in BREAKERS.items() for b in classes])
def test_each_breaker_is_caught_by_its_check_and_by_no_other(check: str, breaker: type) -> None:
    """Those that take a process are made of sound strategies, and of their own breakers."""
    breakers.Remembers.killed = False
    others = {"fresh-process", "million-bits"} - {check}
    report = check_strategy(breaker, checks=[one.name for one in CHECKS if one.name not in others])
    assert [result.name for result in report.failures] == [check], str(report)
    assert not report.passed
    with pytest.raises(CheckFailed, match=f"{breaker.__name__}: {check}: "):
        report.require()
    assert f"failed: {check}" in str(report)
    assert report.as_dict()["failures"] == [check]


class TestSound(StrategyContract):
    strategy = Sound


class TestFromAFunction(StrategyContract):
    strategy = lambda: Sound(batch=3)  # noqa: E731


class TestByName(StrategyContract):
    strategy = "snip"
    settings = {"examples": 50}  # noqa: RUF012


class TestBroken(StrategyContract):
    """The same tests fail for a breaker; see below."""

    __test__ = False
    strategy = breakers.WrongCount


def test_the_tests_to_inherit_fail_and_skip_as_the_report_does() -> None:
    import unittest

    methods = [name for name in dir(TestBroken) if name.startswith("test_")]
    assert len(methods) == len(CHECKS)
    with pytest.raises(CheckFailed, match="exact-count: the ticket keeps 37 weights, the wrong count"):
        StrategyContract.__dict__["test_exact_count"](TestBroken())
    with pytest.raises(unittest.SkipTest, match="needs exact-count"):
        StrategyContract.__dict__["test_same_seed"](TestBroken())
    StrategyContract.__dict__["test_picklable"](TestBroken())


def test_what_computes_off_the_meter_is_reported_as_a_fraction() -> None:
    report = check_strategy(breakers.TrainsByItself, checks=["metered"])
    assert 0 < report.measured["unmetered_fraction"] < 0.5
    assert "backward passes" in str(report)
    assert "optimizer steps" in str(report)
    assert check_strategy(breakers.TrainsByItself, checks=["metered"], max_unmetered=0.5).passed
    behind = check_strategy(breakers.GoesBehind, checks=["metered"])
    assert "problem._session read" in str(behind)
    assert behind.measured["unmetered_fraction"] > 0


@dataclass(frozen=True)
class Endless:
    def search(self, problem: MaskProblem) -> None:
        while True:
            pass


@dataclass(frozen=True)
class Asleep:
    def search(self, problem: MaskProblem) -> None:
        import time

        time.sleep(100)


@pytest.mark.parametrize("endless", [Endless, Asleep])
def test_a_search_without_an_end_is_ended(endless: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from ticketsearch.testing import subject

    monkeypatch.setattr(subject, "SEARCH_LIMIT_S", 0.2)
    report = check_strategy(endless, checks=["searches"])
    assert "did not end within 0.2 s" in report.failures[0].message


@pytest.mark.parametrize(
    ("strategy", "error", "words"),
    [
        (3, PluginError, "neither a strategy nor a function"),
        (dict, PluginError, "not a dataclass with a search"),
        (lambda: 3, PluginError, "not a dataclass with a search"),
        ("gaa", UnknownName, "did you mean 'ga'"),
    ],
)
def test_what_is_no_strategy_is_refused(strategy: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_strategy(strategy)


def test_unknown_checks_and_settings_without_a_class_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'exact-count'"):
        check_strategy(Sound, checks=["exact-counts"])
    with pytest.raises(InvalidValue, match="settings belong to a class"):
        check_strategy(Sound(), settings={"batch": 3})
    assert (
        check_strategy(Sound, settings={"batch": 2}, checks=["parameters-round-trip"]).results[0].message
        == '{"batch": 2}'
    )


def test_a_class_that_no_other_process_can_find_is_skipped_there() -> None:
    @dataclass(frozen=True)
    class Local(Sound):
        pass

    report = check_strategy(Local, checks=["fresh-process", "million-bits"])
    assert {result.state for result in report.results} == {"skipped"}
    assert "inside a function" in report.results[0].message


def test_the_closed_form_problem_has_an_answer_to_find() -> None:
    problem, engine = closed_form_problem(10)
    masks = [engine.planted, problem.space.random(problem.n_kept, problem.rng("x"))]
    planted, other = problem.evaluate(masks)
    assert planted > other
    assert engine.value(masks[0]) > engine.value(masks[1])
    assert engine.thirds == problem.spent.thirds


def test_every_verb_of_the_closed_form_engine_does_what_it_charges() -> None:
    problem, engine = closed_form_problem(100)
    for snapshot in problem.train(every="1ep"):
        problem.validate(None, snapshot.weights)
    problem.gradients(None, 30)
    problem.hessian_gradient(None, 30)
    problem.synaptic_flow(None)
    problem.evaluate([engine.planted], fidelity=0)
    assert engine.thirds == problem.spent.thirds > 0
