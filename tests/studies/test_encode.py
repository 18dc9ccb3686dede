"""``ticketsearch encode``: fits are the best there are, and each mask is trained as the ticket was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from tests.helpers.commands import Cli
from tests.helpers.runs import run
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.encodings.neurons import EdgeSums
from ticketsearch.seeds import stream
from ticketsearch.strategies.encoding import make_encoding
from ticketsearch.testing.closed_form import closed_form_problem


@pytest.mark.parametrize("name", ["neurons", "degrees", "degrees(alpha=0.3)", "neurons(alpha=gene)"])
def test_a_mask_that_an_encoding_can_write_is_found_again(name: str) -> None:
    problem, _ = closed_form_problem(10, sparsity=0.8)
    encoding = make_encoding(name, problem)
    mask = encoding.decode(encoding.sample(stream(1, "genome")))
    again = encoding.decode(encoding.fit(mask))
    assert np.count_nonzero(mask & again) > 0.9 * problem.n_kept


def test_the_fit_has_the_mask_s_degrees() -> None:
    """A logistic regression's expected sums are those of the data (maximum likelihood of an exponential family)."""
    problem, _ = closed_form_problem(10, sparsity=0.7)
    encoding = make_encoding("degrees(alpha=0)", problem)
    assert isinstance(encoding, EdgeSums)
    mask = problem.space.random(problem.n_kept, stream(2, "mask"))
    expected = expit(encoding.scores(encoding.fit(mask)).astype(float))
    for layer in problem.space.layers:
        for axis in (0, 1):
            degrees = mask[layer.span].reshape(layer.shape).sum(axis)
            assert np.abs(expected[layer.span].reshape(layer.shape).sum(axis) - degrees).max() < 0.05


def test_bits_and_layer_densities_are_fitted_exactly() -> None:
    problem, _ = closed_form_problem(10, sparsity=0.8)
    mask = problem.space.random(problem.n_kept, stream(3, "mask"))
    bits, density = make_encoding("swap", problem), make_encoding("layer-density", problem)
    assert np.array_equal(bits.decode(bits.fit(mask)), mask)
    fitted = density.decode(density.fit(mask))
    assert np.abs(problem.space.counts(fitted) - problem.space.counts(mask)).max() <= 1


def test_what_cannot_be_fitted_says_so() -> None:
    problem, _ = closed_form_problem(10)
    with pytest.raises(InvalidValue, match="LowRankEncoding cannot be fitted"):
        make_encoding("low-rank", problem).fit(problem.space.random(problem.n_kept, stream(0, "mask")))
    channels, _ = closed_form_problem(10, sparsity=0.5, granularity="channel")
    mask = channels.space.random(channels.n_kept, stream(0, "mask"))
    with pytest.raises(InvalidValue, match="fit masks of weights"):
        make_encoding("neurons", channels).fit(mask)


def test_the_command_compares_the_ticket_with_what_is_left_of_it(cli: Cli, tmp_path: Path) -> None:
    result = run(tmp_path, "imp", "tests.helpers.tiny:task", settings={"rounds": 2})  # type: ignore[arg-type]
    words = ["encode", result.run, "--encoding", "degrees", "--encoding", "swap", "--orders", "2"]
    done = cli(*words, "--json")
    assert done.code == 0, done.err
    rows = {row["name"]: row for row in json.loads(done.out)}
    assert list(rows) == [
        "the ticket", "layer counts kept", "fan-in kept", "fan-out kept", "both degrees kept", "degrees", "swap",
    ]  # fmt: skip
    assert rows["the ticket"]["test_accuracy"] == pytest.approx(result.test_accuracy)  # the same trainings
    assert rows["swap"]["test_accuracy"] == pytest.approx(result.test_accuracy)
    assert rows["the ticket"]["overlap"] == rows["swap"]["overlap"] == 1
    assert 0 < rows["layer counts kept"]["overlap"] < 1
    assert rows["degrees"]["numbers"] == 8 + 2 * (12 + 10) + 3 + 3
    assert "overlap with the ticket" in cli(*words).out


def test_tickets_of_channels_and_unknown_encodings_are_refused(cli: Cli, tmp_path: Path) -> None:
    result = run(tmp_path, "magnitude", "tests.helpers.tiny:task", granularity="channel", sparsity=0.5)  # type: ignore[arg-type]
    assert "take one of weights" in cli("encode", result.run).err
    assert "unknown encoding 'nurons'" in cli("encode", result.run, "--encoding", "nurons").err
