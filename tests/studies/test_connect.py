"""Lines between trained networks, beside PyTorch's own arithmetic and what the runs' results say."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.runs import run
from ticketsearch import Result, Task, Weights
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, UnknownName, UsageError
from ticketsearch.records.folder import TICKET
from ticketsearch.runner.aligned import moved, permuted
from ticketsearch.runner.confirm import data_order
from ticketsearch.runner.setup import Setup
from ticketsearch.studies.barrier import ConnectOutcome, Line, barrier, interpolated
from ticketsearch.studies.connect import Connecting, Plan, prepared
from ticketsearch.studies.groups import FinishedRun
from ticketsearch.studies.lines import Lines, measured, moved_to, overlap_of, places_of
from ticketsearch.tasks.layout import read_weights

POINTS, LAST = 7, tiny.RECIPE.steps


@dataclass(frozen=True)
class Runs:
    """Finished ones on the tiny task."""

    imp: list[Result]
    magnitude: Result
    rewound: Result

    @property
    def folders(self) -> list[Path]:
        return [Path(one.run) for one in (*self.imp, self.magnitude)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    out = tmp_path_factory.mktemp("runs")
    settings: dict[str, Any] = {"sparsity": 0.7, "budget": "60ep"}
    return Runs(
        [run(out, "imp", settings={"rounds": 3}, seed=seed, **settings) for seed in (0, 1)],
        run(out, "magnitude", **settings),
        run(out, "imp", settings={"rounds": 2, "rewind": 20}, **settings),
    )


def connecting(folders: Sequence[Path], *names: str, steps: Sequence[int | str] = (0, 30, LAST)) -> Connecting:
    return prepared(folders, Plan(names or None, steps, POINTS), task=tiny.make_task())


@pytest.fixture(scope="module")
def outcomes(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> list[ConnectOutcome]:
    return connecting(runs.folders).measured(tmp_path_factory.mktemp("connect"))


def loss_and_error(network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    with torch.no_grad():
        outputs = network(inputs)
    return float(F.cross_entropy(outputs, labels)), float((outputs.argmax(1) != labels).double().mean())


def by_hand(first: nn.Module, second: nn.Module, task: Task) -> dict[str, list[tuple[float, float]]]:
    """State dicts mixed; a batch normalisation's statistics are the mean and the variance of what comes to it."""
    found: dict[str, list[tuple[float, float]]] = {"test": [], "train": []}
    one, other = first.state_dict(), second.state_dict()
    for share in torch.linspace(0, 1, POINTS, dtype=torch.float64):
        network = copy.deepcopy(first)
        mixed = {
            name: ((1 - share) * one[name].double() + share * other[name].double()).to(one[name].dtype) for name in one
        }
        network.load_state_dict(mixed)
        network.eval()
        for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm1d)):

            def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
                assert isinstance(module, nn.BatchNorm1d)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(arguments[0].mean((0, 2)))
                module.running_var.copy_(arguments[0].transpose(0, 1).flatten(1).var(1))

            hook = norm.register_forward_pre_hook(keep)
            with torch.no_grad():
                network(task.train.inputs)
            hook.remove()
        for name, split in (("test", task.test), ("train", task.train)):
            found[name].append(loss_and_error(network, *split))
    return found


@pytest.mark.parametrize("network", [tiny.NETWORK, tiny.batch_norm_network])
def test_errors_and_losses_of_a_line_are_those_of_mixed_state_dicts(network: Any) -> None:
    task = tiny.make_task(network, name="connect-" + getattr(network, "__name__", "perceptron"))
    setup = Setup.of(task, tiny.dense_engine(task), seed=1)
    first, second = task.build(1), task.build(2)
    with torch.no_grad():
        for place, module in enumerate((first, second)):
            for _ in range(3):  # statistics that are of no use in between
                module.train()(task.train.inputs[100 * place :])
    one, other = (read_weights(module, task.layout) for module in (first, second))
    profiles = measured(setup, interpolated(one, other, POINTS))
    expected = by_hand(first, second, task)
    for name, profile in zip(("test", "train"), profiles, strict=True):
        losses, errors = zip(*expected[name], strict=True)
        np.testing.assert_allclose(profile.loss, losses, rtol=2e-5)
        np.testing.assert_allclose(profile.error, errors, atol=1e-9)
        assert barrier(profile.error) == pytest.approx(max(errors) - (errors[0] + errors[-1]) / 2)


