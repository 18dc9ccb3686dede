"""Networks over capacity: counts, levels, what they give beside PyTorch, what they cost, and going on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.descents import PLAN, task
from ticketsearch.engine import batch_indices
from ticketsearch.errors import CorruptRun, InvalidValue, UnknownName
from ticketsearch.seeds import stream
from ticketsearch.studies.capacity import DENSE, IMP, RANDOM, DescentOutcome, Plan, Point, levels
from ticketsearch.studies.descent import descend
from ticketsearch.tasks import Task, keeping

SIZE = 8 * 12 + 12 * 10 + 10 * 3


def run(out: Path, plan: Plan = PLAN, of: Task | None = None, **settings: Any) -> list[DescentOutcome]:
    return descend(of or task(), plan, out=out, engine="dense", **settings)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> DescentOutcome:
    [found] = run(tmp_path_factory.mktemp("descent"))
    return found


def curve(outcome: DescentOutcome, name: str) -> list[Point]:
    return [point for point in outcome.points if point.curve == name]


@pytest.mark.parametrize(
    ("size", "wanted"), [(1000, [800, 640, 512]), (1000, [500, 100]), (246, [123, 49]), (10_000, [9_000, 100])]
)
def test_levels_hold_what_is_wanted_and_prune_a_fifth_at_most(size: int, wanted: list[int]) -> None:
    found = levels(size, wanted)
    assert set(wanted) <= set(found)
    assert found[-1] == wanted[-1]
    assert all(after / before >= 0.79 for before, after in pairwise([size, *found]))
    assert len(found) == sum(
        max(1, int(np.ceil(np.log(b / a) / np.log(0.8) - 0.05))) for a, b in pairwise([size, *wanted])
    )


def test_every_network_is_there_once_with_its_number_of_weights(outcome: DescentOutcome) -> None:
    assert [(point.width, point.n_weights) for point in curve(outcome, DENSE)] == [
        (0.25, 8 * 3 + 3 * 2 + 2 * 3),
        (1, SIZE),
    ]
    counts = levels(SIZE, [123, 49])
    assert [point.n_kept for point in curve(outcome, IMP)] == counts
    assert [point.n_kept for point in curve(outcome, RANDOM)] == [123, 49]
    assert all(point.sparsity == pytest.approx(1 - point.n_kept / SIZE) for point in curve(outcome, IMP))


def by_torch(of: Task, mask: dict[str, torch.Tensor], level: int) -> nn.Module:
    """A masked training by ``torch.optim`` over the level's batches."""
    network, recipe = of.build(0), of.recipe
    masked = {name: p for name, p in network.named_parameters() if name in mask}
    order = batch_indices(len(of.train.labels), recipe.batch_size, recipe.steps, stream(0, "descent", "order", level))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    for step, batch in enumerate(order):
        with torch.no_grad():
            for name, parameter in masked.items():
                parameter.mul_(mask[name])
        optimizer.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + np.cos(np.pi * step / recipe.steps))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(of.train.inputs[batch]), of.train.labels[batch])
        for parameter, gradient in zip(
            network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
    with torch.no_grad():
        for name, parameter in masked.items():
            parameter.mul_(mask[name])
    return network


def test_dense_network_and_first_ticket_are_those_of_a_plain_loop(outcome: DescentOutcome) -> None:
    of = task()
    names = [name for name, _ in of.build(0).named_parameters() if name.endswith("weight")]
    mask = {name: torch.ones_like(of.build(0).get_parameter(name)) for name in names}
    dense, first = curve(outcome, DENSE)[-1], curve(outcome, IMP)[0]
    for level, point in enumerate((dense, first)):
        network = by_torch(of, mask, level)
        weights = {name: network.get_parameter(name).detach() for name in names}
        start = {name: of.build(0).get_parameter(name).detach() * mask[name] for name in names}
        distance = sum(float((weights[name] - start[name]).square().sum()) for name in names) ** 0.5
        assert point.distance == pytest.approx(distance, rel=1e-3)
        with torch.no_grad():
            for split, accuracy, loss in (
                (of.train, point.train_accuracy, point.train_loss),
                (of.test, point.test_accuracy, point.test_loss),
            ):
                logits = network(split.inputs)
                assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, split.labels)), rel=2e-3)
                assert accuracy == pytest.approx(float((logits.argmax(1) == split.labels).float().mean()), abs=0.011)
        magnitudes = torch.cat([(weights[name].abs() * mask[name]).flatten() for name in names])
        least = magnitudes.sort().values[SIZE - first.n_kept]
        mask = {name: (weights[name].abs() >= least).float() for name in names}


