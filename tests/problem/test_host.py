"""What a strategy is handed it cannot bend, and what it bends elsewhere is found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import ticketsearch
from tests.helpers import tiny
from ticketsearch import MaskProblem, Result, Ticket, Weights
from ticketsearch.errors import StrategyError
from ticketsearch.leaderboard import build, load_study
from ticketsearch.leaderboard.table import label_of

OPTIONS: dict[str, Any] = {"sparsity": 0.5, "budget": "20ep", "orders": 1, "checkpoints": 0}


def run(strategy: Any, out: Path, **options: Any) -> Result:
    return ticketsearch.run(strategy, "tests.helpers.tiny:task", out=out, **OPTIONS | options)


@dataclass(frozen=True)
class Doing:
    """Scores two masks, and does something to its problem."""

    what: ClassVar[Callable[[MaskProblem, np.ndarray[Any, Any]], Ticket | None]]

    def search(self, problem: MaskProblem) -> Ticket | None:
        masks = problem.space.random(problem.space.n_kept(problem.sparsity), problem.rng("x"), 2)
        problem.evaluate(masks)
        return type(self).what(problem, masks)


def doing(what: Callable[[MaskProblem, np.ndarray[Any, Any]], Any]) -> Any:
    return type("Doing", (Doing,), {"what": staticmethod(what)})()


def incumbent_of(problem: MaskProblem) -> Any:
    assert problem.incumbent is not None
    return problem.incumbent


BENT: dict[str, Callable[[MaskProblem, Any], Any]] = {
    "the incumbent's mask": lambda problem, _: incumbent_of(problem).mask.fill(True),
    "a space's sizes": lambda problem, _: problem.space.sizes.fill(1),
    "a space's layers": lambda problem, _: setattr(problem.space, "layers", ()),
    "n_kept": lambda problem, _: setattr(problem, "n_kept", problem.space.size),
    "a verb": lambda problem, _: setattr(problem, "evaluate", lambda masks: []),
    "the recipe": lambda problem, _: setattr(problem.recipe, "steps", 1),
    "a cost": lambda problem, _: setattr(problem.spent, "train_examples", 0),
    "a score": lambda problem, _: setattr(incumbent_of(problem).score, "value", 1.0),
    "a deleted name": lambda problem, _: delattr(problem, "sparsity"),
}


@pytest.mark.parametrize("what", BENT)
def test_what_is_handed_out_cannot_be_written_to(what: str, tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="'Doing'") as caught:
        run(doing(BENT[what]), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("result.json"))


HARMLESS: dict[str, Callable[[MaskProblem, Any], Any]] = {
    "its own masks": lambda _, masks: masks.fill(False),
    "a copy of the initial weights": lambda problem, _: problem.initial_weights().vector.fill(9.0),
    "its list of incumbents": lambda problem, _: list(problem.incumbents).clear(),
    "its notes": lambda problem, _: problem.notes.update(x=1),
    "a stream": lambda problem, _: problem.rng("x").random(1000),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_a_copy_may_be_written_to(what: str, tmp_path: Path) -> None:
    plain = run(doing(lambda *_: None), tmp_path / "plain")
    result = run(doing(lambda *handed: (HARMLESS[what](*handed), None)[1]), tmp_path / "own")
    assert (result.mask_digest, result.search_score) == (plain.mask_digest, plain.search_score)
    assert result.test_accuracy == plain.test_accuracy
    assert result.notes == {}


def test_a_ticket_changed_after_its_return_is_the_one_returned(tmp_path: Path) -> None:
    kept: list[np.ndarray[Any, Any]] = []

    def give(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
        kept.append(masks[0].copy())
        threading.Timer(0.05, lambda: masks.fill(True)).start()
        return Ticket(masks[0])

    result = run(doing(give), tmp_path)
    assert np.array_equal(ticketsearch.load_ticket(result.run).mask, kept[0])
    assert result.n_kept == int(kept[0].sum())


@pytest.mark.parametrize("count", [1, -1])
def test_the_count_is_the_host_s(count: int, tmp_path: Path) -> None:
    def give(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
        mask = masks[0].copy()
        mask[np.flatnonzero(mask != (count > 0))[0]] = count > 0
        return Ticket(mask)

    with pytest.raises(StrategyError, match="a mask that keeps"):
        run(doing(give), tmp_path)


def test_work_after_the_return_is_refused(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    problems: list[MaskProblem] = []

    def give(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
        problems.append(problem)
        return Ticket(masks[0])

    result = run(doing(give), tmp_path)
    for call in (
        lambda: problems[0].evaluate(
            problems[0].space.random(problems[0].space.n_kept(0.5), np.random.Generator(np.random.PCG64(9)), 1)
        ),
        lambda: next(iter(problems[0].train())),
        lambda: problems[0].gradients(None, 10),
    ):
        with pytest.raises(StrategyError, match="the search has returned") as caught:
            call()
        errors.append(caught.value)
    assert len(errors) == 3
    assert result.trials == 2


# -- what its tickets start from, and hold ----------------------------------------------------------------------------


def started_elsewhere(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
    own = problem.initial_weights()
    other = own.vector + 0.25 * np.sin(np.arange(own.vector.size))
    return Ticket(masks[0], Weights(other.astype(np.float32), own.rest))


def trained_here(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
    *_, last = problem.train(masks[0])
    return Ticket(masks[0], last.weights)


def flipped(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
    own = problem.initial_weights()
    return Ticket(masks[0], Weights(-own.vector, own.rest))


def scaled(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
    own = problem.initial_weights()
    return Ticket(masks[0], Weights(own.vector * np.float32(1.95), own.rest))


def holding(problem: MaskProblem, masks: np.ndarray[Any, Any]) -> Ticket:
    own = problem.initial_weights()
    return Ticket(masks[0], own, held=own.vector)


@pytest.mark.parametrize(
    ("give", "start", "held", "marks"),
    [
        (lambda _, masks: Ticket(masks[0]), "initial", False, []),
        (trained_here, "trained", False, []),
        (flipped, "derived", False, []),
        (scaled, "derived", False, []),
        (started_elsewhere, "foreign", False, ["foreign start"]),
        (holding, "initial", True, ["held"]),
    ],
)
def test_starts_and_held_weights_are_told(
    give: Callable[..., Ticket], start: str, held: bool, marks: list[str], tmp_path: Path
) -> None:
    result = run(doing(give), tmp_path, budget="100ep")
    assert (result.start, result.held) == (start, held)
    [group] = build(load_study(tmp_path).results)
    assert [row.marks for row in group.rows] == [marks]
    assert all(f"[{mark}]" in label_of(row) for row in group.rows for mark in marks)


# -- what reaches further ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Patching:
    """Makes every network that is measured in its process look right."""

    def search(self, problem: MaskProblem) -> None:
        problem.evaluate(problem.space.random(problem.space.n_kept(problem.sparsity), problem.rng("x"), 2))
        from ticketsearch.engine.dense.engine import DenseEngine

        measure = DenseEngine.measure

        def flattering(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = measure(self, *args, **kwargs)
            return replace(found, accuracy=np.minimum(1.0, found.accuracy + 0.2))

        DenseEngine.measure = flattering  # type: ignore[method-assign]


def test_what_a_strategy_does_to_the_host_s_code_is_found_by_a_process_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ticketsearch.engine.dense.engine import DenseEngine

    monkeypatch.setattr(DenseEngine, "measure", DenseEngine.measure)  # put back at the end
    result = run(Patching(), tmp_path, engine="dense")
    found = ticketsearch.verify_run(result.run, strategy=Patching())  # in a process as bent as the first
    assert found.apart
    assert not found.agrees
    assert any("test_accuracy" in difference for difference in found.differences)


def test_a_task_given_as_an_object_is_confirmed_here_and_that_is_said(tmp_path: Path) -> None:
    result = ticketsearch.run("random", tiny.make_task(), out=tmp_path, **OPTIONS)
    found = ticketsearch.verify_run(result.run, task=tiny.make_task())
    assert found.agrees
    assert not found.apart
    apart = ticketsearch.verify_run(result.run, task="tests.helpers.tiny:task", trials=1)
    assert apart.agrees
    assert apart.apart


def test_global_generators_of_a_strategy_do_not_reach_trainings(tmp_path: Path) -> None:
    def seeded(seed: int) -> Any:
        return doing(lambda *_: torch.manual_seed(seed) and None)

    first, second = (run(seeded(seed), tmp_path / str(seed)) for seed in (1, 2))
    assert first.confirmation.test_accuracies == second.confirmation.test_accuracies
