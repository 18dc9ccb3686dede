"""The table of criterion x mask-1 x mask-0: which cells, what is in them, and that they are paired."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.commands import Cli
from ticketsearch.arrays import FloatArray
from ticketsearch.engine import batch_indices
from ticketsearch.errors import CorruptRun, InvalidValue, UnknownName
from ticketsearch.leaderboard.table import Estimate
from ticketsearch.masks import top_per_layer
from ticketsearch.masks.actions import MASK_0, MASK_1
from ticketsearch.masks.ticket import Ticket
from ticketsearch.report.ablation import rows_of
from ticketsearch.runner.confirm import population
from ticketsearch.seeds import stream
from ticketsearch.studies.ablation import CRITERIA, Cell, Plan, SeedOutcome, _counts, ablate, cells_of
from ticketsearch.tasks.layout import read_weights

BASE = Cell("large_final", "rewind", "zero")


def test_one_thing_is_varied_at_a_time_or_all_are() -> None:
    star = cells_of()
    assert len(star) == len(CRITERIA) + len(MASK_1) + len(MASK_0) - 2
    assert star[0] == BASE
    for cell in star:
        names = zip((cell.criterion, cell.mask_1, cell.mask_0), ("large_final", "rewind", "zero"), strict=True)
        assert sum(own != base for own, base in names) <= 1
    product = cells_of(product=True)
    assert len(set(product)) == len(product) == len(CRITERIA) * len(MASK_1) * len(MASK_0)
    assert set(star) <= set(product)
    assert cells_of(["movement"], ["constant"], ["freeze"]) == [Cell("movement", "constant", "freeze")]


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        ({"criteria": ["large_finale"]}, UnknownName, "did you mean 'large_final'"),
        ({"criteria": ["snip"]}, InvalidValue, "needs more than weights"),
        ({"criteria": []}, InvalidValue, "no criteria"),
        ({"mask_1": ["zero"]}, UnknownName, "mask-1"),
        ({"mask_0": ["rewind"]}, UnknownName, "mask-0"),
    ],
)
def test_names_that_make_no_table_are_refused(names: dict[str, list[str]], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        cells_of(**names)  # type: ignore[arg-type]


def test_a_cell_is_what_it_says(tmp_path: Path) -> None:
    """Two cells, worked out with the engine alone."""
    task = tiny.make_task()
    engine = tiny.dense_engine(task)
    cells = [BASE, Cell("movement", "flip-sign", "freeze")]
    [found] = ablate(task, Plan(cells, sparsity=0.8, seeds=[3]), out=tmp_path, engine="dense")
    initial = read_weights(task.build(3), engine.layout)

    def trained(ticket: Ticket, order: str = "batches") -> tuple[FloatArray, float, float]:
        batches = batch_indices(300, 30, 60, stream(3, "ablation", order))
        job = population([ticket], initial, task.recipe, batches)
        [(weights, _)] = engine.train(job, (60,))
        before, after = (engine.measure(w, task.test).accuracy[0] for w in (job.start, weights))
        return weights.vector[0], float(before), float(after)

    space = engine.layout.space
    final, _, dense = trained(Ticket(np.ones(space.size, dtype=bool)), "dense")
    counts = [round(0.2 * layer.size) for layer in space.layers]
    assert sum(counts) == space.n_kept(0.8)
    plain = top_per_layer(np.abs(final), counts, space)
    moved = top_per_layer(np.abs(final - initial.vector), counts, space)
    flipped = type(initial)(-initial.vector, initial.rest)
    expected = [trained(Ticket(plain)), trained(Ticket(moved, flipped, held=initial.vector))]
    assert found.dense_test_accuracy == dense
    assert [(o.untrained_test_accuracy, o.test_accuracy) for o in found.outcomes] == [one[1:] for one in expected]


def test_a_cell_does_not_depend_on_the_others(tmp_path: Path) -> None:
    task = tiny.make_task()
    [together] = ablate(task, Plan(cells_of(), seeds=[0]), out=tmp_path)
    for cell in (Cell("random", "rewind", "zero"), Cell("large_final", "reshuffle", "zero")):
        [alone] = ablate(task, Plan([cell], seeds=[0]), out=tmp_path)
        assert alone.outcomes[0] in together.outcomes


def test_what_a_seed_gave_is_kept_and_damage_is_named(tmp_path: Path) -> None:
    task, told = tiny.make_task(), []
    first = ablate(task, Plan([BASE], seeds=[0, 1]), out=tmp_path)
    again = ablate(task, Plan([BASE], seeds=[0, 1, 2]), out=tmp_path, tick=lambda what, _: told.append(what))
    assert again[:2] == first
    assert all("seed 2" in what or what == "dense network" for what in told)
    assert told
    [path] = tmp_path.glob("*/seed-1.json")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptRun, match=r"seed-1\.json is damaged"):
        ablate(task, Plan([BASE], seeds=[0, 1]), out=tmp_path)


def outcome(seed: int, *accuracies: float) -> SeedOutcome:
    cells = [{"criterion": name, "mask_1": "rewind", "mask_0": "zero"} for name in CRITERIA]
    outcomes = [
        cell | {"test_accuracy": accuracy, "untrained_test_accuracy": accuracy / 2}
        for cell, accuracy in zip(cells, accuracies, strict=False)
    ]
    values = {"task": "t", "sparsity": 0.9, "seed": seed, "dense_test_accuracy": 0.8, "outcomes": outcomes}
    return SeedOutcome.model_validate(values)


def test_differences_are_paired_by_seed() -> None:
    base, other = rows_of([outcome(0, 0.5, 0.4), outcome(1, 0.6, 0.52), outcome(2, 0.7, 0.61)])
    assert other.difference == Estimate.of([0.4 - 0.5, 0.52 - 0.6, 0.61 - 0.7])
    assert other.trained == Estimate.of([0.4, 0.52, 0.61])
    assert base.difference == Estimate(0.0, 0.0)
    assert base.untrained == Estimate.of([0.25, 0.3, 0.35])


def test_the_command_prints_a_table_and_draws_a_picture(cli: Cli, tmp_path: Path) -> None:
    options = [
        "--task",
        "tests.helpers.tiny:task",
        "--out",
        tmp_path,
        "--seeds",
        "0-1",
        "--criteria",
        "large_final,random",
    ]
    options += ["--mask-1", "rewind", "--mask-0", "zero,freeze"]
    shown = cli("ablate", *options, "--svg", tmp_path / "a.svg")
    assert shown.code == 0
    assert "tiny at sparsity 0.9, 2 seeds" in shown.out
    assert "freeze" in shown.out
    picture = (tmp_path / "a.svg").read_text()
    assert picture.count("<circle") == 2 * 3  # trained and untrained
    machine = cli("ablate", *options, "--json")
    assert [seed["seed"] for seed in json.loads(machine.out)] == [0, 1]
    table = cli("ablate", *options, "--markdown").out.splitlines()
    assert len([line for line in table if line.startswith("| ")]) == 1 + 3


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--seeds", "4-1", "4-1"),
        ("--seeds", "0,0", "twice"),
        ("--seeds", "a", "'a'"),
        ("--seeds", "0-99999", "99999"),
        ("--criteria", "random,", "list"),
        ("--mask-1", "rewindd", "rewind"),
        ("--sparsity", "1.0", "1.0"),
    ],
)
def test_bad_arguments_are_one_line(cli: Cli, tmp_path: Path, option: str, value: str, named: str) -> None:
    outcome = cli("ablate", "--task", "tests.helpers.tiny:task", "--out", tmp_path / "none", option, value)
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert named in outcome.err
    assert not (tmp_path / "none").exists()


def test_the_output_layer_may_be_pruned_at_half_the_rate(tmp_path: Path) -> None:
    space = tiny.dense_engine(tiny.make_task()).layout.space
    counts = _counts(space, 0.8, 0.5)
    assert counts.sum() == space.n_kept(0.8)
    sparsities = 1 - counts / space.sizes
    assert sparsities[0] == pytest.approx(sparsities[1], abs=0.01)
    assert sparsities[-1] == pytest.approx(sparsities[0] / 2, abs=0.02)  # of 30 weights
    assert _counts(space, 0.8, 1.0).tolist() == [round(0.2 * layer.size) for layer in space.layers]
    for rate, match in ((0.0, "output_rate 0.0"), (2.0, "output_rate 2.0"), (0.5, "empty")):
        with pytest.raises(InvalidValue, match=match):
            _counts(space, 0.8 if match != "empty" else 0.97, rate if match != "empty" else 0.01)
