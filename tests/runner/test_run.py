from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import ROOT
from tests.helpers.runs import Breaking, Crash, First, crash, folder_of, outcome, run, trials_of
from ticketsearch import MaskProblem, Result, Ticket, TicketsearchError
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, PluginError, StorageError, StrategyError, UnknownName
from ticketsearch.masks import top_n
from ticketsearch.records.folder import LEDGER, RESULT, SPEC, TICKET
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.results import read_result
from ticketsearch.strategies.ga import Genetic
from ticketsearch.strategies.random_search import RandomSearch


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


# Strategies of users.


@dataclass(frozen=True)
class Returns:
    """Whatever it is told to return."""

    what: str

    def search(self, problem: MaskProblem) -> Any:
        return RETURNED[self.what]


RETURNED = {
    "nothing": None,
    "number": 7,
    "short": Ticket(np.zeros(3, dtype=bool)),
    "late": Ticket(np.arange(246) < 25, step=61),
    "texts": Ticket(np.arange(246) < 25, step="3"),  # type: ignore[arg-type]
    "truth": Ticket(np.arange(246) < 25, step=True),
    "pair": Ticket(np.arange(246) < 25, (np.zeros(246), np.zeros(1))),  # type: ignore[arg-type]
    "lost": Ticket(np.arange(246) < 25, held=np.full(246, np.nan, np.float32)),
    "list": Ticket(np.arange(246) < 25, held=[0.0] * 246),  # type: ignore[arg-type]
    "names": Ticket(np.arange(246) < 25, scores=np.array(["a"] * 246)),
    "rest": Ticket(np.arange(246) < 25, rest_mask="all"),  # type: ignore[arg-type]
    "misfit": Ticket(np.arange(246) < 25, ticketsearch.Weights(np.zeros(2, np.float32), np.zeros(2, np.float32))),
}


@dataclass(frozen=True)
class Leaves:
    """Says something and ends the process."""

    def search(self, problem: MaskProblem) -> None:
        print("goodbye")
        sys.exit(0)


@dataclass(frozen=True)
class Unspeakable:
    """A strategy whose parameter cannot be written down."""

    what: Any = len

    def search(self, problem: MaskProblem) -> None:
        raise AssertionError


@dataclass(frozen=True)
class Derived:
    """A strategy with a field of its own making."""

    seen: list[int] = field(default_factory=list, init=False)

    def search(self, problem: MaskProblem) -> None:
        problem.evaluate([problem.space.random(problem.n_kept, problem.rng("d"))])


@dataclass(frozen=True)
class Misbehaving:
    """Breaks the contract in the middle of a training."""

    def search(self, problem: MaskProblem) -> None:
        for _ in problem.train(every="1ep"):
            problem.evaluate(np.zeros((1, 3), dtype=bool))


def test_a_run_leaves_what_it_promises(tmp_path: Path) -> None:
    result = run(tmp_path)
    folder = Path(result.run)
    assert folder.parent == tmp_path
    assert {SPEC, LEDGER, RESULT, TICKET} <= {path.name for path in folder.iterdir()}
    assert (result.strategy, result.task, result.sparsity, result.budget) == ("random", "tiny", 0.9, 12.0)
    assert (result.n_kept, result.n_weights, result.trials) == (25, 246, 10)
    assert sum(layer.kept for layer in result.layers) == 25
    assert result.cost.epochs <= 12
    assert result.confirmation.steps == 60
    assert result.test_accuracy == pytest.approx(float(np.mean(result.confirmation.test_accuracies)))
    assert result.confirmation.spread == pytest.approx(float(np.std(result.confirmation.test_accuracies, ddof=1)))
    assert read_result(folder) == result
    spec = json.loads((folder / SPEC).read_text())
    assert (spec["strategy"], spec["seed"], spec["parameters"]) == ("random", 0, result.parameters)
    assert result.parameters["batch"] == 64  # defaults are written down too


def test_the_winner_is_the_best_trial(tmp_path: Path) -> None:
    result = run(tmp_path)
    best = max(trials_of(result.run), key=lambda t: (t.score, -(t.loss or 0)))
    assert (result.mask_digest, result.search_score) == (best.mask, best.score)


def test_confirmation_and_references_are_on_accounts_of_their_own(tmp_path: Path) -> None:
    result = run(tmp_path)
    trainings = [(3 * 300 + 100) / 300 / 3 for _ in trials_of(result.run)]
    assert result.cost.epochs == pytest.approx(sum(trainings))
    one = 60 * 30 / 300 + (2 * 100 + 100) / 3 / 300  # full training, test before and after, validation
    for record in (result.confirmation, *result.references.values()):
        assert record.cost.epochs == pytest.approx(2 * one)
        assert record.cost.trainings == 2
    assert set(result.references) == {"dense", "random", "magnitude"}
    assert result.references["dense"].cost.sparse_flops == result.references["dense"].cost.dense_flops
    assert result.references["random"].cost.sparse_flops == result.confirmation.cost.sparse_flops


