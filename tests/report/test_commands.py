"""The printed commands make the same runs again."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Cli
from tests.helpers.studies import EVIL, made
from ticketsearch.cli.options import parse_settings
from ticketsearch.records.results import read_result
from ticketsearch.report.commands import OUT, command_of, commands_of


@pytest.mark.parametrize(
    "arguments",
    [
        ["--strategy", "random", "--budget", "6.25ep", "--control", "shuffle-mask", "--checkpoints", "2"],
        [
            "--strategy",
            "imp",
            "--set",
            "rounds=2",
            "--set",
            "round_steps=50%",
            "--budget",
            "200ep",
            "--sparsity",
            "0.8",
        ],
        ["--strategy", "ga", "--set", "population=4", "--budget", "12ep", "--fidelity", "7step", "--seed", "3"],
    ],
)
def test_a_repeated_command_is_the_same_run(cli: Cli, tmp_path: Path, arguments: list[str]) -> None:
    first = cli("run", "--task", "tests.helpers.tiny:task", "--orders", "1", "--out", tmp_path / "a", *arguments)
    assert first.code == 0, first.err
    [folder] = [path for path in (tmp_path / "a").iterdir() if path.is_dir()]
    words = shlex.split(command_of(read_result(folder)))
    assert words[0] == "ticketsearch"
    words[words.index("--task") + 1] = "tests.helpers.tiny:task"  # a task that is not built in goes by its function
    words[words.index("--out") + 1] = str(tmp_path / "b")
    again = cli(*words[1:])
    assert again.code == 0, again.err
    assert [path.name for path in (tmp_path / "b").iterdir() if path.is_dir()] == [folder.name]  # the same spec
    assert read_result(tmp_path / "b" / folder.name).mask_digest == read_result(folder).mask_digest


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        1e-12,
        float("inf"),
        "5%",
        "a b",
        "12",
        "true",
        "[1]",
        EVIL,
        ["a", "b"],
        [1, 2],
        "#",
        " padded ",
        'quote " and \\',
        "it's",
        "1979-05-27",
    ],
)
def test_settings_survive_shell_and_parser(value: Any) -> None:
    words = shlex.split(command_of(made("ga", 0, 0.9, 0.1, 1.0, parameters={"x": value})))
    [pair] = [word for word in words if word.startswith("x=")]
    assert parse_settings([pair]) == {"x": value}


def test_runs_that_differ_in_their_seed_are_a_loop_a_shell_can_run() -> None:
    results = [made("ga", seed, 0.9, 0.1, 1.0, parameters={"x": EVIL, "y": "$HOME `id`"}) for seed in (2, 0, 1)]
    [loop] = commands_of(results)
    shell = "ticketsearch() { for word in \"$@\"; do printf '%s\\0' \"$word\"; done; printf '\\n'; }; " + loop
    lines = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    ordered = sorted(results, key=lambda one: one.seed)
    assert [line.rstrip("\0").split("\0") for line in lines] == [shlex.split(command_of(one))[1:] for one in ordered]


def test_a_single_run_is_a_single_command() -> None:
    one = made("ga", 7, 0.9, 0.1, 1.0)
    assert commands_of([one]) == [command_of(one)]
    assert command_of(one).endswith(f"--seed 7 --out {OUT}")


def test_runs_asked_for_differently_have_commands_of_their_own() -> None:
    results = [made("ga", seed, 0.9, 0.1, 1.0, checkpoints=count) for seed, count in enumerate((8, 8, 2))]
    commands = commands_of([*results, made("ga", 3, 0.9, 0.1, 1.0, checkpoints=2, time_limit_s=90.0)])
    assert ["for seed in 0 1;" in command for command in commands] == [True, False, False]
    assert ["--checkpoints 8" in command for command in commands] == [True, False, False]
    assert ["--time-limit 90s" in command for command in commands] == [False, False, True]
