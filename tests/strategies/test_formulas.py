"""Each relaxation beside its formulas, written out over PyTorch's own network and optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from tests.helpers.uniform import drawn
from ticketsearch.engine import batch_indices
from ticketsearch.masks import top_n
from ticketsearch.seeds import stream, torch_stream
from ticketsearch.strategies.continuous_sparsification import ContinuousSparsification
from ticketsearch.strategies.edge_popup import EdgePopup
from ticketsearch.strategies.gem_miner import GemMiner, left_after
from ticketsearch.strategies.hard_concrete import HardConcrete
from ticketsearch.strategies.supermask import Supermask

BATCH, TRAIN, STEPS = tiny.RECIPE.batch_size, 300, tiny.RECIPE.steps
NETWORK = tiny.make_task().build(0)
NAMES = [name for name, parameter in NETWORK.named_parameters() if parameter.ndim == 2]
SHAPES = [tuple(NETWORK.get_parameter(name).shape) for name in NAMES]
SIZES = [math.prod(shape) for shape in SHAPES]
INITIAL = torch.cat([NETWORK.get_parameter(name).detach().flatten() for name in NAMES])

Weigh = Callable[[Mapping[str, Tensor], int, torch.Generator], Tensor]
"""Trained vectors, step, draws -> weights."""


def split(vector: Tensor) -> tuple[Tensor, ...]:
    """The layers' parts of ``(D,)``."""
    return torch.split(vector, SIZES)


def loop(
    groups: Sequence[dict[str, Any]],
    make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
    weigh: Weigh,
    penalty: Callable[[Mapping[str, Tensor], int], Tensor] | None = None,
    *,
    rest: bool = False,
    number: int = 0,
    steps: int = STEPS,
) -> dict[str, np.ndarray[Any, Any]]:
    """Train vectors by the tiny recipe's batches, the learning rate along a cosine; what they are in the end."""
    task = tiny.make_task()
    trained = {group["name"]: torch.tensor(group["start"]).requires_grad_() for group in groups}
    settings = [
        {"params": [trained[group["name"]]], "lr": group["rate"], "weight_decay": group["decay"]} for group in groups
    ]
    biases = {name: p.detach().clone() for name, p in NETWORK.named_parameters() if p.ndim == 1}
    if rest:
        settings.append({"params": list(biases.values()), "lr": 0.1, "weight_decay": tiny.RECIPE.weight_decay})
        for bias in biases.values():
            bias.requires_grad_()
    optimizer = make(settings)
    peaks = [group["lr"] for group in optimizer.param_groups]
    draws = torch_stream(int(stream(0, "relaxation", number).integers(2**62)), torch.device("cpu"))
    for step, chosen in enumerate(batch_indices(TRAIN, BATCH, steps, stream(0, "train", number))):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * 0.5 * (1 + math.cos(math.pi * step / steps))
        vector = weigh(trained, step, draws)
        parts = dict(zip(NAMES, (p.reshape(s) for p, s in zip(split(vector), SHAPES, strict=True)), strict=True))
        outputs = torch.func.functional_call(NETWORK, {**parts, **biases}, (task.train.inputs[chosen],))
        loss = F.cross_entropy(outputs, task.train.labels[chosen])
        if penalty is not None:
            loss = loss + penalty(trained, step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: value.detach().numpy() for name, value in trained.items()}


def sgd(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, momentum=0.9)


def constants() -> Tensor:
    """Signed Kaiming constants: the sign of each initial weight times ``sqrt(2 / fan_in)``."""
    parts = zip(split(INITIAL), SHAPES, strict=True)
    return torch.cat([part.sign() * math.sqrt(2 / shape[1]) for part, shape in parts])


