"""Each predictor against the tiny perceptron written out in PyTorch, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from tests.helpers import tiny
from tests.helpers.engines import SHAPES, torch_training, written_out
from ticketsearch import MaskProblem
from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.engine import Job, Kept, batch_indices
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks.ticket import Weights
from ticketsearch.predictors import predictor_named
from ticketsearch.predictors.curvature import largest_eigenvalue
from ticketsearch.seeds import stream, torch_stream
from ticketsearch.tasks.layout import read_weights

STEPS, EXAMPLES = 7, 12
BIASES = sum(shape[0] for shape in SHAPES)
SEARCHED = tiny.make_task()


class Written:
    """One masked network in double precision, and the examples that predictors of a kind see."""

    def __init__(self, weights: Weights, mask: BoolArray, kind: str) -> None:
        self.kept = torch.from_numpy(mask)
        self.vector = torch.from_numpy(weights.vector * mask).double()
        self.rest = torch.from_numpy(weights.rest).double()
        chosen = stream(0, "gradients", kind, "common").choice(300, EXAMPLES, replace=False)
        self.inputs, self.labels = SEARCHED.train.inputs[chosen].double(), SEARCHED.train.labels[chosen]

    def loss(self, vector: Tensor, temperature: float = 1.0) -> Tensor:
        return F.cross_entropy(written_out(vector, self.rest, self.inputs) / temperature, self.labels)

    def gradient(self, temperature: float = 1.0) -> Tensor:
        point = self.vector.clone().requires_grad_()
        [found] = torch.autograd.grad(self.loss(point, temperature), point)
        return found

    def hessian(self, temperature: float = 1.0) -> Tensor:
        found: Tensor = torch.autograd.functional.hessian(  # type: ignore[no-untyped-call]
            lambda vector: self.loss(vector, temperature), self.vector
        )
        return found


def gradient_norm(one: Written) -> float:
    return float(one.gradient()[one.kept].norm())


def snip(one: Written) -> float:
    return float((one.gradient() * one.vector).abs().sum())


def grasp(one: Written) -> float:
    return float(one.vector @ one.hessian(200.0) @ one.gradient(200.0))


def synflow(one: Written) -> float:
    """Three layers: each path's product is counted once in each layer's sum."""
    parts = torch.split(one.vector.abs(), [rows * columns for rows, columns in SHAPES])
    flow = torch.ones(8, dtype=torch.float64)
    for part, shape in zip(parts, SHAPES, strict=True):
        flow = part.reshape(shape) @ flow
    return 3 * float(flow.sum())


def ntk_norm(one: Written) -> float:
    seed = int(stream(0, "gradients", "ntk_change", "common").integers(2**62))
    generator = torch_stream(seed, torch.device("cpu"))
    inputs = torch.randn((EXAMPLES, 8), generator=generator, dtype=torch.float64)
    noise = torch.cat([torch.randn(shape, generator=generator, dtype=torch.float64).flatten() for shape in SHAPES])
    moved = written_out(one.vector + 0.01 * noise * one.kept, one.rest, inputs)
    return float((moved - written_out(one.vector, one.rest, inputs)).square().sum())


def ntk_condition(one: Written) -> float:
    def summed(vector: Tensor, rest: Tensor) -> Tensor:
        return written_out(vector, rest, one.inputs).sum(1)

    weights, biases = torch.autograd.functional.jacobian(summed, (one.vector, one.rest))  # type: ignore[no-untyped-call]
    jacobian = torch.cat([weights * one.kept, biases], 1)
    return float(np.linalg.cond((jacobian @ jacobian.T).numpy()))


def naswot(one: Written) -> float:
    first, second, _ = (
        part.reshape(shape)
        for part, shape in zip(
            torch.split(one.vector, [rows * columns for rows, columns in SHAPES]), SHAPES, strict=True
        )
    )
    inside = one.inputs @ first.T + one.rest[:12]
    behind = inside.clamp(min=0) @ second.T + one.rest[12:22]
    codes = (torch.cat([inside, behind], 1) > 0).numpy()
    kernel = np.array([[np.count_nonzero(a == b) for b in codes] for a in codes], dtype=float)
    return float(np.linalg.slogdet(kernel)[1])


def hessian_eigenvalue(one: Written) -> float:
    return float(torch.linalg.eigvalsh(one.hessian()[one.kept][:, one.kept])[-1])


EXPECTED: dict[str, tuple[str, Callable[[Written], float], str]] = {
    "gradient-norm": ("gradients", gradient_norm, f"examples={EXAMPLES}"),
    "snip": ("gradients", snip, f"examples={EXAMPLES}"),
    "grasp": ("hessian_gradient", grasp, f"examples={EXAMPLES}"),
    "synflow": ("synaptic_flow", synflow, ""),
    "ntk-norm": ("ntk_change", ntk_norm, f"examples={EXAMPLES}"),
    "ntk-condition": ("tangent_kernel", ntk_condition, f"examples={EXAMPLES}"),
    "naswot": ("activation_patterns", naswot, f"examples={EXAMPLES}"),
    "hessian-eigenvalue": ("hessian_product", hessian_eigenvalue, f"examples={EXAMPLES}, iterations=40"),
}
SPENT = {
    "gradient-norm": 3 * EXAMPLES,
    "snip": 3 * EXAMPLES,
    "grasp": 6 * EXAMPLES,
    "synflow": 3,
    "ntk-norm": 2 * EXAMPLES,
    "ntk-condition": 3 * EXAMPLES**2,
    "naswot": EXAMPLES,
}
"""Thirds of a training example, for each mask."""


def problem_and_masks(sparsity: float = 0.4) -> tuple[MaskProblem, BoolArray]:
    problem = tiny.make_problem(1000.0, sparsity=sparsity)
    return problem, tiny.masks_of(problem, 3)


def start_with_biases(problem: MaskProblem) -> None:
    """Biases begin at zero: then a mistake with them would not be seen."""
    rest = np.random.default_rng(5).normal(0, 0.3, BIASES).astype(np.float32)
    problem._session.initial = Weights(problem.initial_weights().vector, rest)


def trained_by_torch(problem: MaskProblem, mask: BoolArray, steps: int, batches: Any) -> nn.Module:
    engine = problem._session.engine
    job = Job(mask[None], problem.initial_weights(), SEARCHED.recipe.lasting(steps), batches)
    return torch_training(SEARCHED, engine, job, 0)


@pytest.mark.parametrize(
    ("name", "steps"), [*((name, 0) for name in EXPECTED), *((name, STEPS) for name in ("snip", "ntk-norm", "naswot"))]
)
def test_it_is_what_pytorch_computes(name: str, steps: int) -> None:
    kind, expected, settings = EXPECTED[name]
    problem, masks = problem_and_masks()
    start_with_biases(problem)
    predictor = predictor_named(f"{name}({', '.join(filter(None, [f'steps={steps}', settings]))})")
    found = predictor.predict(problem, masks)
    order = batch_indices(300, 30, steps, stream(0, "train", "common"))
    for mask, value in zip(masks, found, strict=True):
        weights = problem.initial_weights()
        if steps:
            network = trained_by_torch(problem, mask, steps, order)
            weights = read_weights(network, problem._session.engine.layout)
        assert value == pytest.approx(expected(Written(weights, mask, kind)), rel=1e-4)
    if name in SPENT and not steps:
        assert problem.spent.thirds == len(masks) * SPENT[name]


def test_short_trainings_are_those_of_pytorch() -> None:
    problem, masks = problem_and_masks()
    order = batch_indices(300, 30, STEPS, stream(0, "evaluate"))
    found = {
        name: predictor_named(f"{name}(steps={STEPS})").predict(problem, masks)
        for name in ("loss-after", "accuracy-after", "tse")
    }
    inputs, labels = SEARCHED.validation
    for row, mask in enumerate(masks):
        trained = trained_by_torch(problem, mask, STEPS, order)
        logits = trained(inputs).detach()
        assert found["loss-after"][row] == pytest.approx(tiny.cross_entropy(logits, labels), rel=1e-4)
        assert found["accuracy-after"][row] == pytest.approx(float((logits.argmax(1) == labels).sum()) / len(labels))
        losses = []
        for step in range(STEPS):
            recipe = SEARCHED.recipe.lasting(STEPS)
            job = Job(mask[None], problem.initial_weights(), recipe, order[:step])
            network = torch_training(SEARCHED, problem._session.engine, job, 0)
            batch = SEARCHED.train.inputs[order[step]], SEARCHED.train.labels[order[step]]
            losses.append(tiny.cross_entropy(network(batch[0]), batch[1]))
        assert found["tse"][row] == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_densities_alone_are_the_logarithm_of_their_product() -> None:
    problem, masks = problem_and_masks(0.9)
    masks[0, :] = False
    masks[0, 96:130] = True  # the first and the last layer are empty: half a weight each
    found = predictor_named("layer-densities").predict(problem, masks)
    assert found[0] == pytest.approx(np.log(0.5 / 96) + np.log(34 / 120) + np.log(0.5 / 30))
    for mask, value in zip(masks[1:], found[1:], strict=True):
        shares = [mask[a:b].mean() for a, b in ((0, 96), (96, 216), (216, 246))]
        assert value == pytest.approx(np.log(np.prod(shares)))
    assert problem.spent.thirds == 0


@pytest.mark.parametrize("name", [*EXPECTED, "layer-densities", "loss-after"])
def test_masks_are_seen_alike_and_alone(name: str) -> None:
    """A value depends on the mask and the seed: not on its neighbours, nor on what was asked before."""
    problem, masks = problem_and_masks()
    together = predictor_named(name).predict(problem, masks)
    again = predictor_named(name).predict(problem, masks[::-1])[::-1]
    np.testing.assert_array_equal(together, again)


def test_channels_have_predictors_too_and_biases_of_pruned_ones_are_not_trained() -> None:
    task = tiny.make_task(tiny.batch_norm_network, name="normed")
    problem = tiny.make_problem(1000.0, task=task, granularity="channel", sparsity=0.5)
    masks = tiny.masks_of(problem, 2)
    for name, (_, _, settings) in EXPECTED.items():
        small = settings.replace("iterations=40", "iterations=2")
        assert np.isfinite(predictor_named(f"{name}({small})").predict(problem, masks)).all(), name
    units, engine, start = problem.units, problem._session.engine, problem.initial_weights()
    mask, rest = units.expand(masks[0]), units.rest_mask(masks[:1])
    assert rest is not None
    asked: list[Kept] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "tangent_kernel", lambda weights, kept, indices: asked.append(kept))
        patch.setattr(
            problem._trainer, "derivative", lambda asked, mask, start, compute: compute(start, problem.rng("x"))
        )
        problem.tangent_kernel(masks[0], 10)
    assert (asked[0].mask.tolist(), asked[0].rest.tolist()) == (mask.tolist(), rest[0].tolist())
    kernel, whole = (
        engine.tangent_kernel(start, Kept(mask, trained), np.arange(10)) for trained in (rest[0], np.ones_like(rest[0]))
    )
    assert 0 < np.trace(kernel) < np.trace(whole)


def test_what_a_network_has_not_is_said_in_a_line() -> None:
    def smooth() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))

    problem = tiny.make_problem(1000.0, task=tiny.make_task(smooth, name="smooth"))
    with pytest.raises(InvalidValue, match=r"it has no rectifiers.*choose a strategy or predictor"):
        predictor_named("naswot").predict(problem, tiny.masks_of(problem, 1))
    with pytest.raises(StrategyError, match=r"a direction of shape \(3,\)"):
        problem.hessian_product(None, np.ones(3, dtype=np.float32), 4)
    with pytest.raises(StrategyError, match="0 steps train nothing"):
        problem.train_alike(None, 0)


def test_lanczos_ends_where_there_is_nothing_left() -> None:
    matrix = np.diag([3.0, -9.0, 1.0])

    def product(vector: Any) -> Any:
        return matrix @ vector

    start: FloatArray = np.ones(3, dtype=np.float32)
    assert largest_eigenvalue(product, start.astype(float), 10) == pytest.approx(3)
    assert largest_eigenvalue(product, np.zeros(3), 10) == 0
    assert largest_eigenvalue(product, np.array([0.0, 2.0, 0.0]), 10) == pytest.approx(-9)
