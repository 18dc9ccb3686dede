"""Gates in one pass over memory, beside the same formulas recorded by PyTorch; and what they draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers.uniform import drawn, numbers
from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.engine.dense.maps import InOnePass, Recorded, map_of
from ticketsearch.engine.gates import GATES, Chosen, Concrete, Drawn, Form, Pull, Soft, keys, uniform
from ticketsearch.engine.relaxation import Relaxation, Trainable, relaxed_by
from ticketsearch.seeds import torch_stream

SIZE = 1003
LAYERS = ((slice(0, 400), 0.1), (slice(400, SIZE), 0.05))
CPU = torch.device("cpu")


def halves(trained: Mapping[str, FloatArray], _step: int) -> tuple[BoolArray, FloatArray]:
    np.clip(trained[GATES], -1, 1, out=trained[GATES])
    return trained[GATES] > 0.5, np.sign(trained[GATES])


FORMS: dict[str, tuple[Form, Pull | None]] = {
    "soft": (Soft(lambda step: 2.0 + step, high=1.9), Pull(((slice(SIZE), 0.1),), 0.7)),
    "soft, by layer": (Soft(lambda step: 2.0 + step), Pull(LAYERS)),
    "soft, of a part": (Soft(), Pull(LAYERS[:1])),
    "soft, shifted": (Soft(low=-0.5), Pull(((slice(SIZE), 0.1),), shift=0.3)),
    "stretched": (Concrete(-0.1, 1.1), Pull(((slice(SIZE), 0.2),), 0.1, shift=-1.5)),
    "quiet": (Concrete(-0.1, 1.1, noisy_until=0), None),
    "both ways": (Concrete(), Pull(((slice(SIZE), 0.99),), both_ways=True)),
    "drawn": (Drawn(lambda step: 3.0 + step), Pull(LAYERS, 2.0)),
    "rescaled": (Drawn(rescaled=tuple(span for span, _ in LAYERS)), Pull(LAYERS)),
    "chosen": (Chosen(halves), None),
}


def relaxation(name: str, balance: float | None, *, frozen: bool, spread: float = 1.0) -> Relaxation:
    rng = np.random.Generator(np.random.PCG64(7))
    scores, weights = (rng.normal(0, scale, SIZE).astype(np.float32) for scale in (spread, 1.0))
    form, pull = FORMS[name]
    relaxed = relaxed_by(form, Trainable(scores), weights=weights if frozen else Trainable(weights), pull=pull)
    return replace(relaxed, balance=balance)


@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
@pytest.mark.parametrize("balance", [None, 0.25])
@pytest.mark.parametrize("name", FORMS)
def test_weights_penalty_and_gradients_are_those_of_the_formulas(
    name: str, balance: float | None, *, frozen: bool
) -> None:
    relaxed = relaxation(name, balance, frozen=frozen)
    assert relaxed.gated is not None
    ours = InOnePass(relaxed, relaxed.gated, torch_stream(3, CPU))
    theirs = Recorded(relaxed, CPU, torch_stream(3, CPU))
    target = torch.linspace(-1, 1, SIZE)
    bias = torch.ones(1, requires_grad=True)
    for step in range(3):
        found = []
        for one in (theirs, ours):
            weights = one.weights(step)
            loss = ((weights - target).square() * bias).sum()
            found.append((weights.detach().clone(), one.penalty(step), one.gradients(loss, [bias])))
        (weights, penalty, grads), (own, own_penalty, own_grads) = found
        torch.testing.assert_close(own, weights, rtol=1e-5, atol=1e-6)
        assert own_penalty == pytest.approx(penalty, rel=1e-5, abs=1e-6)
        for expected, grad in zip(grads, own_grads, strict=True):
            assert (expected is None) == (grad is None)
            if expected is not None and grad is not None:
                torch.testing.assert_close(grad, expected, rtol=2e-5, atol=2e-5)
        for values, (_, _, by) in zip((theirs.values, ours.values), found, strict=True):  # both are trained
            for value, grad in zip(values.values(), by, strict=False):
                if grad is not None:
                    value.data.sub_(0.01 * grad)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "chosen"])
def test_gates_that_are_shut_or_wide_open_are_numbers(name: str) -> None:
    relaxed = relaxation(name, None, frozen=True, spread=1e4)
    assert relaxed.gated is not None
    made = InOnePass(relaxed, relaxed.gated, torch_stream(3, CPU))
    loss = made.weights(0).sum()
    assert np.isfinite(made.penalty(0))
    [grads] = made.gradients(loss, [])
    assert grads is not None
    assert grads.isfinite().all()


def test_what_is_no_number_shows() -> None:
    relaxed = relaxation("soft", None, frozen=True)
    assert relaxed.gated is not None
    made = InOnePass(relaxed, relaxed.gated, torch_stream(3, CPU))
    made.values[GATES][5] = float("nan")
    assert made.weights(0).isnan().nonzero().flatten().tolist() == [5]
    assert np.isnan(made.penalty(0))


def test_to_be_looked_at_draws_nothing() -> None:
    relaxed = relaxation("drawn", None, frozen=True)
    made = [map_of(relaxed, CPU, torch_stream(3, CPU)) for _ in range(2)]
    assert all(isinstance(one, InOnePass) for one in made)
    made[0].weights_to_look_at(0)
    assert torch.equal(made[0].weights(0), made[1].weights(0))


def test_other_relaxations_are_recorded() -> None:
    relaxed = Relaxation({"w": Trainable(np.ones(3, np.float32))}, lambda trained, _step, _draws: trained["w"])
    assert isinstance(map_of(relaxed, CPU, torch_stream(0, CPU)), Recorded)


@pytest.mark.parametrize("of", [(0, 0), (123456789, 4294967295)])
def test_uniform_numbers_are_the_formula_s(of: tuple[int, int]) -> None:
    np.testing.assert_array_equal(uniform(of, 5000, CPU).numpy(), numbers(*of, 5000))


def test_uniform_numbers_are_uniform_and_independent() -> None:
    """By Kolmogorov and Smirnov's test; neighbours, and sequences of neighbouring keys, by their correlations."""
    size = 200_000
    first, second, third = (uniform(of, size, CPU).double().numpy() for of in ((1, 2), (2, 2), (1, 3)))
    assert 0 < first.min() < first.max() < 1
    for one in (first, second, third):
        assert stats.kstest(one, "uniform").pvalue > 1e-3
    pairs = [(first[:-1], first[1:]), (first, second), (first, third), (first[1:], second[:-1])]
    for one, other in pairs:
        assert abs(stats.pearsonr(one, other).statistic) < 4 / size**0.5


def test_keys_come_from_the_generator() -> None:
    one, same, other = (torch_stream(seed, CPU) for seed in (1, 1, 2))
    assert keys(one) == keys(same)
    assert keys(one) == keys(same) != keys(other)
    assert torch.equal(uniform(keys(torch_stream(4, CPU)), 7, CPU), drawn(torch_stream(4, CPU), 7))


def test_the_pull_is_zero_below_the_density_and_grows_above_it() -> None:
    def pulled(mean: float, **options: Any) -> float:
        scores = torch.full((8,), mean).logit()
        return float(Pull(((slice(8), 0.1),), 2.0, **options).penalty(scores, 1.0))

    assert [pulled(mean) for mean in (0.05, 0.1, 0.2)] == pytest.approx([0.0, 0.0, 2.0], abs=1e-5)
    assert pulled(0.05, both_ways=True) == pytest.approx(-1.0, abs=1e-5)