def test_edge_popup() -> None:
    ticket = EdgePopup().search(problem := tiny.make_problem(1000.0))
    rng = problem.rng("scores")
    start = [
        rng.uniform(-(shape[1] ** -0.5), shape[1] ** -0.5, size) for shape, size in zip(SHAPES, SIZES, strict=True)
    ]
    counts = problem.space.counts(ticket.mask).tolist()

    def weigh(trained: Mapping[str, Tensor], _step: int, _draws: torch.Generator) -> Tensor:
        parts = []
        for part, count in zip(split(trained["s"].abs()), counts, strict=True):
            kept = part >= part.sort(descending=True).values[count - 1]
            parts.append(kept.float() + part - part.detach())
        return constants() * torch.cat(parts)

    [scores] = loop(
        [{"name": "s", "start": np.concatenate(start).astype(np.float32), "rate": 0.1, "decay": 1e-4}], sgd, weigh
    ).values()
    assert ticket.scores is not None
    np.testing.assert_allclose(ticket.scores, np.abs(scores), atol=1e-5)


def test_gem_miner() -> None:
    ticket = GemMiner(cuts=5).search(problem := tiny.make_problem(1000.0))
    size, kept = problem.space.size, problem.n_kept
    cuts = {STEPS * cut // 5: round(size * (kept / size) ** (cut / 5)) for cut in range(1, 6)}
    alive = torch.ones(size, dtype=torch.bool)

    def cut(numbers: Tensor, step: int) -> None:
        if step in cuts:
            order = torch.where(alive, numbers.detach(), -1).sort(descending=True, stable=True).indices
            alive.zero_()[order[: cuts[step]]] = True

    def weigh(trained: Mapping[str, Tensor], step: int, _draws: torch.Generator) -> Tensor:
        trained["p"].data.clamp_(0, 1)
        cut(trained["p"], step)
        return constants() * torch.where(alive, (trained["p"].detach() > 0.5) + trained["p"] - trained["p"].detach(), 0)

    start = problem.rng("numbers").random(size, dtype=np.float32)
    [numbers] = loop([{"name": "p", "start": start, "rate": 0.1, "decay": 1e-4}], sgd, weigh).values()
    numbers = numbers.clip(0, 1)
    cut(torch.from_numpy(numbers), STEPS)
    assert int(alive.sum()) == kept
    np.testing.assert_array_equal(ticket.mask, alive.numpy())
    assert ticket.scores is not None
    np.testing.assert_allclose(ticket.scores - ticket.mask, numbers, atol=1e-5)
    assert ticket.weights is not None
    np.testing.assert_allclose(ticket.weights.vector, constants().numpy(), rtol=1e-6)


def test_gem_miner_lets_go_of_the_same_fraction_each_time() -> None:
    """Sreenivasan et al.: 1 - exp(ln(k) / n) of those left."""
    left = [100_000, *left_after(30, 1500, 100_000, 2000).values()]
    shares = [1 - after / before for before, after in pairwise(left)]
    assert shares == pytest.approx([1 - math.exp(math.log(0.02) / 30)] * 30, abs=3e-4)
    assert list(left_after(30, 1500, 100_000, 2000)) == [50 * cut for cut in range(1, 31)]
    assert list(left_after(30, 7, 100, 10)) == list(range(1, 8))


def test_continuous_sparsification_in_two_rounds() -> None:
    ticket = ContinuousSparsification(rounds=2, steepness=4).search(problem := tiny.make_problem(1000.0))
    scale, density = 1 / (1 + math.exp(-0.05)), problem.n_kept / problem.space.size

    def soft(trained: Mapping[str, Tensor], step: int) -> Tensor:
        return torch.sigmoid(4 ** (step / STEPS) * trained["s"])

    def penalty(trained: Mapping[str, Tensor], step: int) -> Tensor:
        return (soft(trained, step).mean() / density - 1).clamp(min=0)

    gates = np.full(problem.space.size, 0.05, dtype=np.float32)
    for number in range(2):
        groups = [
            {"name": "w", "start": INITIAL.numpy(), "rate": 0.1, "decay": tiny.RECIPE.weight_decay},
            {"name": "s", "start": gates, "rate": 0.3, "decay": 0.0},
        ]
        found = loop(groups, sgd, lambda t, step, _d: t["w"] * soft(t, step) / scale, penalty, rest=True, number=number)
        gates = np.minimum(4 * found["s"], 0.05).astype(np.float32)
    assert ticket.scores is not None
    np.testing.assert_allclose(ticket.scores, found["s"], atol=1e-5)
    np.testing.assert_array_equal(ticket.mask, top_n(found["s"], problem.n_kept))


def test_continuous_sparsification_keeps_an_open_gate_s_factor_if_asked() -> None:
    ticket = ContinuousSparsification(factor=True).search(tiny.make_problem(1000.0))
    assert ticket.weights is not None
    np.testing.assert_allclose(ticket.weights.vector, INITIAL.numpy() * (1 + math.exp(-0.05)), rtol=1e-6)
    assert ContinuousSparsification().search(tiny.make_problem(1000.0)).weights is None


def test_hard_concrete() -> None:
    ticket = HardConcrete(rate=3.0).search(problem := tiny.make_problem(1000.0))
    size, density = problem.space.size, problem.n_kept / problem.space.size
    shift = 2 / 3 * math.log(0.1 / 1.1)
    start = np.full(size, math.log(0.9 / 0.1) + shift, dtype=np.float32)
    start += problem.rng("gates").normal(0, 0.01, size).astype(np.float32)

    def weigh(trained: Mapping[str, Tensor], _step: int, draws: torch.Generator) -> Tensor:
        u = drawn(draws, size)
        s = torch.sigmoid((torch.logit(u) + trained["a"]) * 1.5)
        return trained["w"] * (s * 1.2 - 0.1).clamp(0, 1)

    def penalty(trained: Mapping[str, Tensor], _step: int) -> Tensor:
        return 0.1 * (torch.sigmoid(trained["a"] - shift).mean() / density - 1).clamp(min=0)

    groups = [
        {"name": "w", "start": INITIAL.numpy(), "rate": 0.1, "decay": tiny.RECIPE.weight_decay},
        {"name": "a", "start": start, "rate": 0.3, "decay": 0.0},
    ]
    found = loop(groups, sgd, weigh, penalty, rest=True)
    assert ticket.scores is not None
    close = np.isclose(ticket.scores, found["a"], rtol=1e-6, atol=2e-5)
    assert close.mean() > 0.99  # where a gate meets the edge of its cut, a last digit decides whether a gradient passes
    np.testing.assert_allclose(ticket.scores, found["a"], atol=1e-2)


def test_supermask() -> None:
    steps = 20  # the more, the more Adam makes of the last digits of gradients that are nearly zero
    task = tiny.make_task(recipe=replace(tiny.RECIPE, steps=steps))
    ticket = Supermask().search(problem := tiny.make_problem(1000.0, task=task))
    parts = split(INITIAL)
    constant = torch.cat([part.sign() * part.std(correction=0) for part in parts])
    shares = [count / size for count, size in zip(problem.space.counts(ticket.mask).tolist(), SIZES, strict=True)]

    def soft(trained: Mapping[str, Tensor], step: int) -> Tensor:
        return torch.sigmoid(20 ** (step / steps) * trained["s"])

    def weigh(trained: Mapping[str, Tensor], step: int, draws: torch.Generator) -> Tensor:
        p = soft(trained, step)
        return constant * ((drawn(draws, p.numel()) < p.detach()) + p - p.detach())

    def penalty(trained: Mapping[str, Tensor], step: int) -> Tensor:
        means = zip(split(soft(trained, step)), shares, strict=True)
        return sum(((part.mean() / share - 1).clamp(min=0) for part, share in means), torch.zeros(())) / len(SIZES)

    groups = [{"name": "s", "start": np.zeros(problem.space.size, np.float32), "rate": 0.02, "decay": 0.0}]
    [logits] = loop(groups, torch.optim.Adam, weigh, penalty, steps=steps).values()
    assert ticket.scores is not None
    np.testing.assert_allclose(ticket.scores, logits, atol=2e-5)
