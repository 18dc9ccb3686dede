"""The networks of IMP's rounds: one run, accuracy over sparsity."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import ticketsearch
from tests.helpers import tiny
from tests.helpers.runs import Breaking, Crash, crash
from ticketsearch import Result, Snapshot, Ticket, Weights
from ticketsearch.errors import StrategyError
from ticketsearch.records.results import write_result
from ticketsearch.report.raw import csv_text
from ticketsearch.report.text import summary
from ticketsearch.strategies.imp import IterativeMagnitudePruning

SETTINGS = {"rounds": 3, "rewind": "5step"}


def run(out: Path, strategy: str = "imp", **options: Any) -> Result:
    defaults: dict[str, Any] = {"sparsity": 0.8, "budget": "60ep", "orders": 2, "checkpoints": 0, "settings": SETTINGS}
    return ticketsearch.run(strategy, tiny.make_task(), out=out, **defaults | options)


def by_torch(weights: Weights) -> tuple[float, float]:
    """Validation and test accuracy of a network with these weights, by PyTorch alone."""
    task = tiny.make_task()
    network, layout = task.build(0), tiny.dense_engine(task).layout
    parts = {layer.name: part for layer, part in layout.space.split(weights.vector)}
    offset = 0
    for name, shape in layout.rest_shapes.items():
        size = int(np.prod(shape))
        parts[name] = weights.rest[offset : offset + size].reshape(shape)
        offset += size
    network.load_state_dict({name: torch.from_numpy(np.array(part)) for name, part in parts.items()})
    with torch.no_grad():
        scores = [(network.eval()(split.inputs).argmax(1) == split.labels) for split in (task.validation, task.test)]
    validation, test = (float(right.double().mean()) for right in scores)
    return validation, test


@pytest.mark.parametrize("engine", ["dense", "sparse"])
def test_each_round_is_measured_as_its_training_left_it(engine: str, tmp_path: Path) -> None:
    result = run(tmp_path, engine=engine)
    problem = tiny.make_problem(60, sparsity=0.8)
    trained: list[tuple[np.ndarray[Any, Any], Snapshot]] = []
    tiny.watch(problem, "record_round", lambda mask, snapshot: trained.append((mask.copy(), snapshot)))
    imp = IterativeMagnitudePruning(rounds=3, rewind="5step")
    ticket = imp.search(problem)
    *rounds, last = result.rounds
    assert [one.round for one in result.rounds] == [0, 1, 2, 3]
    plan = [int(counts.sum()) for counts in imp.plan(problem.space, problem.n_kept)]
    assert [one.n_kept for one in result.rounds] == [problem.space.size, *plan]
    assert [one.sparsity for one in result.rounds] == pytest.approx([1 - n / problem.space.size for n in [246, *plan]])
    assert len(rounds) == len(trained) == 3
    for one, (_, snapshot) in zip(rounds, trained, strict=True):
        assert (one.validation_accuracy, one.test_accuracy) == pytest.approx(by_torch(snapshot.weights), abs=0.021)
        assert one.step == snapshot.step
        assert one.trainings == 1
        splits = len(tiny.make_task().validation.labels) + len(tiny.make_task().test.labels)
        assert one.cost.forward_examples == splits
        assert one.cost.train_examples == 0
    assert (last.test_accuracy, last.trainings) == (result.test_accuracy, 2)
    assert last.mask_digest == result.mask_digest
    assert int(ticket.mask.sum()) == last.n_kept


def test_measuring_costs_the_search_nothing(tmp_path: Path) -> None:
    result = run(tmp_path)
    steps = tiny.make_problem(60, sparsity=0.8).steps_for(3)
    batch = tiny.RECIPE.batch_size
    assert result.cost.train_examples == batch * (steps + 2 * (steps - 5))  # two of the rounds begin at step 5
    assert result.cost.forward_examples == 0


def test_a_run_that_broke_off_has_the_same_rounds(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(Crash):
        run(tmp_path / "broken", progress=Breaking(3, crash))
    again = run(tmp_path / "broken")
    assert strip(again) == strip(whole)


def strip(result: Result) -> list[dict[str, Any]]:
    return [one.model_dump(exclude={"cost"}) for one in result.rounds]


@pytest.mark.parametrize(("granularity", "sparsity"), [("channel", 0.5), ("2:4", 0.5)])
def test_of_channels_and_blocks_too(granularity: str, sparsity: float, tmp_path: Path) -> None:
    result = run(tmp_path, granularity=granularity, sparsity=sparsity, settings={"rounds": 2})
    assert [one.round for one in result.rounds] == [0, 1, 2]
    assert result.rounds[0].sparsity == 0
    assert result.rounds[-1].n_units_kept == result.n_units_kept
    assert result.rounds[0].n_kept == result.n_weights


def test_verify_measures_them_again(tmp_path: Path) -> None:
    result = run(tmp_path)
    folder, task = Path(result.run), tiny.make_task()
    assert ticketsearch.verify_run(folder, task=task, trials=2).agrees
    better = result.rounds[1].model_copy(update={"test_accuracy": 0.99})
    write_result(folder, result.model_copy(update={"rounds": [result.rounds[0], better, *result.rounds[2:]]}))
    [difference] = ticketsearch.verify_run(folder, task=task, trials=2).differences
    assert difference.startswith("test_accuracy of the rounds")
    write_result(folder, result.model_copy(update={"rounds": result.rounds[1:]}))
    assert any(
        line.startswith("masks of the rounds") for line in ticketsearch.verify_run(folder, task=task).differences
    )


def test_searches_without_rounds_have_none(tmp_path: Path) -> None:
    assert run(tmp_path, "magnitude", settings={}).rounds == []


def test_they_are_shown(tmp_path: Path) -> None:
    result = run(tmp_path)
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(summary(result))
    shown = console.export_text()
    for one in result.rounds:
        assert f"{one.sparsity:.4f}" in shown
        assert f"{100 * one.test_accuracy:.2f}" in shown
    assert '""test_accuracy""' in csv_text([result]).split("rounds", 1)[1]


@dataclass(frozen=True)
class Cheating:
    """Reports a network that no training of its gave."""

    def search(self, problem: ticketsearch.MaskProblem) -> Ticket | None:
        weights = problem.initial_weights()
        mask = np.ones(problem.space.size, dtype=bool)
        problem.record_round(mask, Snapshot(1, weights, 0.0))
        return None


def test_weights_from_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"none that problem\.train gave"):
        ticketsearch.run(Cheating(), tiny.make_task(), out=tmp_path, sparsity=0.5, budget="20ep")
