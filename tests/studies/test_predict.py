"""``ticketsearch predict``: what is trained and predicted, that nothing is done twice, and what it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.engines import rng
from tests.helpers.runs import run
from ticketsearch import MaskProblem, Task
from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.engine import Job, make_engine
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, StrategyError, UnknownName
from ticketsearch.leaderboard.prediction import predictions_of
from ticketsearch.masks import digest
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.ticket import Weights
from ticketsearch.records.folder import run_folders
from ticketsearch.records.results import read_result
from ticketsearch.records.study_records import PredictOutcome
from ticketsearch.records.ticket_file import load_ticket
from ticketsearch.runner.confirm import data_order
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.studies.predict import Plan, predict, predict_runs

HERE = "tests.studies.test_predict"
ANSWERS: dict[str, float] = {}
"""Mask -> confirmed accuracy."""


@dataclass(frozen=True)
class Answer:
    """Planted: knows the truth."""

    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        return np.array([ANSWERS.get(digest(mask), 0.0) for mask in masks])


@dataclass(frozen=True)
class Chance:
    """Planted: knows nothing."""

    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        return rng(int(np.flatnonzero(masks[0])[:9].sum())).random(len(masks))


@dataclass(frozen=True)
class Nan:
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        return np.full(len(masks), np.nan)


@dataclass(frozen=True)
class Short:
    sign: ClassVar[int] = 1

    def predict(self, problem: MaskProblem, masks: BoolArray) -> ScoreArray:
        return np.zeros(len(masks) - 1)


SMALL = Plan(sparsity=0.8, count=6, confirmations=2, predictors=("synflow",), seeds=(0,))


@pytest.fixture(scope="module")
def task() -> Task:
    return tiny.make_task()


@pytest.fixture(scope="module")
def outcome(task: Task, tmp_path_factory: pytest.TempPathFactory) -> PredictOutcome:
    [found] = predict(task, SMALL, out=tmp_path_factory.mktemp("predict"))
    return found


def setup_of(task: Task, seed: int = 0) -> Setup:
    return Setup.of(task, make_engine(task), seed)


def trained(setup: Setup, mask: BoolArray, start: Weights, index: int) -> float:
    job = Job(mask[None], start, setup.task.recipe, data_order(setup.task, setup.seed, index))
    [(weights, _)] = setup.engine.train(job, (60,))
    return float(setup.engine.measure(weights, setup.task.test).accuracy[0])


def masks_of(setup: Setup, count: int) -> list[BoolArray]:
    """By the plan: the counts of Erdos-Renyi-Kernel, a permutation for each layer."""
    space, own = setup.units.space, stream(setup.seed, "predict", "masks")
    counts = layer_counts("erk", space, space.n_kept(0.8))
    return [
        np.concatenate(
            [own.permutation(np.arange(layer.size) < n) for layer, n in zip(space.layers, counts, strict=True)]
        )
        for _ in range(count)
    ]


def test_masks_of_equal_counts_are_trained_in_full_on_common_orders(outcome: PredictOutcome, task: Task) -> None:
    setup = setup_of(task)
    masks = masks_of(setup, 6)
    assert len({digest(mask) for mask in masks}) == 6
    for row in (0, 5):
        expected = [trained(setup, masks[row], setup.initial, index) for index in range(2)]
        assert outcome.truth.test_accuracies[row] == expected
    whole = np.ones(setup.units.space.size, dtype=bool)
    assert outcome.truth.dense_accuracies == [trained(setup, whole, setup.initial, index) for index in range(2)]
    null, synflow = outcome.predicted
    assert (null.predictor, synflow.predictor) == ("layer-densities", "synflow")
    assert len(set(null.values)) == 1
    problem = tiny.make_problem(sparsity=0.8)
    assert synflow.values == [float(problem.synaptic_flow(mask)[mask].sum()) for mask in masks]
    assert (null.epochs, synflow.epochs) == (0.0, 1 / 300)


def test_one_mask_has_other_weights_in_each_initialisation(task: Task, tmp_path: Path) -> None:
    plan = replace(SMALL, population="initialisations", count=3)
    [found] = predict(task, plan, out=tmp_path)
    setup = setup_of(task)
    [mask] = masks_of(setup, 1)
    for index in (0, 2):
        weights = setup.drawn(int(stream(0, "predict", "initial", index).integers(2**62)))
        assert found.truth.test_accuracies[index] == [trained(setup, mask, weights, order) for order in range(2)]
    assert len(set(found.predicted[1].values)) == 3


def test_a_planted_answer_is_found_out_and_chance_is_not(task: Task, tmp_path: Path) -> None:
    plan = replace(SMALL, seeds=(0, 1, 2), count=12)
    for one in predict(task, plan, out=tmp_path):
        for mask, own in zip(masks_of(setup_of(task, one.seed), 12), one.truth.test_accuracies, strict=True):
            ANSWERS[digest(mask)] = float(np.mean(own))
    planted = replace(plan, predictors=(f"{HERE}:Answer", f"{HERE}:Chance"))
    with pytest.MonkeyPatch.context() as patch:  # the full trainings are read back
        patch.setattr("ticketsearch.studies.predict.trained_in_full", None)
        [found] = predictions_of(predict(task, planted, out=tmp_path))
    taus = {one.predictor: one.tau for one in found.qualities}
    answer, chance = taus[f"{HERE}:Answer"], taus[f"{HERE}:Chance"]
    assert answer is not None
    assert chance is not None
    assert answer.value == 1  # it knows the noise as well
    assert found.ceiling is not None
    assert answer.value > found.ceiling > chance.value
    assert abs(chance.value) < 0.2


def test_what_is_there_is_read_back(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(SMALL, count=3)
    first = predict(task, plan, out=tmp_path)
    monkeypatch.setattr("ticketsearch.studies.predict.predictions", None)
    assert predict(task, plan, out=tmp_path) == first
    for path in tmp_path.rglob("seed-0.json"):
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(CorruptRun, match="delete it to compute it anew"):
        predict(task, plan, out=tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"predictors": ("snpi",)}, UnknownName, "unknown predictor 'snpi'; did you mean 'snip'"),
        ({"predictors": (f"{HERE}:Nan",)}, StrategyError, "gave nan for mask 0 of seed 0; leave it out"),
        ({"predictors": (f"{HERE}:Short",)}, StrategyError, r"shape \(5,\); needed: \(6,\)"),
        ({"counts": "ekr"}, InvalidValue, "'ekr' is none of uniform, erk, smart-ratio and no folder of a run"),
        ({"sparsity": 1.5}, InvalidValue, "sparsity"),
        ({"granularity": "rows"}, InvalidValue, "rows"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    change: dict[str, Any], error: type[Exception], words: str, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words) as caught:
        predict(task, replace(SMALL, **change), out=tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize("wrong", [{"count": 2}, {"confirmations": 1}, {"population": "people"}])
def test_plans_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match=r"give at least 3 and 2|is none of masks, initialisations"):
        replace(SMALL, **wrong)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tickets of seed 0, one of which starts from weights of its own."""
    folder = tmp_path_factory.mktemp("runs")
    for strategy, settings in (("random", {}), ("magnitude", {}), ("edge-popup", {"weights": "signed-constant"})):
        run(folder, strategy, settings=settings, budget="12ep", checkpoints=0)
    return folder


