"""Early-bird tickets of channels as published, and runs of other granularities from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from ticketsearch import Ticket, load_ticket, verify_run
from ticketsearch.arrays import BoolArray
from ticketsearch.errors import InvalidValue
from ticketsearch.strategies.early_bird import EarlyBird

RECIPE = replace(tiny.RECIPE, scale_l1=1e-4)


def problem(**options: Any) -> Any:
    return tiny.make_problem(100, task=tiny.residual(), granularity="channel", sparsity=0.5, **options)


def published(every: str, recipe: ticketsearch.Recipe = RECIPE) -> list[tuple[int, BoolArray]]:
    """Steps, and the masks the paper's algorithm would draw: the channels of the largest half of all |gamma|."""
    other, drawn = problem(), []
    names = [
        n
        for n, shape in tiny.dense_engine(tiny.residual()).layout.rest_shapes.items()
        for _ in range(int(np.prod(shape)))
    ]
    gamma = np.array([name in ("bn1.weight", "bn2.weight", "bn3.weight") for name in names])
    for snapshot in other.train(recipe=recipe, every=every):
        scales = np.abs(snapshot.weights.rest[gamma])
        drawn.append((snapshot.step, scales > np.quantile(scales, 0.5)))
    return drawn


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, None])
def test_the_draw_is_the_published_one(threshold: float | None) -> None:
    searched = problem()
    ticket = EarlyBird(every="3step", threshold=threshold).search(searched)
    drawn = published("3step")
    limit = 0.1 if threshold is None else threshold
    settled = [
        index
        for index in range(4, len(drawn))
        if all(np.count_nonzero(drawn[index][1] != drawn[index - back][1]) / 22 <= limit for back in range(1, 5))
    ]
    step, mask = drawn[settled[0] if settled else -1]
    assert searched.spent.train_examples == step * 30
    np.testing.assert_array_equal(ticket.mask, mask)
    assert searched.notes["criterion"] == "bn_scale"
    assert searched.notes["distance"] == "raw"


def test_a_mask_is_drawn_each_epoch_and_ten_times_at_least() -> None:
    short = problem()
    EarlyBird(queue=100).search(short)
    assert len(short.notes["distances"]) == 9
    task = tiny.make_task(tiny.Residual, tiny.RECIPE.lasting(150))
    longer = tiny.make_problem(100, task=task, granularity="channel", sparsity=0.5)
    EarlyBird(queue=100).search(longer)
    assert len(longer.notes["distances"]) == 14  # 15 epochs


@pytest.mark.parametrize(
    ("settings", "changes"), [({"scale_l1": 0.05}, {"scale_l1": 0.05}), ({"precision": 4}, {"precision": 4})]
)
def test_the_search_trains_as_it_was_told(settings: dict[str, Any], changes: dict[str, Any]) -> None:
    searched = problem()
    ticket = EarlyBird(every="3step", queue=100, start="draw", **settings).search(searched)
    assert ticket.weights is not None
    last = list(problem().train(recipe=replace(RECIPE, **changes)))[-1]
    np.testing.assert_array_equal(ticket.weights.vector, last.weights.vector)
    plain = list(problem().train(recipe=RECIPE))[-1]
    assert not np.array_equal(ticket.weights.vector, plain.weights.vector)


def test_one_threshold_for_each_layer_keeps_the_same_share_of_each() -> None:
    searched = problem()
    ticket = EarlyBird(criterion="large_final", scope="layer").search(searched)
    space, kept = searched.space, searched.space.counts(ticket.mask)
    assert kept.sum() == searched.n_kept
    assert np.abs(kept - 0.5 * space.sizes).max() <= 1


def test_a_drawn_ticket_goes_on_from_the_draw_without_its_dead_channels() -> None:
    searched = problem()
    ticket = EarlyBird(every="3step", threshold=1.0, start="draw").search(searched)
    assert isinstance(ticket, Ticket)
    assert ticket.step == 15
    whole = searched.units.ticket(ticket)
    started = whole.started(searched.initial_weights()).weights
    assert started is not None
    assert whole.rest_mask is not None
    assert (started.rest[~whole.rest_mask] == 0).all()
    assert (started.vector[~whole.mask] == 0).all()
    assert ticket.weights is not None
    np.testing.assert_array_equal(started.rest[whole.rest_mask], ticket.weights.rest[whole.rest_mask])


