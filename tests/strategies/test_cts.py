"""Concrete ticket search beside the formulas, written out in PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from tests.helpers.uniform import drawn
from ticketsearch.engine import batch_indices
from ticketsearch.engine.relaxation import Relaxation, Trainable
from ticketsearch.errors import InvalidValue
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream, torch_stream
from ticketsearch.strategies.cts import ConcreteTicketSearch

BATCH, TRAIN = 30, 300


@pytest.mark.parametrize("loss_name", ["task", "kl"])
def test_logits_are_those_of_the_formulas(loss_name: Any) -> None:
    task = tiny.make_task()
    problem = tiny.make_problem(1000.0)
    ticket = ConcreteTicketSearch(loss=loss_name).search(problem)
    network, steps = task.build(0), task.recipe.steps
    names = [layer.name for layer in problem.space.layers]
    start = {name: network.get_parameter(name).detach().clone() for name in names}
    size, kept = problem.space.size, problem.n_kept
    density = kept / size
    logits = torch.full((size,), math.log(density / (1 - density)), requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    order = batch_indices(TRAIN, BATCH, steps, stream(0, "train", 0))
    draws = torch_stream(int(stream(0, "relaxation", 0).integers(2**62)), torch.device("cpu"))
    weight = 0.0
    for step, chosen in enumerate(order):
        optimizer.param_groups[0]["lr"] = 0.1 if step < 0.88 * steps else 0.01
        u = drawn(draws, size)
        mask = torch.sigmoid((logits + torch.logit(u)) / (2 / 3))
        state, offset = {}, 0
        for name in names:
            part = mask[offset : offset + start[name].numel()].reshape(start[name].shape)
            state[name], offset = start[name] * part, offset + part.numel()
        outputs = torch.func.functional_call(network, state, (task.train.inputs[chosen],))
        loss = F.cross_entropy(outputs, task.train.labels[chosen])
        if loss_name == "kl":
            with torch.no_grad():
                dense = network(task.train.inputs[chosen]).softmax(1)
            own = outputs.softmax(1)
            loss = (own * (own / dense).log()).sum(1).mean()
        penalty = torch.sigmoid(logits).sum() / (1.1 * kept) - 1
        [of_loss] = torch.autograd.grad(loss, logits)
        [of_penalty] = torch.autograd.grad(penalty, logits)
        newest = float(of_loss.norm() / of_penalty.norm()) if penalty >= 0 else 0.0
        weight = 0.99 * weight + 0.01 * newest
        logits.grad = of_loss + weight * of_penalty
        optimizer.step()
    assert ticket.scores is not None
    np.testing.assert_allclose(ticket.scores, logits.detach().numpy(), atol=2e-5)
    assert np.count_nonzero(ticket.mask) == kept
    assert ticket.scores[ticket.mask].min() >= ticket.scores[~ticket.mask].max()
    assert ticket.weights is None  # the initial ones
    assert problem.spent.train_examples == steps * BATCH
    assert problem.spent.forward_examples == (steps * BATCH if loss_name == "kl" else 0)
    assert problem.spent.sparse_flops == problem.spent.dense_flops


def test_a_rewind_point_is_paid_for_and_is_where_the_ticket_starts() -> None:
    problem = tiny.make_problem(1000.0)
    ticket = ConcreteTicketSearch(rewind=6, length=0.5).search(problem)
    assert ticket.step == 6
    assert ticket.weights is not None
    dense = next(tiny.make_problem(1000.0).train(at=(6,)))
    np.testing.assert_array_equal(ticket.weights.vector, dense.weights.vector)
    assert problem.spent.train_examples == (6 + problem.recipe.steps // 2) * BATCH
    with pytest.raises(InvalidValue, match="beyond the training's 60 steps"):
        ConcreteTicketSearch(rewind=61).search(tiny.make_problem(1000.0))


def test_the_late_step_is_at_88_percent() -> None:
    recipe = Recipe(100, 10, 0.1, schedule="late-step")
    assert [recipe.learning_rate_at(step) for step in (0, 87, 88, 99)] == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_in_evaluation_mode_nothing_is_dropped_and_statistics_stay() -> None:
    def dropping() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.ReLU(), nn.Linear(12, 3))

    task = tiny.make_task(dropping)
    found = {}
    for evaluating in (True, False):
        problem = tiny.make_problem(1000.0, task=task)
        start = problem.initial_weights()
        relaxation = Relaxation(
            {"w": Trainable(start.vector)}, lambda t, _step, _g: t["w"], train_rest=False, evaluating=evaluating
        )
        [last] = problem.train_relaxed(relaxation, recipe=replace(task.recipe, steps=3))
        found[evaluating] = np.array_equal(last.weights.rest, start.rest)
    assert found == {True: True, False: False}  # running statistics