def test_tickets_of_runs_are_judged_by_their_confirmations(runs: Path, tmp_path: Path, task: Task) -> None:
    [found] = predict_runs(runs, ["synflow"], task="tests.helpers.tiny:task", out=tmp_path)
    results = [read_result(path) for path in run_folders(runs)]
    assert found.truth.names == [one.strategy for one in results]
    assert found.truth.test_accuracies == [one.confirmation.test_accuracies for one in results]
    assert np.mean(found.truth.dense_accuracies) == pytest.approx(results[0].dense_test_accuracy)
    for result, value in zip(results, found.predicted[1].values, strict=True):
        saved = load_ticket(Path(result.run))
        flow = setup_of(task).engine.synaptic_flow(saved.start)
        assert value == pytest.approx(float(flow[saved.mask].sum()))
    assert (found.population, found.sparsity) == ("tickets", 0.9)


def test_folders_with_too_little_in_them(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="no finished run"):
        predict_runs(tmp_path, out=tmp_path)
    with pytest.raises(InvalidValue, match=r"no run of seeds \[7\]"):
        predict_runs(runs, task="tests.helpers.tiny:task", out=tmp_path, seeds=[7])
    [only] = [path for path in run_folders(runs) if "random" in path.name]
    with pytest.raises(InvalidValue, match=r"1 tickets of seed 0 at sparsity 0.9: finish at least 3"):
        predict_runs(only, task="tests.helpers.tiny:task", out=tmp_path)


def test_the_command_prints_a_row_for_each_predictor(cli: Cli, tmp_path: Path, runs: Path) -> None:
    own = ["--task", "tests.helpers.tiny:task", "--predictor", "synflow", "--out", tmp_path]
    words = ["predict", *own, "--count", "4", "--confirmations", "2", "--seeds", "0-1", "--counts", "uniform"]
    shown = cli(*words, "--html", tmp_path / "picture.html")
    assert shown.code == 0, shown.err
    assert "2 seeds of 4 candidates, 2 full trainings each" in shown.err
    assert "Ceiling of tau" in shown.out
    assert "synflow" in (tmp_path / "picture.html").read_text()
    lines = cli(*words, "--markdown").out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert [row[0] for row in rows] == ["predictor", "layer-densities", "synflow"]
    found = json.loads(cli(*words, "--json").out)
    assert [one["seed"] for one in found["outcomes"]] == [0, 1]
    assert found["predictions"][0]["qualities"][1]["predictor"] == "synflow"
    [ticket] = [path for path in run_folders(runs) if "magnitude" in path.name]
    of_run = cli(*words[:-1], ticket, "--json")
    assert of_run.code == 0, of_run.err
    tickets = cli("predict", *own, "--runs", runs, "--json")
    assert json.loads(tickets.out)["outcomes"][0]["population"] == "tickets"
    for wrong in (["--json", "--markdown"], ["--population", "tickets"], ["--predictor", "snpi"]):
        refused = cli(*words, *wrong)
        assert refused.code == 2
        assert len(refused.err.strip().splitlines()[-1:]) == 1
        assert "Traceback" not in refused.err


def test_the_commands_about_predictors(cli: Cli) -> None:
    listed = cli("predictors")
    assert [line.split()[0] for line in listed.out.splitlines()][:2] == ["accuracy-after", "gradient-norm"]
    shown = cli("predictors", "show", "hessian-eigenvalue")
    assert "Better is lower." in shown.out
    assert "--predictor 'hessian-eigenvalue(" in shown.out
    assert json.loads(cli("predictors", "show", "snip", "--json").out)["sign"] == 1
    assert cli("predictors", "show", "snpi").code == 2
