"""What callbacks are told, when and where; and that they change nothing."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers import runs, tiny
from tests.helpers.crashes import CrashAt
from tests.helpers.recorder import Recorder
from ticketsearch import Callback, Result, compare
from ticketsearch.callbacks import Running
from ticketsearch.cost import Cost, Meter
from ticketsearch.errors import CallbackError, InvalidValue, StrategyError
from ticketsearch.records.ledger import Trial

EPOCH = 3 * 300
"""Thirds of a training example in an epoch of the tiny task."""
IMP: dict[str, Any] = {"strategy": "imp", "settings": {"rounds": 3, "round_steps": 15}}


def test_trials_are_told_as_they_are_on_record(tmp_path: Path) -> None:
    seen = Recorder()
    result = runs.run(tmp_path, "random", callbacks=[seen], checkpoints=0)
    trials = runs.trials_of(result.run)
    assert [trial for trial, _ in seen.trials] == trials
    assert len(trials) > 5
    assert [run.spent for _, run in seen.trials] == [trial.after.thirds / EPOCH for trial in trials]
    scores = [trial.score for trial in trials if trial.score is not None]
    assert [run.best for _, run in seen.trials] == list(accumulate(scores, max))
    assert {(run.name, run.strategy, run.task, run.seed, run.budget) for _, run in seen.trials} == {
        (Path(result.run).name, "random", "tiny", 0, 12.0)
    }
    assert seen.results == [result]
    assert seen.order[-2:] == ["result", "close"]


def test_rounds_are_told_after_their_training(tmp_path: Path) -> None:
    seen = Recorder()
    result = runs.run(tmp_path, **IMP, callbacks=[seen], checkpoints=0)
    assert seen.order == ["trial", "round"] * 3 + ["result", "close"]
    told = [(one.number, one.sparsity, one.step, one.mask_digest) for one, _ in seen.rounds]
    assert told == [(one.round, one.sparsity, one.step, one.mask_digest) for one in result.rounds[:-1]]
    assert [run.spent for _, run in seen.rounds] == [15 * 30 * 3 * number / EPOCH for number in (1, 2, 3)]
    assert all(0 < one.train_loss < math.log(3) for one, _ in seen.rounds)  # better than chance


def test_a_callback_changes_nothing(tmp_path: Path) -> None:
    def spoil(*facts: Any) -> None:
        for fact in facts:
            if isinstance(fact, Running):
                fact.parameters.clear()
            if isinstance(fact, Trial):
                vars(fact)["score"] = 1.0
                vars(fact.after)["train_examples"] = 0
            if isinstance(fact, Result):
                fact.notes["mine"] = 1
                fact.confirmation.test_accuracies.clear()

    plain = runs.run(tmp_path / "plain", checkpoints=0)
    after = Recorder()
    spoilt = runs.run(tmp_path / "spoilt", callbacks=[Recorder(spoil), after], checkpoints=0)
    assert runs.outcome(spoilt) == runs.outcome(plain)
    assert after.results == [spoilt]
    assert spoilt.notes == plain.notes
    assert all(run.parameters == plain.parameters for _, run in after.trials)


@pytest.mark.parametrize("arguments", [{"strategy": "sa", "settings": {"chains": 2}}, IMP], ids=["sa", "imp"])
def test_a_resumed_run_tells_the_rest(arguments: dict[str, Any], tmp_path: Path) -> None:
    whole, first, second, third = Recorder(), Recorder(), Recorder(), Recorder()
    runs.run(tmp_path / "whole", **arguments, callbacks=[whole])
    crash = CrashAt(search_calls=4)  # in the middle of a batch, or of a training
    with pytest.raises(runs.Crash):
        runs.run(tmp_path / "cut", **arguments, callbacks=[first], progress=crash)
    assert first.order[-1] == "close"
    assert not first.results
    result = runs.run(tmp_path / "cut", **arguments, callbacks=[second])
    assert second.trials

    def told(*parts: Recorder) -> list[Any]:
        steps = [(trial.number, trial.score, run.spent, run.best) for part in parts for trial, run in part.trials]
        return [steps, [(one, run.spent, run.best) for part in parts for one, run in part.rounds]]

    assert told(first, second) == told(whole)
    assert second.results == [result]
    runs.run(tmp_path / "cut", **arguments, callbacks=[third])
    assert third.order == []


@pytest.mark.parametrize("hook", ["on_trial", "on_result", "close"])
def test_one_that_fails_is_named_and_nothing_is_lost(
    hook: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise ZeroDivisionError("by\nnothing")

    failing, other = Recorder(), Recorder()
    setattr(failing, hook, fail)
    words = (
        rf"^callback Recorder failed in {hook} at .*test_callbacks.py:\d+: ZeroDivisionError: by nothing; the run has"
    )
    with pytest.raises(CallbackError, match=words) as caught:
        runs.run(tmp_path, callbacks=[failing, other], checkpoints=0)
    assert len(calls) == 1
    assert "it is not called again, and the run goes on" in capsys.readouterr().err
    result = runs.run(tmp_path, checkpoints=0)
    assert str(runs.folder_of(tmp_path)) in str(caught.value)
    assert [trial for trial, _ in other.trials] == runs.trials_of(result.run)
    assert other.results == [result]


def test_an_interrupt_in_a_callback_is_one(tmp_path: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.run(tmp_path, callbacks=[Recorder(interrupt)])
    assert len(runs.trials_of(runs.folder_of(tmp_path))) > 0


class Misspelt(Callback):
    def on_trail(self) -> None: ...


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        ([print], "callbacks: print, a builtin_function_or_method, is not an object of a class derived from"),
        ([Recorder], "Recorder, a class, is not an object"),
        ([Misspelt()], "nobody calls on_trail of Misspelt; there are on_trial, on_round, on_result and close"),
        (Recorder(), r"callbacks: write a list, \[Recorder\(...\)\]"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_computed(callbacks: Any, words: str, tmp_path: Path) -> None:
    for call in (partial(runs.run, tmp_path / "out"), partial(compare, "random", out=tmp_path / "out")):
        with pytest.raises(InvalidValue, match=words):
            call(callbacks=callbacks)
    assert not (tmp_path / "out").exists()


def test_their_time_is_no_part_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("ticketsearch.cost.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("ticketsearch.cost.time.process_time", lambda: 2 * now[0])
    meter = Meter(10)
    now[0] += 1
    with meter.paused():
        now[0] += 10
        with meter.paused():
            now[0] += 100
        assert meter.elapsed_s == 11.0  # of the pause that goes on
    now[0] += 2
    assert meter.elapsed_s == 3.0
    meter.lap(strategy=True)
    assert meter.spent == Cost(wall_s=3.0, cpu_s=6.0, strategy_s=3.0)


def test_a_search_does_not_pay_for_a_slow_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = [0.0]
    clock = time.perf_counter
    monkeypatch.setattr("ticketsearch.cost.time.perf_counter", lambda: clock() + late[0])

    def slow(*_: Any) -> None:
        late[0] += 1e6

    result = runs.run(tmp_path, callbacks=[Recorder(slow)], checkpoints=0, time_limit="1h")
    assert result.cost.wall_s < 1e5
    assert result.stopped.startswith("BudgetExhausted")


def test_a_study_tells_of_its_runs(tmp_path: Path) -> None:  # of several jobs: tests/studies/test_study.py
    seen = Recorder()
    results = compare(
        ["random", {"name": "imp", "round_steps": "99ep"}],
        tasks=tiny.task,
        seeds=range(2),
        budget=4,
        orders=1,
        checkpoints=0,
        controls=[],
        out=tmp_path,
        baselines=False,
        callbacks=[seen],
    )
    assert seen.processes == {os.getpid()}
    assert sorted(one.run for one in seen.results) == sorted(one.run for one in results)
    assert len(results.failures) == 2
    for result in results:
        own = [trial for trial, run in seen.trials if run.name == Path(result.run).name]
        assert own == runs.trials_of(result.run)
    assert seen.order.count("close") == 1
    assert seen.order[-1] == "close"


def test_a_study_is_finished_when_a_callback_failed(tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no room")

    grid: dict[str, Any] = {"tasks": tiny.task, "seeds": range(2), "budget": 4, "orders": 1, "checkpoints": 0}
    grid |= {"controls": [], "baselines": False, "out": tmp_path}
    with pytest.raises(CallbackError, match="OSError: no room; the study has finished; the same call, or load_results"):
        compare("random", callbacks=[Recorder(fail)], **grid)
    assert len(ticketsearch.load_results(tmp_path)) == 2


def test_those_of_a_run_that_fails_are_closed(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Nothing:
        def search(self, problem: Any) -> None:
            problem.evaluate(problem.space.random(problem.n_kept, problem.rng("x"), 2))
            raise RuntimeError("no luck")

    seen = Recorder()
    with pytest.raises(StrategyError, match="no luck"):
        runs.run(tmp_path, Nothing(), callbacks=[seen])
    assert seen.order == ["trial", "trial", "close"]
