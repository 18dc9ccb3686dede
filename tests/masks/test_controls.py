"""Controls destroy exactly what they say, and one that destroys nothing is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from ticketsearch import Ticket, Weights
from ticketsearch.errors import StrategyError, UnknownName
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.controls import CHANGES, control_of
from ticketsearch.masks.units import weight_units
from ticketsearch.tasks.layout import read_weights

SCORED = {
    "magnitude": {},
    "early-bird": {},
    "imp": {"rounds": 3},
    "snip": {},
    "grasp": {},
    "synflow": {"rounds": 3},
    "edge-popup": {},
    "supermask": {},
    "hard-concrete": {},
    "continuous-sparsification": {},
}
"""Strategies that choose by a score per weight."""
ENGINE = tiny.dense_engine(tiny.make_task())
SPACE: MaskSpace = ENGINE.layout.space
INITIAL = read_weights(tiny.make_task().build(0), ENGINE.layout)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def draw(seed: int) -> Weights:
    return read_weights(tiny.make_task().build(seed), ENGINE.layout)


def control(name: str, ticket: Ticket, seed: int = 0) -> Ticket:
    return control_of(name, ticket, INITIAL, weight_units(SPACE), rng(seed), draw)


@pytest.fixture
def ticket() -> Ticket:
    scores = rng(2).random(SPACE.size)
    return Ticket(scores > 0.7, step=4, scores=scores)


def test_reinitialising_keeps_the_mask_and_draws_other_weights(ticket: Ticket) -> None:
    first, second = control("reinitialise", ticket, 0), control("reinitialise", ticket, 1)
    assert first.weights is not None
    assert second.weights is not None
    np.testing.assert_array_equal(first.mask, ticket.mask)
    assert len({INITIAL.vector.tobytes(), first.weights.vector.tobytes(), second.weights.vector.tobytes()}) == 3
    assert first.weights.vector.std() == pytest.approx(INITIAL.vector.std(), rel=0.3)


def test_shuffling_the_mask_keeps_the_counts_and_the_weights(ticket: Ticket) -> None:
    found = control("shuffle-mask", ticket)
    assert found.weights is not None
    assert SPACE.counts(found.mask).tolist() == SPACE.counts(ticket.mask).tolist()
    assert (found.mask != ticket.mask).any()
    np.testing.assert_array_equal(found.weights.vector, INITIAL.vector)


def test_shuffling_the_weights_keeps_the_mask_and_each_layer_s_values(ticket: Ticket) -> None:
    found = control("shuffle-weights", ticket)
    assert found.weights is not None
    np.testing.assert_array_equal(found.mask, ticket.mask)
    assert (found.weights.vector != INITIAL.vector).any()
    np.testing.assert_array_equal(found.weights.vector[~ticket.mask], INITIAL.vector[~ticket.mask])
    for layer in SPACE.layers:
        kept = ticket.mask[layer.span]
        own, other = (np.sort(w.vector[layer.span][kept]) for w in (INITIAL, found.weights))
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("name", ["shuffle-mask", "invert"])
def test_what_a_control_uncovers_starts_as_the_ticket_s_weights_do(name: str, ticket: Ticket) -> None:
    own = Weights(np.sign(INITIAL.vector), INITIAL.rest)  # a rule for all weights, kept or not
    found = control(name, replace(ticket, weights=own))
    assert found.weights is not None
    np.testing.assert_array_equal(found.weights.vector, own.vector)
    started = replace(ticket, weights=own).started(INITIAL)  # whose pruned weights are gone
    again = control(name, started)
    assert again.weights is not None
    np.testing.assert_array_equal(again.weights.vector[~ticket.mask], INITIAL.vector[~ticket.mask])


def test_inverting_keeps_the_lowest_scores_as_many_in_each_layer(ticket: Ticket) -> None:
    found = control("invert", ticket)
    assert ticket.scores is not None
    assert SPACE.counts(found.mask).tolist() == SPACE.counts(ticket.mask).tolist()
    for layer in SPACE.layers:
        scores, kept = ticket.scores[layer.span], found.mask[layer.span]
        assert scores[kept].max() < scores[~kept].min()


def test_there_is_nothing_to_invert_without_scores(ticket: Ticket, tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="no scores"):
        control("invert", replace(ticket, scores=None))
    for strategy, settings in SCORED.items():
        result = ticketsearch.run(
            strategy, tiny.make_task(), budget="20ep", controls=["invert"], orders=1, settings=settings, out=tmp_path
        )
        assert "invert" in result.references


@pytest.mark.parametrize("name", CHANGES)
def test_a_control_changes_nothing_it_was_given_and_keeps_the_step(name: str, ticket: Ticket) -> None:
    mask, vector = ticket.mask.copy(), INITIAL.vector.copy()
    assert control(name, ticket).step == (0 if name == "reinitialise" else 4)  # fresh weights train from the start
    np.testing.assert_array_equal(ticket.mask, mask)
    np.testing.assert_array_equal(INITIAL.vector, vector)


@pytest.mark.parametrize("name", ["shuffle-mask", "shuffle-weights"])
def test_a_control_that_changes_nothing_is_an_error(name: str) -> None:
    everything = Ticket(np.ones(SPACE.size, dtype=bool), Weights(np.ones_like(INITIAL.vector), INITIAL.rest))
    with pytest.raises(StrategyError, match=f"'{name}' left the ticket as it was"):
        control(name, everything)


def test_controls_are_confirmed_beside_the_ticket(tmp_path: Path) -> None:
    options = {"budget": "12ep", "orders": 2, "out": tmp_path}
    result = ticketsearch.run("magnitude", tiny.make_task(), controls=["shuffle-mask", "reinitialise"], **options)  # type: ignore[arg-type]
    assert list(result.references) == ["dense", "random", "magnitude", "shuffle-mask", "reinitialise"]
    assert len(result.references["reinitialise"].test_accuracies) == 2
    plain = ticketsearch.run("magnitude", tiny.make_task(), **options)  # type: ignore[arg-type]
    assert plain.test_accuracy == result.test_accuracy  # controls are on accounts, and streams, of their own
    assert plain.run != result.run


def test_an_unknown_control_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'reinitialise'"):
        ticketsearch.run("magnitude", tiny.make_task(), controls=["reinitialize"], out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_controls_are_named_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    options = ["--task", "tests.helpers.tiny:task", "--budget", "12ep", "--orders", "1", "--out", tmp_path]
    outcome = cli("run", "--strategy", "magnitude", *options, "--control", "shuffle-weights")
    assert outcome.code == 0
    assert "shuffle-weights" in outcome.out
    wrong = cli("run", "--strategy", "magnitude", *options, "--control", "shuffel-weights")
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
