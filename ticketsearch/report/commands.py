"""The commands that repeat a run, or all runs of a row of the leaderboard: quoted for a shell, nothing implied."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ticketsearch.masks.controls import NAMES as CONTROLS
from ticketsearch.records.results import Result

OUT = "repeated"
"""Where a repetition is put: in the original folder the finished run would be shown, not repeated."""
OWN = "ticketsearch"


def command_of(result: Result) -> str:
    """One run's command."""
    return shlex.join([*_words(result), "--seed", str(result.seed), "--out", OUT])


def commands_of(results: Sequence[Result]) -> list[str]:
    """The commands of runs that differ in their seed: a loop over seeds if there are several."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for result in results:
        seeds[shlex.join(_words(result))].append(result.seed)
    commands = []
    for words, own in seeds.items():
        if len(own) == 1:
            commands.append(f"{words} --seed {own[0]} --out {OUT}")
        else:
            listed = " ".join(map(str, sorted(own)))
            commands.append(f'for seed in {listed}; do {words} --seed "$seed" --out {OUT}; done')
    return commands


def _words(result: Result) -> list[str]:
    """All but the seed and the folder."""
    controls = [name for name in result.references if name in CONTROLS]
    strategy = result.strategy if result.distribution == OWN else f"{result.distribution}:{result.strategy}"
    words = ["ticketsearch", "run", "--strategy", strategy]
    for name, value in result.parameters.items():
        words += ["--set", f"{name}={_toml(value)}"]
    words += ["--task", result.task_source or result.task]
    for name, value in result.task_options.items():
        words += ["--task-set", f"{name}={_toml(value)}"]
    words += ["--sparsity", _number(result.sparsity), "--budget", f"{_number(result.budget)}ep"]
    if result.granularity != "weight":
        words += ["--granularity", result.granularity]
    for name in result.keep:
        words += ["--keep", name]
    rising = "" if result.fidelity_end is None else f"..{result.fidelity_end}step"
    words += ["--fidelity", f"{result.fidelity}step{rising}", "--orders", str(result.orders)]
    for control in controls:
        words += ["--control", control]
    words += ["--checkpoints", str(result.checkpoints)]
    if result.time_limit_s is not None:
        words += ["--time-limit", f"{_number(result.time_limit_s)}s"]
    return [*words, "--engine", result.engine, "--device", result.device]


def _number(value: float) -> str:
    """Every digit, and no ``.0``."""
    return repr(float(value)).removesuffix(".0")


def _toml(value: Any) -> str:
    """As ``--set`` reads it: TOML, ``none``, or text that cannot be taken for either."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _is_toml(value) else value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(json.dumps(item) if isinstance(item, str) else _toml(item) for item in value) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)  # infinity has no JSON


@lru_cache(maxsize=1 << 12)  # a study has few texts, and each of them often
def _is_toml(text: str) -> bool:
    """Whether a text would be read as something else than itself."""
    try:
        tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text != text.strip()
    return True