def test_trainings_are_paid_for_and_a_ticket_pays_for_the_rounds_before(outcome: DescentOutcome) -> None:
    of = task()
    epochs = of.recipe.steps * of.recipe.batch_size / len(of.train.labels)
    assert {round(point.epochs, 9) for point in outcome.points} == {round(epochs, 9)}
    chain = [curve(outcome, DENSE)[-1], *curve(outcome, IMP)]
    for index, point in enumerate(chain):
        assert point.search_epochs == pytest.approx(index * epochs)
        assert point.sparse_flops == 3 * 2 * point.n_kept * of.recipe.steps * of.recipe.batch_size
        assert point.search_flops == sum(before.sparse_flops for before in chain[:index])
    assert {point.search_epochs for point in curve(outcome, RANDOM)} == {0.0}


def test_an_interrupted_seed_goes_on_where_it_stopped(outcome: DescentOutcome, tmp_path: Path) -> None:
    begun: list[str] = []

    def stop(what: str, _fraction: float) -> None:
        begun.append(what)
        if "level 3" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tick=stop)
    before = len(begun)
    [found] = run(tmp_path, tick=lambda what, _: begun.append(what))
    assert not any("level 2" in what for what in begun[before:])
    assert found.points == outcome.points
    assert [path.suffix for path in next(tmp_path.iterdir()).iterdir()] == [".json"]
    assert run(tmp_path, tick=stop) == [found]  # read back: nothing is trained
    [path] = tmp_path.rglob("seed-0.json")
    path.write_text(path.read_text().replace('"imp"', '"random"', 1))
    with pytest.raises(CorruptRun, match="delete it to compute it anew"):
        run(tmp_path)


def test_layers_left_dense_count_as_weights_and_are_in_no_mask(tmp_path: Path) -> None:
    [found] = run(tmp_path, replace(PLAN, sparsities=(0.5,), widths=(1.0,)), keeping(task(), ["output"]))
    prunable = SIZE - 30
    assert [point.n_weights - point.n_kept for point in found.points] == [30] * len(found.points)
    assert found.points[0].n_kept == prunable
    assert curve(found, IMP)[-1].n_kept == prunable // 2
    assert found.keep == ["output"]


def test_tickets_of_other_widths_and_of_strategies(tmp_path: Path) -> None:
    plan = Plan((0.5,), (1.0,), ticket_widths=(0.5, 1.0), strategies=("magnitude",), budget=20, seeds=(0,))
    [found] = run(tmp_path, plan)
    half = 8 * 6 + 6 * 5 + 5 * 3
    assert [(p.width, p.n_kept) for p in found.points if p.curve == DENSE] == [(0.5, half), (1.0, SIZE)]
    assert {p.width for p in curve(found, IMP)} == {0.5, 1.0}
    assert {p.width for p in curve(found, RANDOM)} == {1.0}
    [ticket] = curve(found, "magnitude")
    assert (ticket.n_kept, ticket.width) == (123, 1.0)
    assert ticket.search_epochs == pytest.approx(3.0)  # one dense training


@pytest.mark.parametrize(
    ("plan", "of", "error", "words"),
    [
        ({"widths": (0.5,)}, replace(task(), scaled=None), InvalidValue, "name width 1 alone"),
        ({"sparsities": (0.995,)}, task(), InvalidValue, "empty"),
        ({"strategies": ("gaa",)}, task(), UnknownName, "gaa"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(
    plan: dict[str, Any], of: Task, error: type[Exception], words: str, tmp_path: Path
) -> None:
    def trained(what: str, _fraction: float) -> None:
        raise AssertionError(what)

    with pytest.raises(error, match=words):
        run(tmp_path, replace(PLAN, **plan), of, tick=trained)


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": (0.0,)},
        {"ticket_widths": (200.0,)},
        {"sparsities": (0.8, 0.5)},
        {"widths": (), "ticket_widths": ()},
        {"strategies": ("snip",), "ticket_widths": (0.5,)},
    ],
)
def test_plans_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        replace(PLAN, **wrong)
