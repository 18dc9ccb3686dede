"""Layers left dense: in every scope, granularity and interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from ticketsearch import Result
from ticketsearch.engine import make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard import build, load_study
from ticketsearch.tasks import keeping
from ticketsearch.tasks.modules import is_kept

LAYERS = [layer.name for layer in tiny.make_task().layout.space.layers]
FIRST, *_, LAST = LAYERS


def run(out: Path, strategy: str = "magnitude", **options: Any) -> Result:
    defaults: dict[str, Any] = {"sparsity": 0.5, "budget": "20ep", "orders": 1, "checkpoints": 0, "keep": [LAST]}
    return ticketsearch.run(strategy, tiny.make_task(), out=out, **defaults | options)


@pytest.mark.parametrize("granularity", ["weight", "2:4", "channel"])
@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        ("magnitude", {"scope": "global"}),
        ("magnitude", {"scope": "layer"}),
        ("imp", {"rounds": 2, "scope": "layer"}),
        ("imp", {"rounds": 2}),
        ("random", {}),
        ("ga", {"population": 4}),
        ("snip", {}),
    ],
)
def test_what_is_kept_is_whole_and_no_part_of_the_sparsity(
    strategy: str, settings: dict[str, Any], granularity: str, tmp_path: Path
) -> None:
    result = run(tmp_path, strategy, settings=settings, granularity=granularity, keep=[FIRST])
    assert result.left_dense == {FIRST: f"keep {FIRST}"}
    assert FIRST not in [layer.name for layer in result.layers]
    sizes = {layer.name: layer.size for layer in tiny.make_task().layout.space.layers}
    assert result.n_weights == sum(sizes.values()) - sizes[FIRST]
    assert result.n_units is not None
    assert result.n_units_kept == result.n_units - round(0.5 * result.n_units)
    ticket = ticketsearch.load_ticket(result.run)
    assert FIRST not in ticket.masks()
    trained = ticket.state_dict(trained=True)[FIRST]
    dense = ticket.state_dict()[FIRST]
    assert np.count_nonzero(trained) == trained.size  # none is pruned
    assert not np.array_equal(trained, dense)  # and all are trained


@pytest.mark.parametrize("strategy", ["imp", "random"])
def test_the_engines_agree(strategy: str, tmp_path: Path) -> None:
    settings = {"rounds": 2} if strategy == "imp" else {}
    dense, sparse = (run(tmp_path / one, strategy, settings=settings, engine=one) for one in ("dense", "sparse"))
    assert dense.n_weights == sparse.n_weights
    assert dense.cost.dense_flops == sparse.cost.dense_flops
    assert dense.test_accuracy == pytest.approx(sparse.test_accuracy, abs=0.1)
    found = [make_engine(keeping(tiny.make_task(), [FIRST]), engine=one).layout for one in ("dense", "sparse")]
    assert found[0].space.layers == found[1].space.layers
    assert found[0].rest_shapes == found[1].rest_shapes


def test_open_lth_s_recipe_can_be_written(tmp_path: Path) -> None:
    """20 % of what is left, globally, each round; the output layer is not pruned."""
    result = run(tmp_path, "imp", sparsity=1 - 0.8**3, settings={"rate": 0.2, "scope": "global"}, budget="60ep")
    size = result.n_weights
    assert [one.n_kept for one in result.rounds] == [size, round(0.8 * size), round(0.64 * size), result.n_kept]
    assert LAST not in ticketsearch.load_ticket(result.run).masks()


def test_flops_of_kept_layers_are_paid_for(tmp_path: Path) -> None:
    plain, kept = (run(tmp_path / str(len(names)), "snip", keep=names) for names in ([], [FIRST]))
    assert kept.cost.dense_flops == plain.cost.dense_flops  # of the whole network, both
    assert kept.cost.train_examples == plain.cost.train_examples


@pytest.mark.parametrize(
    ("name", "patterns", "kept"),
    [
        ("blocks.0.norm.weight", ("blocks.0.norm.weight",), True),
        ("blocks.0.norm.weight", ("blocks.0.norm",), True),
        ("blocks.0.norm.weight", ("blocks",), True),
        ("blocks.0.norm.weight", ("blocks.*.norm",), True),
        ("blocks.0.norm.weight", ("*norm*",), True),
        ("blocks.10.norm.weight", ("blocks.?.norm",), False),
        ("blocks.1.norm.weight", ("blocks.[0-2].norm",), True),
        ("blocks.0.norm.weight", ("norm", "block", "Blocks"), False),
        ("head.weight", (), False),
    ],
)
def test_names_and_patterns(name: str, patterns: tuple[str, ...], kept: bool) -> None:
    assert (is_kept(name, patterns) is not None) == kept


def test_what_names_nothing_or_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=f"keep 'hed' names none of its layers: .*{LAST.removesuffix('.weight')}"):
        run(tmp_path, keep=["hed"])
    with pytest.raises(InvalidValue, match="every layer is left dense"):
        run(tmp_path, keep=["*"])
    with pytest.raises(InvalidValue, match="not a list of names"):
        run(tmp_path, keep=[1])


def test_on_the_command_line_and_in_a_study(cli: Cli, tmp_path: Path) -> None:
    words = ["--task", "tests.helpers.tiny:task", "--sparsity", "0.5", "--budget", "20ep", "--orders", "1"]
    words += ["--checkpoints", "0"]
    name = LAST.removesuffix(".weight")
    done = cli("run", "--strategy", "magnitude", *words, "--keep", name, "--out", tmp_path / "a", "--json")
    found = json.loads(done.out)
    assert (found["keep"], found["left_dense"]) == ([name], {LAST: f"keep {name}"})
    refused = cli("run", "--strategy", "magnitude", *words, "--keep", "hed", "--out", tmp_path / "a")
    assert refused.code == 2
    assert len(refused.err.strip().splitlines()) == 1
    study = tmp_path / "study.toml"
    study.write_text(
        f'out = "{tmp_path / "b"}"\nseeds = [0]\ntasks = ["tests.helpers.tiny:task"]\nkeep = ["{name}"]\n'
        "controls = []\n"
        "orders = 1\ncheckpoints = 0\nfrontier = false\nbaselines = false\n"
        '[[grid]]\nsparsities = [0.5]\nbudget = "20ep"\nstrategies = ["magnitude", "random"]\n'
    )
    assert cli("compare", study).code == 0
    [group] = build(load_study(tmp_path / "b").results)
    assert f"({'weight'}, {name} dense)" in group.task
    compared = cli(
        "compare",
        "--strategies",
        "magnitude",
        "--tasks",
        "tests.helpers.tiny:task",
        "--sparsities",
        "0.5",
        "--seeds",
        "0",
        "--budget",
        "20ep",
        "--orders",
        "1",
        "--checkpoints",
        "0",
        "--no-controls",
        "--no-frontier",
        "--keep",
        name,
        "--out",
        tmp_path / "c",
    )
    assert compared.code == 0, compared.err
    assert all(one.keep == [name] for one in load_study(tmp_path / "c").results)


def test_with_and_without_are_never_one_row(tmp_path: Path) -> None:
    for keep in ([], [FIRST]):
        run(tmp_path, keep=keep)
    assert len(build(load_study(tmp_path).results)) == 2