def plainly_trained(task: Task, mask: dict[str, Tensor], network: nn.Module, batches: Any, first: int) -> nn.Module:
    """PyTorch's SGD, begun anew, with gradients and weights of the mask."""
    network = copy.deepcopy(network)
    recipe = task.recipe
    optimiser = torch.optim.SGD(network.parameters(), 1.0, recipe.momentum, weight_decay=recipe.weight_decay)
    for step, batch in enumerate(torch.from_numpy(batches), start=first):
        optimiser.param_groups[0]["lr"] = recipe.learning_rate_at(step)
        optimiser.zero_grad()
        F.cross_entropy(network(task.train.inputs[batch]), task.train.labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            for name, kept in mask.items():
                network.get_parameter(name).mul_(kept)
    return network


def test_two_orders_part_at_the_step_that_is_said(runs: Runs, outcomes: list[ConnectOutcome]) -> None:
    """The ticket of one run, trained by a loop of its own, and mixed by hand."""
    task, saved = tiny.make_task(), FinishedRun.read(Path(runs.imp[1].run)).saved
    mask = {name: torch.from_numpy(kept.copy()).float() for name, kept in saved.masks().items()}
    network = task.build(1)
    with torch.no_grad():
        for name, kept in mask.items():
            network.get_parameter(name).mul_(kept)
    orders = [data_order(task, 1, index) for index in range(3)]
    shared = plainly_trained(task, mask, network, orders[0][:30], 0)
    children = [plainly_trained(task, mask, shared, order[30:], 30) for order in orders[1:]]
    expected = by_hand(children[0], children[1], task)
    line = next(one for one in outcomes[1].lines if (one.comparison, one.first, one.place) == ("orders", "ticket", 30))
    for profile, name in ((line.test, "test"), (line.train, "train")):
        losses, errors = zip(*expected[name], strict=True)
        np.testing.assert_allclose(profile.loss, losses, rtol=1e-3)
        np.testing.assert_allclose(profile.error, errors, atol=0.0101)  # an example on the border
    assert line.sparsities == pytest.approx((0.7, 0.7), abs=0.003)


def test_orders_that_part_after_the_last_step_are_one_network(outcomes: list[ConnectOutcome]) -> None:
    own = [one for outcome in outcomes for one in outcome.lines if one.comparison == "orders"]
    assert {one.place for one in own} == {0, 30, LAST}
    for line in own:
        if line.place == LAST:
            assert len(set(line.test.error)) == 1
            assert barrier(line.test.loss) == pytest.approx(0, abs=1e-6)
        else:
            assert line.test.loss[0] != line.test.loss[-1]


def test_ends_are_the_networks_that_the_results_are_of(runs: Runs, outcomes: list[ConnectOutcome]) -> None:
    [first, second, magnitude, pair, seeds] = outcomes
    assert (pair.strategies, pair.seeds) == (["imp", "magnitude"], [0])
    assert (seeds.strategies, seeds.seeds, seeds.lines) == (["imp"], [0, 1], [])
    for result, outcome in zip((*runs.imp, runs.magnitude), (first, second, magnitude), strict=True):
        ticket, dense = (one.test_accuracies[0] for one in (result.confirmation, result.references["dense"]))
        [line] = [one for one in outcome.lines if one.comparison == "dense"]
        assert (1 - line.test.error[0], 1 - line.test.error[-1]) == pytest.approx((ticket, dense))
        rounds = [one for one in outcome.lines if one.comparison == "rounds"]
        recorded = [one.test_accuracy for one in result.rounds[:-1]]
        assert [1 - one.test.error[0] for one in rounds] == pytest.approx(recorded)
        assert [1 - one.test.error[-1] for one in rounds] == pytest.approx([*recorded[1:], ticket] if recorded else [])
        assert [one.sparsities[1] for one in rounds] == pytest.approx([one.sparsity for one in result.rounds[1:]])
    plain, there = pair.lines
    assert (plain.matched, there.matched) == (False, True)
    for line in pair.lines:
        ends = [one.confirmation.test_accuracies[0] for one in (runs.imp[0], runs.magnitude)]
        assert [1 - line.test.error[0], 1 - line.test.error[-1]] == pytest.approx(ends)
    assert pair.overlap is not None
    assert -1 <= pair.overlap.plain <= 1


def test_a_permuted_copy_gets_its_overlap_and_its_place_back(runs: Runs) -> None:
    one = FinishedRun.read(Path(runs.imp[0].run))
    task = tiny.make_task()
    setup, rng = Setup.of(task, tiny.dense_engine(task), seed=0), np.random.default_rng(5)
    space = setup.units.weights
    places = [rng.permutation(layer.shape[0]) for layer in space.layers[:-1]]
    trained = moved(one.saved.trained, task.layout, places)
    copied = replace(one, saved=replace(one.saved, mask=permuted(one.saved.mask, space, places), trained=trained))
    found = overlap_of(setup, one, copied)
    assert found.plain < 0.5
    assert found.matched == pytest.approx(1)
    assert found.degrees < 0.9
    there = moved_to(setup, one, copied)
    assert np.array_equal(there.weights.vector, trained.vector)
    line = Lines(setup, POINTS, lambda *_: None).line("tickets", there, there)
    assert line.test.error == [line.test.error[0]] * POINTS
    profile, _ = measured(setup, Weights(*(part[None] for part in vars(one.saved.trained).values())))
    assert profile.loss[0] == pytest.approx(line.test.loss[0], rel=1e-5)  # biases went with their neurons
    alive = [np.ptp(outputs, axis=1) > 0 for outputs in _outputs(task, one.saved.trained)]
    for place, found_place, living in zip(places, places_of(setup, one.saved.trained, trained), alive, strict=True):
        assert np.array_equal(place[living[place]], found_place[living[place]])


def _outputs(task: Task, weights: Weights) -> list[np.ndarray]:
    from ticketsearch.runner.aligned import activations

    return list(activations(Setup.of(task, tiny.dense_engine(task), seed=0), weights, task.train.inputs))


def test_a_ticket_that_was_rewound_is_trained_from_there(runs: Runs) -> None:
    plan = connecting([Path(runs.rewound.run)], "orders", steps=(0, 20, "50%"))
    lines = Lines(plan.setup, POINTS, lambda *_: None).orders(FinishedRun.read(Path(runs.rewound.run)), plan.steps)
    assert [(one.first, one.place) for one in lines] == [
        *(("ticket", k) for k in (20, 30)),
        *(("dense network", k) for k in (0, 20, 30)),
    ]
    with pytest.raises(InvalidValue, match="starts at step 20; name a later one"):
        connecting([Path(runs.rewound.run)], "orders", steps=(0, 10))


def test_what_was_measured_is_read_back(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = connecting(runs.folders[:1], "dense")
    first = plan.measured(tmp_path)
    monkeypatch.setattr("ticketsearch.studies.connect.Lines", None)
    assert connecting(runs.folders[:1], "dense").measured(tmp_path) == first
    [path] = tmp_path.rglob("seed-0.json")
    monkeypatch.setattr(FinishedRun, "ticket_digest", "another")
    with pytest.raises(CorruptRun, match=r"seed-0\.json is of another ticket"):
        connecting(runs.folders[:1], "dense").measured(tmp_path)
    path.write_text(path.read_text().replace('"tiny"', '"tinier"'))
    with pytest.raises(CorruptRun, match="delete it to compute it anew"):
        connecting(runs.folders[:1], "dense").measured(tmp_path)


def test_a_search_that_ends_with_another_ticket_is_told(runs: Runs) -> None:
    one = FinishedRun.read(Path(runs.imp[0].run))
    other = replace(one, result=one.result.model_copy(update={"mask_digest": "0"}))
    plan = connecting(runs.folders[:1], "rounds")
    with pytest.raises(CorruptRun, match="made again, ends with another ticket"):
        list(Lines(plan.setup, POINTS, lambda *_: None).rounds(other))


def test_runs_that_do_not_go_together_are_refused(runs: Runs, tmp_path: Path) -> None:
    imp, second, magnitude = runs.folders
    other = Path(run(tmp_path, "magnitude", tiny.make_task(name="tiny-other"), sparsity=0.7).run)
    with pytest.raises(InvalidValue, match=r"has task 'tiny-other', .* 'tiny'"):
        connecting([imp, other])
    with pytest.raises(InvalidValue, match=r"two runs of one seed .*imp has seeds 1, magnitude has seeds 0"):
        connecting([second, magnitude], "tickets")
    with pytest.raises(InvalidValue, match="masks: two runs are needed"):
        connecting([imp], "masks")
    with pytest.raises(InvalidValue, match="rounds: magnitude trains no rounds"):
        connecting([magnitude], "rounds")
    with pytest.raises(InvalidValue, match="are one run"):
        connecting([imp, imp])
    with pytest.raises(UnknownName, match="did you mean 'orders'"):
        connecting([imp], "order")
    with pytest.raises(InvalidValue, match="beyond the 60 steps"):
        connecting([imp], "orders", steps=[61])
    with pytest.raises(InvalidValue, match="points 1 is less"):
        prepared([imp], Plan(points=1), task=tiny.make_task())
    with pytest.raises(NotARun):
        connecting([tmp_path / "nowhere"])
    (other / TICKET).unlink()
    with pytest.raises((UsageError, CorruptRun), match=r"ticket\.safetensors"):
        connecting([other])


def test_neurons_of_other_networks_than_chains_are_not_matched(tmp_path: Path) -> None:
    task = tiny.make_task(tiny.dropout_network, tiny.RECIPE.lasting(6), "tiny-dropout")
    folders = [Path(run(tmp_path, name, task, sparsity=0.5).run) for name in ("magnitude", "random")]
    with pytest.raises(InvalidValue, match="masks: task 'tiny-dropout' is no plain chain"):
        prepared(folders, Plan(["masks"]), task=task)
    plan = prepared(folders, Plan(points=3), task=task)
    assert plan.comparisons == ["orders", "dense", "tickets"]
    [outcome] = prepared(folders, Plan(["tickets"], points=3), task=task).measured(tmp_path / "out")
    assert [line.matched for line in outcome.lines] == [False]
    assert outcome.overlap is None


def test_the_command_prints_tables_sentences_and_numbers(cli: Cli, runs: Runs, tmp_path: Path) -> None:
    command = ["connect", *map(str, runs.folders), "--task", "tests.helpers.tiny:task", "--points", "4"]
    command += ["--from-steps", "0,50%", "--out", str(tmp_path / "out")]
    shown = cli(*command, "--html", str(tmp_path / "page.html"))
    assert shown.code == 0, shown.err
    assert "2 runs of imp, 1 run of magnitude on tiny: orders, dense, rounds, tickets, masks; 2 pairs" in shown.err
    assert "Successive rounds, test split" in shown.out
    assert "plotly" in (tmp_path / "page.html").read_text()[:5_000_000].lower()
    lines = cli(*command, "--markdown").out.splitlines()
    tables = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert {len(row) for row in tables} == {9, 5}
    found = json.loads(cli(*command, "--json").out)
    assert [one["strategies"] for one in found["outcomes"]] == [["imp"]] * 2 + [
        ["magnitude"],
        ["imp", "magnitude"],
        ["imp"],
    ]
    first = [Line.model_validate(one["lines"][0]) for one in found["outcomes"][:2]]
    mean = np.mean([barrier(one.test.error) for one in first])
    assert found["sections"][0]["rows"][0]["test"]["mean"] == pytest.approx(mean)
    assert cli(*command, "--json", "--markdown").code == 2