@dataclass(frozen=True)
class BreaksOff:
    """Breaks a training off, which records it; the next verb, or the end, is where an error can surface."""

    def search(self, problem: MaskProblem) -> Ticket:
        snapshot = next(problem.train(every="1ep"))
        return Ticket(top_n(snapshot.weights.vector, problem.n_kept))


def test_an_error_in_recording_a_training_that_was_broken_off_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(StorageError, match="No space left"):
            ticketsearch.run(BreaksOff(), tiny.make_task(), budget="20ep", out=tmp_path)
    result = ticketsearch.run(BreaksOff(), tiny.make_task(), budget="20ep", out=tmp_path)
    assert (result.trials, result.calls) == (1, {"train": 1})


def test_the_dense_reference_learns_the_task(tmp_path: Path) -> None:
    result = run(tmp_path, sparsity=0.5)
    assert result.dense_test_accuracy > 0.6
    assert result.test_accuracy > 0.5


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    first = run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in Path(first.run).iterdir()}
    assert run(tmp_path, progress=Breaking(0, crash)) == first
    assert {path: path.stat().st_mtime_ns for path in Path(first.run).iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"sparsity": 0.8},
        {"budget": "13ep"},
        {"fidelity": 5},
        {"orders": 1},
        {"settings": {"batch": 3}},
        {"task": tiny.make_task(recipe=replace(tiny.RECIPE, learning_rate=0.2))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_spec_is_another_folder(tmp_path: Path, change: dict[str, Any]) -> None:
    assert run(tmp_path).run != run(tmp_path, **change).run
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        ("ga", {"population": 4}),
        ("ga", {"population": 4, "encoding": "criterion-mixture"}),
        ("sa", {"chains": 3}),
        ("optuna", {"batch": 3}),
        ("imp", {"rounds": 3, "rewind": "5step"}),
        ("early-bird", {}),
    ],
)
def test_a_run_that_broke_off_is_resumed_to_the_same_end(
    tmp_path: Path, strategy: str, settings: dict[str, Any]
) -> None:
    def go(out: str, **arguments: Any) -> Result:
        return run(tmp_path / out, strategy, settings=settings, sparsity=0.8, budget="20ep", **arguments)

    whole = go("whole")
    for after in (0, 1, 5, 9):
        with contextlib.suppress(Crash):  # the last ones may come after the end
            go("broken", progress=Breaking(after, crash))
    assert outcome(go("broken")) == outcome(whole)


@pytest.mark.parametrize("action", [crash, interrupt])
def test_a_run_that_broke_off_while_confirming_is_resumed(tmp_path: Path, action: Callable[[], None]) -> None:
    with pytest.raises((Crash, KeyboardInterrupt)):
        run(tmp_path / "broken", progress=Breaking(-1, action))
    assert outcome(run(tmp_path / "broken")) == outcome(run(tmp_path / "whole"))


