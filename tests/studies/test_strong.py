"""Parts of random networks that need no training: the algorithm, its price, and what it measures."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.commands import Cli
from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.errors import CorruptRun, InvalidValue
from ticketsearch.studies.strong import Evolution, Plan, StrongOutcome, _children, evolve, strong_tickets
from ticketsearch.tasks import Task, load_task

SIZE, STEPS = 24, 200
QUICK = Plan([0], Evolution(population=12, migrants=2, patience=3, least=4, most=8))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def first_half(masks: BoolArray) -> ScoreArray:
    """How many of the first bits are set; the others make no difference."""
    shares: ScoreArray = masks[:, : SIZE // 2].mean(1)
    return shares


def test_the_best_is_right_first_and_then_as_empty_as_can_be() -> None:
    *_, best = evolve(first_half, SIZE, Evolution(), rng())
    assert best.tolist() == [True] * (SIZE // 2) + [False] * (SIZE // 2)


def test_the_best_never_gets_worse() -> None:
    found = [
        (float(first_half(best[None])[0]), -int(best.sum())) for best in evolve(first_half, SIZE, Evolution(), rng(1))
    ]
    assert all(before <= after for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("settings", "generations"),
    [({"patience": 5, "least": 9}, 9), ({"patience": 12, "least": 3}, 13), ({"patience": 50, "most": 7}, 7)],
)
def test_it_ends_when_nothing_changes_or_at_the_latest(settings: dict[str, int], generations: int) -> None:
    def nothing(masks: BoolArray) -> ScoreArray:
        return np.zeros(len(masks))

    options = {"population": 4, "migrants": 0, "mating": 0.0, "mutation": 0.0} | settings
    assert len(list(evolve(nothing, SIZE, Evolution(**options), rng()))) == generations  # type: ignore[arg-type]


def test_children_are_of_their_parents() -> None:
    masks = rng(3).random((50, SIZE)) < 0.5
    mated = _children(masks, Evolution(mating=1.0, mutation=0.0, elite=0.1), rng())
    assert len(mated) == 50
    elite = masks[:5]
    for child, parent in zip(mated, masks, strict=True):
        assert any(bool((np.where(parent == mate, child == parent, True)).all()) for mate in elite)
    mutated = _children(masks, Evolution(mating=0.0, mutation=1.0), rng())
    assert np.count_nonzero(mutated != masks, axis=1).tolist() == [1] * 50


@pytest.fixture(scope="module")
def task() -> Task:
    made = load_task("moons", options={"examples": 500, "hidden": 6})
    return replace(made, recipe=made.recipe.lasting(STEPS))


@pytest.fixture(scope="module")
def outcome(task: Task, tmp_path_factory: pytest.TempPathFactory) -> StrongOutcome:
    [found] = strong_tickets(task, QUICK, out=tmp_path_factory.mktemp("strong"))
    return found


def test_every_method_is_measured_and_paid_for(outcome: StrongOutcome, task: Task) -> None:
    ga, same, constants, trained = outcome.found
    assert [one.method for one in outcome.found] == [
        "ga",
        "edge-popup, same weights",
        "edge-popup, signed constants",
        "trained",
    ]
    assert outcome.n_weights == 2 * 6 + 6 * 2
    assert ga.epochs == pytest.approx(ga.evaluations / 3)  # forward passes over the training split
    assert QUICK.evolution.least <= ga.generations <= QUICK.evolution.most
    assert 12 + 2 * ga.generations <= ga.evaluations <= 12 + (2 + 24) * ga.generations
    assert 0 < ga.sparse_flops < ga.evaluations * 500 * 2 * outcome.n_weights
    assert (same.n_kept, constants.n_kept, trained.n_kept) == (12, 12, 24)
    assert trained.epochs == same.epochs == pytest.approx(STEPS * 100 / 500)
    assert trained.test_accuracy > max(ga.test_accuracy, outcome.majority_test_accuracy)


def test_the_best_mask_s_accuracy_is_that_of_the_masked_network(task: Task) -> None:
    """By PyTorch: the mask of each generation over the weights of the seed."""
    from ticketsearch.engine import make_engine
    from ticketsearch.runner.setup import Setup
    from ticketsearch.studies.strong import _Seed

    setup = Setup.of(task, make_engine(task, workers=1), seed=4)
    masks = rng(5).random((7, setup.units.weights.size)) < 0.5
    found = _Seed(setup, QUICK, None)._accuracy(masks, task.test)
    for mask, accuracy in zip(masks, found, strict=True):
        network = task.build(4)
        with torch.no_grad():
            for layer in setup.units.weights.layers:
                network.get_parameter(layer.name).mul_(torch.from_numpy(mask[layer.span].reshape(layer.shape)))
            right = (network(task.test.inputs).argmax(1) == task.test.labels).float().mean()
        assert accuracy == pytest.approx(float(right), abs=1e-6)


def test_what_is_there_is_read_back(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = strong_tickets(task, QUICK, out=tmp_path)
    monkeypatch.setattr("ticketsearch.studies.strong.evolve", None)
    assert strong_tickets(task, QUICK, out=tmp_path) == first
    [path] = tmp_path.rglob("seed-0.json")
    path.write_text(path.read_text().replace('"ga"', '"trained"', 1))
    with pytest.raises(CorruptRun, match="delete it to compute it anew"):
        strong_tickets(task, QUICK, out=tmp_path)


@pytest.mark.parametrize("wrong", [{"population": 1}, {"mating": 1.5}, {"patience": -1}, {"most": 1}])
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="below 0, a probability above 1, or nobody to breed from"):
        Evolution(**wrong)  # type: ignore[arg-type]


def test_the_command_prints_a_row_for_each_method(cli: Cli, tmp_path: Path) -> None:
    command = ["strong", "--task", "moons", "--task-set", "examples=500", "--task-set", "hidden=4", "--seeds", "3"]
    command += ["--population", "8", "--generations", "3", "--out", str(tmp_path)]
    shown = cli(*command)
    assert shown.code == 0, shown.err
    assert "edge-popup" in shown.out
    lines = cli(*command, "--markdown").out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert len(rows) == 5
    assert {len(row) for row in rows[:2]} == {8}
    found = json.loads(cli(*command, "--json").out)
    assert [one["seed"] for one in found] == [3]
    assert cli(*command, "--json", "--markdown").code == 2