RUN = ("run", "--task", "tests.helpers.tiny:residual", "--budget", "12ep", "--orders", "2", "--json")


@pytest.mark.parametrize(
    ("strategy", "granularity", "more"),
    [
        ("early-bird", "channel", ["--sparsity", "0.5", "--set", "start=draw", "--control", "reinitialise"]),
        pytest.param("ga", "channel", ["--sparsity", "0.5", "--set", "population=4"], marks=pytest.mark.slow),
        ("magnitude", "2:4", []),
    ],
)
def test_runs_of_other_units_end_to_end(
    cli: Cli, tmp_path: Path, strategy: str, granularity: str, more: list[str]
) -> None:
    words = [*RUN, "--strategy", strategy, "--granularity", granularity, *more, "--out", tmp_path / "runs"]
    outcome = cli(*words)
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert (result["granularity"], result["sparsity"]) == (granularity, 0.5)
    assert result["n_units_kept"] * 2 == result["n_units"]
    ticket = load_ticket(result["run"])
    assert result["n_kept"] == np.count_nonzero(ticket.mask)
    assert json.loads((Path(result["run"]) / "spec.json").read_text())["granularity"] == granularity
    if granularity == "channel":
        trained = ticket.state_dict(trained=True)
        for layer, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")):
            dead = ~ticket.masks()[f"{layer}.weight"].any((1, 2, 3))
            for key in ("weight", "bias", "running_mean", "running_var"):
                np.testing.assert_array_equal(trained[f"{norm}.{key}"] == 0, dead)
    assert json.loads(cli(*words).out) == result  # found finished
    verified = verify_run(result["run"], task=tiny.residual(), trials=2)
    assert verified.differences == []
    report = cli("report", tmp_path / "runs", "--markdown")
    assert f"tiny-residual ({granularity}) at sparsity 0.5" in report.out


def test_weights_and_channels_are_never_rows_of_one_table(cli: Cli, tmp_path: Path) -> None:
    folders = set()
    for granularity in ("weight", "channel"):
        outcome = cli(*RUN, "--strategy", "snip", "--sparsity", "0.5", "--granularity", granularity, "--out", tmp_path)
        folders.add(json.loads(outcome.out)["run"])
    assert len(folders) == 2
    groups = json.loads(cli("report", tmp_path, "--json").out)["groups"]
    assert [group["task"] for group in groups] == ["tiny-residual", "tiny-residual (channel)"]


def test_a_study_may_prune_channels(cli: Cli, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        f'out = "{tmp_path}/runs"\ntasks = ["tests.helpers.tiny:residual"]\nstrategies = ["snip"]\nseeds = [0]\n'
        'budget = "12ep"\norders = 1\nfrontier = false\nbaselines = false\ncontrols = []\n'
        '[[grid]]\ngranularity = "channel"\nsparsities = [0.5]\n[[grid]]\ngranularity = "2:4"\n'
    )
    outcome = cli("compare", study, "--json")
    assert outcome.code == 0, outcome.err
    groups = json.loads(outcome.out)["groups"]
    assert {(g["task"], g["sparsity"]) for g in groups} == {
        ("tiny-residual (channel)", 0.5),
        ("tiny-residual (2:4)", 0.5),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--granularity", "filter"], "granularity 'filter' is not weight, channel or N:M"),
        (["--granularity", "2:4", "--sparsity", "0.9"], "sparsity 0.9 is not that of blocks 2:4, which is 0.5"),
        (["--granularity", "channel", "--sparsity", "0.95"], "keeps 1 of 22 channels, fewer than one in each"),
    ],
)
def test_wrong_granularities_are_one_line(cli: Cli, tmp_path: Path, words: list[str], message: str) -> None:
    outcome = cli(*RUN, "--strategy", "snip", *words, "--out", tmp_path / "runs")
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "runs").exists()


def test_a_frozen_value_of_a_pruned_channel_is_refused() -> None:
    with pytest.raises(InvalidValue, match="mask_0 'freeze': pruned channels are zero; use --granularity weight"):
        EarlyBird(mask_0="freeze").search(problem())
