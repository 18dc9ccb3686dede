from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import Ticket, Weights
from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks import Layer, MaskSpace
from ticketsearch.masks.actions import MASK_0, MASK_1, act, signed_constants
from ticketsearch.strategies.early_bird import EarlyBird
from ticketsearch.strategies.imp import IterativeMagnitudePruning
from ticketsearch.strategies.magnitude import Magnitude

SPACE = MaskSpace((Layer("a", (40, 30), 0), Layer("b", (10, 40), 1200)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


INITIAL = Weights(rng(1).normal(0, 1, 1600).astype(np.float32), np.zeros(3, dtype=np.float32))
FINAL: FloatArray = rng(2).normal(0, 1, 1600).astype(np.float32)
MASK: BoolArray = rng(3).random(1600) < 0.3
W = INITIAL.vector


def ticket(mask_1: str = "rewind", mask_0: str = "zero", seed: int = 0) -> Ticket:
    return act(MASK, INITIAL, FINAL, SPACE, rng(seed), mask_1, mask_0)


def start(mask_1: str, seed: int = 0) -> FloatArray:
    weights = ticket(mask_1, seed=seed).weights
    assert weights is not None
    return weights.vector


def kept(vector: FloatArray, layer: Layer) -> FloatArray:
    return vector[layer.span][MASK[layer.span]]


def test_rewind_and_zero_are_the_lottery_ticket() -> None:
    plain = ticket()
    np.testing.assert_array_equal(start("rewind")[MASK], W[MASK])
    assert plain.held is None
    np.testing.assert_array_equal(plain.mask, MASK)


@pytest.mark.parametrize("layer", SPACE.layers, ids=lambda layer: layer.name)
def test_reshuffle_permutes_the_kept_values_of_a_layer(layer: Layer) -> None:
    values = kept(start("reshuffle"), layer)
    np.testing.assert_array_equal(np.sort(values), np.sort(kept(W, layer)))
    assert (values != kept(W, layer)).mean() > 0.9


@pytest.mark.parametrize("layer", SPACE.layers, ids=lambda layer: layer.name)
def test_reinit_draws_from_the_whole_layer_without_replacement(layer: Layer) -> None:
    values = kept(start("reinit"), layer)
    assert len(set(values.tolist())) == values.size  # all of a layer's values differ
    assert set(values.tolist()) <= set(W[layer.span].tolist())
    pruned = set(W[layer.span][~MASK[layer.span]].tolist())
    assert 0.5 < np.mean([value in pruned for value in values.tolist()]) < 0.9  # about 70 %


@pytest.mark.parametrize("action", ["reinit-same-sign", "reshuffle-same-sign", "constant"])
def test_same_sign_actions_keep_the_sign_of_every_kept_weight(action: str) -> None:
    values = start(action)
    np.testing.assert_array_equal(np.sign(values[MASK]), np.sign(W[MASK]))
    assert (values[MASK] != W[MASK]).mean() > 0.9


@pytest.mark.parametrize("action", ["reinit", "reshuffle", "coin-sign", "constant-coin-sign"])
def test_other_random_actions_keep_half_of_the_signs(action: str) -> None:
    agreeing = (np.sign(start(action)[MASK]) == np.sign(W[MASK])).mean()
    assert 0.4 < agreeing < 0.6  # 480 weights: four standard errors


def test_constants_are_the_deviation_of_the_layer() -> None:
    for layer in SPACE.layers:
        expected = np.full(layer.size, W[layer.span].std())
        for action in ("constant", "constant-coin-sign"):
            np.testing.assert_allclose(np.abs(start(action)[layer.span]), expected, rtol=1e-6)
    np.testing.assert_array_equal(signed_constants(W, SPACE), start("constant"))


def test_signs_are_flipped_or_tossed_and_magnitudes_left() -> None:
    np.testing.assert_array_equal(start("flip-sign"), -W)
    np.testing.assert_array_equal(np.abs(start("coin-sign")), np.abs(W))
    assert (start("coin-sign", seed=1) != start("coin-sign", seed=2)).any()


def test_signs_are_transferred_from_the_trained_network() -> None:
    np.testing.assert_array_equal(np.abs(start("trained-sign")), np.abs(W))
    np.testing.assert_array_equal(np.sign(start("trained-sign")), np.sign(FINAL))
    with pytest.raises(InvalidValue, match="'trained-sign' takes signs of trained weights; 'large_init' trains none"):
        Magnitude(criterion="large_init", mask_1="trained-sign").search(tiny.make_problem(budget=100))


def test_pruned_weights_are_held_where_the_action_says() -> None:
    shrunk = np.abs(FINAL) < np.abs(W)
    held = {name: ticket(mask_0=name).started(INITIAL).weights for name in MASK_0}
    expected = {
        "zero": np.zeros_like(W),
        "freeze": W,
        "zero-if-shrunk": np.where(shrunk, 0, W),
        "zero-if-shrunk-all": np.where(shrunk, 0, W),
    }
    for name, weights in held.items():
        assert weights is not None
        np.testing.assert_array_equal(weights.vector[~MASK], expected[name][~MASK])
        of_kept = np.where(shrunk, 0, W) if name == "zero-if-shrunk-all" else W
        np.testing.assert_array_equal(weights.vector[MASK], of_kept[MASK])


@pytest.mark.parametrize("action", MASK_1)
def test_nothing_that_is_passed_is_changed_and_the_same_stream_gives_the_same(action: str) -> None:
    before = W.copy()
    np.testing.assert_array_equal(start(action), start(action))
    np.testing.assert_array_equal(W, before)


@pytest.mark.parametrize(("mask_1", "mask_0"), [("rewnd", "zero"), ("rewind", "0"), ("zero", "rewind")])
def test_an_unknown_action_is_an_error(mask_1: str, mask_0: str) -> None:
    with pytest.raises(UnknownName, match="action"):
        ticket(mask_1, mask_0)
    for strategy in (Magnitude, EarlyBird, IterativeMagnitudePruning):
        with pytest.raises(UnknownName, match="action"):
            strategy(mask_1=mask_1, mask_0=mask_0)


@pytest.mark.parametrize("strategy", [Magnitude(), EarlyBird(), IterativeMagnitudePruning(rounds=2)])
def test_strategies_act_on_the_mask_they_find(strategy: Magnitude | EarlyBird | IterativeMagnitudePruning) -> None:
    plain = strategy.search(tiny.make_problem(budget=100))
    other = replace(strategy, mask_1="flip-sign", mask_0="freeze").search(tiny.make_problem(budget=100))
    initial = tiny.make_problem().initial_weights()
    if not isinstance(strategy, IterativeMagnitudePruning):  # whose later rounds train under the actions
        np.testing.assert_array_equal(plain.mask, other.mask)
    weights = other.started(initial).weights
    assert weights is not None
    np.testing.assert_array_equal(weights.vector[other.mask], -initial.vector[other.mask])
    np.testing.assert_array_equal(weights.vector[~other.mask], initial.vector[~other.mask])


def test_rounds_of_pruning_train_under_the_actions() -> None:
    seen: list[Any] = []
    problem = tiny.make_problem(budget=100)
    train = problem.train

    def watched(mask: BoolArray, **arguments: object) -> object:
        seen.append((mask, arguments["held"], arguments["start"]))
        return train(mask, **arguments)  # type: ignore[arg-type]

    tiny.watch(problem, "train", watched)
    IterativeMagnitudePruning(rounds=2, mask_1="constant", mask_0="freeze").search(problem)
    initial = problem.initial_weights().vector
    (_, first_held, _), (mask, held, begin) = seen
    assert first_held is None
    np.testing.assert_array_equal(held[~mask], initial[~mask])
    np.testing.assert_array_equal(begin.vector[mask], signed_constants(initial, problem.space)[mask])


def test_actions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidValue, match="start=draw"):
        EarlyBird(start="draw", mask_1="constant")
    with pytest.raises(InvalidValue, match="learning-rate"):
        IterativeMagnitudePruning(restart="learning-rate", mask_0="freeze")
    with pytest.raises(InvalidValue, match="trains none"):
        Magnitude(criterion="large_init", mask_0="zero-if-shrunk").search(tiny.make_problem(budget=100))