def test_the_first_interrupt_finishes_the_batch_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", "ga", settings={"population": 4}, progress=Breaking(4, interrupt))
    assert signal.getsignal(signal.SIGINT) is before
    (folder,) = (path for path in (tmp_path / "broken").iterdir() if path.is_dir())
    assert len(trials_of(folder)) == 4
    assert not (folder / RESULT).exists()
    again, whole = (run(tmp_path / out, "ga", settings={"population": 4}) for out in ("broken", "whole"))
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize("strategy", ["imp", "early-bird", "magnitude"])
def test_an_interrupt_during_a_training_does_not_end_the_search(tmp_path: Path, strategy: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", strategy, progress=Breaking(0, interrupt))
    assert outcome(run(tmp_path / "broken", strategy)) == outcome(run(tmp_path / "whole", strategy))


def test_an_interrupt_in_the_strategy_s_own_code_is_not_lost(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Interrupted:
        def search(self, problem: MaskProblem) -> Ticket:
            interrupt()
            return First().search(problem)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupted())


KILLED = """
import os, signal, sys
from tests.helpers.runs import Breaking, run
run(sys.argv[1], "ga", settings={"population": 4}, progress=Breaking(8, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


def test_a_killed_process_is_resumed_to_the_same_end(tmp_path: Path) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "killed"], cwd=ROOT, timeout=120)
    assert process.returncode == -signal.SIGKILL
    (folder,) = (path for path in (tmp_path / "killed").iterdir() if path.is_dir())
    assert len(trials_of(folder)) == 8
    again, whole = (run(tmp_path / out, "ga", settings={"population": 4}) for out in ("killed", "whole"))
    assert outcome(again) == outcome(whole)


def test_resuming_adds_the_seconds_of_the_session_before(tmp_path: Path) -> None:
    with pytest.raises(Crash, match="lights"):
        run(tmp_path, "ga", settings={"population": 4}, progress=Breaking(8, crash))
    folder = folder_of(tmp_path)
    trials = trials_of(folder)
    (folder / LEDGER).unlink()
    with Ledger(folder / LEDGER) as ledger:
        ledger.append([*trials[:-1], replace(trials[-1], after=replace(trials[-1].after, wall_s=5000.0))])
    assert run(tmp_path, "ga", settings={"population": 4}).cost.wall_s > 5000


def test_a_run_whose_strategy_asks_something_else_on_resumption_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Crash, match="lights"):
        run(tmp_path, progress=Breaking(4, crash), settings={"batch": 4})
    folder = folder_of(tmp_path)
    with pytest.raises(Crash, match="lights"):
        run(tmp_path / "other", seed=1, progress=Breaking(4, crash), settings={"batch": 4})
    (other,) = (path for path in (tmp_path / "other").iterdir() if path.is_dir())
    shutil.copy(other / LEDGER, folder / LEDGER)
    with pytest.raises(CorruptRun, match="move the folder away"):
        run(tmp_path, settings={"batch": 4})


def test_strategies_may_be_instances_and_share_nothing_with_named_ones_but_results(tmp_path: Path) -> None:
    instance, named = run(tmp_path, Genetic(population=4)), run(tmp_path, "ga", settings={"population": 4})
    assert (instance.strategy, instance.distribution) == ("Genetic", "ticketsearch.strategies.ga")
    assert instance.run != named.run
    assert instance.mask_digest == named.mask_digest


def test_a_strategy_without_a_score_confirms_what_it_returns(tmp_path: Path) -> None:
    result = run(tmp_path, First())
    assert (result.trials, result.search_score, result.stopped, result.cost.epochs) == (0, None, "returned", 0)


def test_a_field_that_is_no_parameter_stays_out_of_the_spec(tmp_path: Path) -> None:
    assert run(tmp_path, Derived()).parameters == {}


@pytest.mark.parametrize(
    ("strategy", "error", "words"),
    [
        (First(extra=1), StrategyError, r"keeps 26 weights; sparsity asks for 25"),
        (Unspeakable(), PluginError, "must be JSON values"),
        (Returns("nothing"), StrategyError, "without a ticket and without one scored mask"),
        (Returns("number"), StrategyError, "returned int; search must return a Ticket or None"),
        (Returns("short"), StrategyError, r"a mask of bool \(3,\)"),
        (Returns("late"), StrategyError, "ticket of step 61"),
        (Returns("misfit"), StrategyError, "start weights: float32"),
        (Returns("texts"), StrategyError, "ticket of step '3'"),
        (Returns("truth"), StrategyError, "ticket of step True"),
        (Returns("pair"), StrategyError, "start weights of type tuple; needed: ticketsearch.Weights"),
        (Returns("lost"), StrategyError, "held values that are not all finite"),
        (Returns("list"), StrategyError, "held values: list; needed: an array of floating-point"),
        (Returns("names"), StrategyError, r"scores: <U1 \(246,\); needed: an array of numbers"),
        (Returns("rest"), StrategyError, "a mask of the rest: str; needed: an array of bool"),
        (Leaves(), StrategyError, "strategy 'Leaves' failed at .*SystemExit: 0"),
        (Misbehaving(), StrategyError, r"masks must be booleans of shape \(P, 246\)"),
        (RandomSearch, PluginError, "not an instance"),
        (object(), PluginError, "not an instance of a dataclass"),
        (RandomSearch(batch=0), InvalidValue, "batch = 0"),
        ("rndom", UnknownName, "did you mean 'random'"),
    ],
)
def test_strategies_that_break_the_contract_are_told_how(
    tmp_path: Path, strategy: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(tmp_path, strategy)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sparsity": 1.0}, r"outside \[0, 1\)"),
        ({"sparsity": 0.99}, "leaves layer 'output.weight' .* empty"),
        ({"budget": "1ep"}, r"too small for one evaluation .* 1\.112ep"),
        ({"budget": "ten"}, "budget 'ten' is not a number of epochs"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "seed"),
        ({"seed": True}, "seed True"),
        ({"orders": 0}, "orders 0"),
        ({"fidelity": "long"}, "fidelity 'long'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"settings": {"bach": 3}}, "did you mean 'batch'"),
        ({"strategy": First(), "settings": {"a": 1}}, "an instance has its own"),
    ],
)
def test_wrong_arguments_are_usage_errors_and_compute_nothing(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ticketsearch.TicketsearchError, match=words) as error:
        run(tmp_path, **arguments)
    assert error.value.exit_code == 2
    assert not list(tmp_path.glob(f"*/{RESULT}"))


def test_the_advised_budget_is_enough(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue) as error:
        run(tmp_path, budget="0.5ep")
    assert run(tmp_path, budget=str(error.value).rsplit(maxsplit=1)[1]).trials == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(NotARun, match="is not empty and holds no runs"):
        run(tmp_path)
    with pytest.raises(NotARun, match="is a file"):
        run(tmp_path / "thesis.tex")
    with pytest.raises(TicketsearchError) as error:
        run(tmp_path / "thesis.tex" / "runs")
    assert error.value.exit_code == 2
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_run_folder_itself_is_no_place_for_runs(tmp_path: Path) -> None:
    result = run(tmp_path)
    with pytest.raises(NotARun, match="is a run itself"):
        run(Path(result.run))


def test_a_folder_in_the_place_of_a_run_that_is_none_is_left_alone(tmp_path: Path) -> None:
    folder = Path(run(tmp_path).run)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "precious").write_text("x")
    with pytest.raises(NotARun, match="is not a run"):
        run(tmp_path)
    assert os.listdir(folder) == ["precious"]


def test_a_network_that_never_trains_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    task = tiny.make_task(recipe=replace(tiny.RECIPE, learning_rate=1e25))
    with pytest.raises(
        StrategyError, match=r"all \d+ evaluations of strategy 'random' diverged \(the validation loss is nan\)"
    ):
        run(tmp_path, task=task)
    with pytest.raises(StrategyError, match="diverged"):
        run(tmp_path, "imp", task=task)


def test_a_diverged_confirmation_is_counted(tmp_path: Path) -> None:
    task = tiny.make_task(recipe=replace(tiny.RECIPE, learning_rate=1e25))
    result = run(tmp_path, First(), task=task)
    assert result.confirmation.diverged == 2
    assert read_result(Path(result.run)) == result


def test_a_network_with_dropout_ends_the_same_whatever_was_drawn_before(tmp_path: Path) -> None:
    task = tiny.make_task(tiny.dropout_network)
    one = run(tmp_path / "one", task=task, sparsity=0.5)
    torch.rand(7)
    again = run(tmp_path / "again", task=task, sparsity=0.5)
    assert (one.search_score, one.mask_digest, one.confirmation.test_accuracies) == (
        again.search_score,
        again.mask_digest,
        again.confirmation.test_accuracies,
    )


def test_a_run_in_a_thread_works(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, tmp_path).result().trials == 10


@dataclass(frozen=True)
class Stumbling:
    """Scores one mask, then trips."""

    def search(self, problem: MaskProblem) -> None:
        problem.evaluate(tiny.masks_of(problem, 1))
        raise ZeroDivisionError("of all things")


def test_a_strategy_that_raises_is_named_with_the_place_and_the_run_can_go_on(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"'Stumbling' failed at .*test_run.py:\d+: ZeroDivisionError: of all"):
        run(tmp_path, Stumbling())
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert [trial.kind for trial in trials_of(folder)] == ["evaluate"]


@dataclass(frozen=True)
class Misled:
    """Makes a fault within a library, or within a verb."""

    what: str

    def search(self, problem: MaskProblem) -> None:
        masks = np.ones((1, problem.space.size), dtype=bool)
        if self.what == "library":
            np.concatenate([masks, masks[0]])  # the line to be named
        problem.evaluate(masks)  # the line to be named


@pytest.mark.parametrize(("what", "says"), [("library", "ValueError"), ("verb", "keeps 246 of 246")])
def test_the_line_that_is_named_is_the_strategy_s_own(what: str, says: str, tmp_path: Path) -> None:
    source, first = inspect.getsourcelines(Misled)
    lines = [first + number for number, line in enumerate(source) if "to be named" in line]
    expected = lines[0] if what == "library" else lines[1]
    with pytest.raises(StrategyError, match=rf"'Misled'.* at {re.escape(__file__)}:{expected}: .*{says}"):
        run(tmp_path, Misled(what))


def test_a_budget_too_small_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="too small"):
        run(tmp_path / "runs", budget="0.1ep")
    assert not (tmp_path / "runs").exists()


def test_a_name_too_long_for_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match=r"--out .{100} cannot be read: File name too long"):
        run(tmp_path / ("a" * 5000))


def test_a_name_that_no_result_can_hold_is_refused(tmp_path: Path) -> None:
    for name in ("o\udcff", "a\0b"):
        with pytest.raises(NotARun, match="--out"):
            run(Path(f"{tmp_path}/{name}"))
    assert not list(tmp_path.iterdir())


def test_what_a_strategy_prints_is_not_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StrategyError, match="SystemExit"):
        run(tmp_path, Leaves())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "goodbye" in printed.err
