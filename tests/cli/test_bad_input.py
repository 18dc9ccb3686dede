"""Whatever is given: an error of ours or a right answer, never a traceback and never a silent acceptance.

``TICKETSEARCH_EXAMPLES=10000`` asks for more examples than the suite's.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ticketsearch
from tests.helpers import tiny
from tests.helpers.runs import run
from ticketsearch import MaskProblem, plugins
from ticketsearch.cli import main
from ticketsearch.cli.options import parse_settings
from ticketsearch.cost import parse_epochs, parse_seconds, parse_steps
from ticketsearch.errors import BudgetExhausted, StrategyError, TicketsearchError, UsageError
from ticketsearch.report.commands import _is_toml
from ticketsearch.seeds import parse_seeds
from ticketsearch.strategies.base import make_strategy, parameters_of
from ticketsearch.studies.study import planned, read_study

EXAMPLES = int(os.environ.get("TICKETSEARCH_EXAMPLES", "30"))
many = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)

# Numbers and near-numbers, units and near-units, and anything.
words = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[-+]?[0-9.e\u0661\u00b2\u00bd,_ -]{0,8}(ep|EP|step|steps|s|min|h|d|%)?", fullmatch=True),
    st.sampled_from(
        [
            "nan",
            "inf",
            "1e999ep",
            "1e400s",
            "0" * 5000 + "1",
            "9" * 5000,
            "9" * 400 + "ep",
            "\u0661ep",
            "\u00b2",
            "1_0",
            "0x10",
            "1e-400ep",
            "--1",
            "None",
            "true",
            "1ep\n",
            "\0",
            "1e9ep",
            "0.0000001ep",
            "1h",
            "0-9999",
            "0-99999",
            "5-1",
            "1,,2",
            "1,1",
            "99999999999999999999",
        ]
    ),
)


@many
@given(words)
def test_durations_times_and_seeds(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 < parse_epochs(text) <= 1e9
    with contextlib.suppress(UsageError):
        assert 0 < parse_seconds(text) <= 1e8
    with contextlib.suppress(UsageError):
        steps = parse_steps(text, 20)
        assert isinstance(steps, int)
        assert 0 <= steps <= 1e12
    with contextlib.suppress(UsageError):
        seeds = parse_seeds(text)
        assert len(set(seeds)) == len(seeds) > 0
        assert all(0 <= seed < 2**63 for seed in seeds)


@many
@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), words))
def test_steps_of_any_type(value: Any) -> None:
    try:
        steps = parse_steps(value, 7)
    except UsageError as error:
        assert str(value)[:20] in str(error) or repr(value)[:20] in str(error)  # noqa: PT017 - it names the value
    else:
        assert isinstance(steps, int)
        assert not isinstance(value, bool | float)


values = st.one_of(
    st.text(max_size=8),
    st.integers(-3, 3).map(str),
    st.integers().map(str),
    st.floats().map(repr),
    words,
    st.sampled_from(
        [
            "true",
            "none",
            "[]",
            '["snip"]',
            "[1, 2",
            "{a = 1}",
            "1\nb = 2",
            "swap",
            "seeded",
            "magnitude",
            "2024-01-01",
            "[[[[[]]]]]",
            "[" * 2000,
            "nan",
            "-inf",
            "'",
            '"""',
            "1e400",
            "0.5",
            "1ep",
            "20%",
        ]
    ),
)


@many
@given(st.sampled_from(sorted({one.name for one in plugins.available(plugins.STRATEGIES)})), st.data())
def test_settings_of_every_strategy(name: str, data: st.DataObject) -> None:
    known = list(parameters_of(make_strategy(name, {})))
    keys = st.one_of(st.sampled_from([*known, "x"]), st.text(max_size=5))
    pairs = data.draw(st.lists(st.tuples(keys, values), max_size=3))
    try:
        parsed = parse_settings([f"{key}={value}" for key, value in pairs])
        strategy = make_strategy(name, parsed)
    except UsageError:
        return
    parameters = parameters_of(strategy)
    assert json.loads(json.dumps(parameters, allow_nan=False)) == parameters  # a spec can be made of it
    assert parameters_of(make_strategy(name, parameters)) == parameters
    assert set(parsed) <= set(parameters)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 2000, "{a = " * 2000], ids=["digits", "lists", "tables"])
def test_what_python_cannot_read_is_an_error(tmp_path: Path, text: str) -> None:
    """It reads no integer of more than 4,300 digits and no lists a thousand deep."""
    assert parse_settings([f"rounds={text}"]) == {"rounds": text.strip()}
    with pytest.raises(UsageError, match="strategy 'imp': rounds = "):
        make_strategy("imp", {"rounds": text})
    (tmp_path / "study.toml").write_text(f"seeds = {text}")
    with pytest.raises(UsageError, match=r"study\.toml is not TOML"):
        read_study(tmp_path / "study.toml")
    assert _is_toml(text.strip()) is False


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_settings_are_finite(value: str) -> None:
    for strategy in ("imp", "early-bird"):
        with pytest.raises(UsageError, match=r"l1 = .*finite number|l1 = .*greater than or equal"):
            make_strategy(strategy, {"l1": float(value)})


@many
@given(
    sparsity=st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -0.0, math.nextafter(1, 0)])),
    seed=st.one_of(st.integers(), st.booleans(), st.floats(), st.none()),
    orders=st.one_of(st.integers(), st.floats(), st.none()),
    checkpoints=st.one_of(st.integers(), st.floats(), st.booleans()),
    budget=words,
    fidelity=st.one_of(st.none(), st.integers(), words),
    time_limit=st.one_of(st.none(), words),
    device=st.text(max_size=6),
    engine=st.text(max_size=6),
    controls=st.lists(st.text(max_size=4), max_size=2),
)
def test_arguments_of_runs(tmp_path_factory: pytest.TempPathFactory, **arguments: Any) -> None:
    """Each on its own; what happens to be right is not run, because something else is wrong."""
    out = tmp_path_factory.getbasetemp() / "never"
    for name, value in arguments.items():
        good = {"seed": -1} if name == "budget" else {"budget": "0.001ep"}
        with pytest.raises(TicketsearchError) as error:
            ticketsearch.run("random", TASK, out=out, **{**good, name: value})
        assert error.value.exit_code == 2
    assert not out.exists()


TASK = tiny.make_task()

keys = st.sampled_from(
    [
        "strategies",
        "tasks",
        "sparsities",
        "seeds",
        "budget",
        "fidelity",
        "orders",
        "controls",
        "checkpoints",
        "frontier",
        "baselines",
        "out",
        "device",
        "engine",
        "grid",
        "grids",
        "x",
        "sparsity",
        "settings",
        "name",
    ]
)
toml = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(str),
        st.floats().map(lambda x: repr(x).replace("e+", "e")),
        st.booleans().map(lambda x: str(x).lower()),
        words.map(json.dumps),
        st.just("1979-05-27T07:32:00Z"),
        st.sampled_from(
            [
                '"ga"',
                '"0-3"',
                "[0, 1]",
                '["ga", "imp"]',
                "[0.9]",
                '"20ep"',
                '{name = "ga"}',
                "07:32:00",
                '{name = "ga", population = 4}',
                "{name = 3}",
                "[{population = 4}]",
                "[nan]",
                "[1.0]",
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(keys, inner, max_size=2).map(lambda d: f"{{{', '.join(f'{k} = {v}' for k, v in d.items())}}}"),
    ),
    max_leaves=5,
)


@many
@given(
    st.lists(
        st.one_of(st.tuples(keys, toml).map(" = ".join), st.sampled_from(["[[grid]]", "[grid]", "[x]", "%"])),
        max_size=6,
    )
)
def test_studies(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "study.toml"
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    try:
        study = read_study(path)
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    for grid in study.grids:
        assert all(0 <= sparsity < 1 for sparsity in grid.sparsities)
        parse_epochs(grid.budget)
    assume(sum(len(g.seeds) * len(g.tasks) * len(g.sparsities) for g in study.grids) < 200)
    assert len(planned(study)) > 0


@many
@given(st.binary(max_size=60))
def test_studies_of_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "study.toml"
    path.write_bytes(content)
    with contextlib.suppress(UsageError):
        assert planned(read_study(path))


dtypes = st.sampled_from([np.bool_, np.int64, np.float32, np.uint8, np.object_, np.str_])
shapes = st.lists(st.sampled_from([0, 1, 2, tiny.SIZE, tiny.SIZE - 1]), max_size=3).map(tuple)


@many
@given(dtypes, shapes, st.integers(0, 2**32), st.one_of(st.none(), st.integers(-2, 40), st.floats(), st.booleans()))
def test_masks(dtype: Any, shape: tuple[int, ...], seed: int, fidelity: Any) -> None:
    problem = tiny.make_problem(3.0)
    rng = np.random.Generator(np.random.PCG64(seed))
    masks = rng.integers(0, 2, size=shape).astype(dtype)
    if len(shape) == 2 and shape[1] == tiny.SIZE and seed % 2:
        masks = tiny.masks_of(problem, shape[0], seed).astype(dtype) if shape[0] else masks
    before = problem.spent.thirds
    try:
        scores = problem.evaluate(masks, fidelity)
    except StrategyError:
        assert problem.spent.thirds == before  # refused before it cost anything
    except BudgetExhausted:
        assert problem.spent.thirds <= 3 * 3 * 300
    else:
        assert masks.dtype == np.bool_
        assert masks.shape == (len(scores), tiny.SIZE)
        assert (masks.sum(1) == problem.n_kept).all()


@many
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    )
)
def test_masks_of_any_shape_in_python(masks: Any) -> None:
    problem: MaskProblem = tiny.make_problem(3.0)
    with pytest.raises(StrategyError, match="masks must be booleans"):
        problem.evaluate(masks)


# Run folders that are none.

kinds = st.sampled_from(["absent", "empty", "folder", "link to nowhere", "link to itself", "text", "json", "bytes"])


def make(path: Path, kind: str) -> None:
    match kind:
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "link to nowhere":
            path.symlink_to("nowhere")
        case "link to itself":
            path.symlink_to(path.name)
        case "text":
            path.write_text("hello")
        case "json":
            path.write_text('{"digest": 1, "seed": [{}]}')
        case "bytes":
            path.write_bytes(bytes(range(256)))


@many
@given(st.lists(kinds, min_size=6, max_size=6), st.sampled_from(["a-run", "."]))
def test_folders(tmp_path_factory: pytest.TempPathFactory, made: list[str], place: str) -> None:
    out = tmp_path_factory.mktemp("folders", numbered=True)
    folder = out / place
    folder.mkdir(exist_ok=True)
    for name, kind in zip(
        ("spec.json", "result.json", "ledger.sqlite", "ticket.safetensors", ".lock", "resume"), made, strict=True
    ):
        make(folder / name, kind)
    for command in (["report", out], ["report", folder], ["verify", folder], ["report", folder / "spec.json"]):
        code, stdout, stderr = command_line(*command)
        assert code in (0, 1, 2), stderr
        assert "Traceback" not in stdout + stderr
        assert all(line.startswith(("ticketsearch: error: ", "warning: ")) for line in stderr.splitlines())
    with contextlib.suppress(TicketsearchError):
        run(out, budget="2ep")


def command_line(*arguments: object) -> tuple[int, str, str]:
    """Through the console script's entry point, in this process."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["ticketsearch", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
            main()
    finally:
        sys.argv = argv
    code = stop.value.code
    return (code if isinstance(code, int) else 0), out.getvalue(), err.getvalue()


# Command lines of which at least one part is wrong.

BAD: dict[str, Callable[[], st.SearchStrategy[list[str]]]] = {
    "run": lambda: st.sampled_from(
        [
            ["--seed", "x"],
            ["--seed"],
            ["--sparsity", "half"],
            ["--sparsity", "1"],
            ["--budget", "1"],
            ["--nonsense"],
            ["--engine", "steam"],
            ["--orders", "1.5"],
            ["--time-limit", "0s"],
            ["--set", "=1"],
            ["--control", "no"],
            ["--fidelity", "1e99ep"],
            ["--device", "abacus"],
            ["--task", ":"],
            ["--task", "a:b:c"],
            ["--json=yes"],
            ["word"],
            ["--checkpoints", "3"],
            ["--data-root"],
            ["--strategy", ""],
            ["--budget", "0.01ep"],
            ["--task-set", "x"],
            ["--task-set", "size=3"],
        ]
    ),
    "report": lambda: st.sampled_from([["--sgv", "x"], ["a", "b"], ["/nowhere"], ["--svg"], ["--json", "--markdown"]]),
    "compare": lambda: st.sampled_from(
        [
            ["/nowhere.toml"],
            ["--seeds", "x"],
            ["--jobs", "0"],
            ["--jobs", "many"],
            ["--strategies", "a,,b"],
            ["--orders", "0"],
            ["--sparsities", "x"],
            ["--checkpoints", "-1"],
            ["--budget", "1"],
            ["a", "b"],
            ["--seeds", "5-1"],
        ]
    ),
    "ablate": lambda: st.sampled_from(
        [["--criteria", "no"], ["--mask-1", "no"], ["--seeds", "-"], ["--sparsity", "2"]]
    ),
    "verify": lambda: st.sampled_from([[], ["/nowhere"], ["--trials", "-1", "x"], ["--trials", "few", "x"]]),
    "strategies": lambda: st.sampled_from([["show"], ["show", "no"], ["--sort"], ["word"]]),
    "tasks": lambda: st.sampled_from([["word"], ["show"], ["show", "no"], ["show", "no.such:task"], ["--x"]]),
    "check": lambda: st.sampled_from([[], ["no-such"], ["ga", "--timeout", "0"], ["ga", "--set", "x"]]),
    "new-strategy": lambda: st.sampled_from([[], ["Bad Name"], ["x", "--kind", "no"]]),
    "new-task": lambda: st.sampled_from([[], ["../x"]]),
    "nonsense": lambda: st.just([]),
}


@many
@given(st.sampled_from(sorted(BAD)), st.data())
def test_command_lines(tmp_path_factory: pytest.TempPathFactory, command: str, data: st.DataObject) -> None:
    bad = data.draw(BAD[command]())
    good = (
        ["--strategy", "random", "--task", "tests.helpers.tiny:task", "--budget", "0.001ep"] if command == "run" else []
    )
    more = data.draw(st.lists(st.one_of(words, st.sampled_from(["--json", "--help=", "--", "-", "-x"])), max_size=1))
    arguments = [command, *good, *bad, *(more if bad else [])]
    with contextlib.chdir(tmp_path_factory.mktemp("cwd")):
        code, stdout, stderr = command_line(*arguments)
        assert code in (1, 2), (arguments, stdout, stderr)
        assert stdout == ""
        lines = stderr.splitlines()
        assert lines, arguments
        assert all(line.startswith(("ticketsearch: error: ", "warning: ", "failed: ", "[")) for line in lines), stderr


def test_usage_errors_are_a_line_that_names_the_help() -> None:
    for arguments, words_of_it in {
        ("run",): "Missing option '--strategy'; see 'ticketsearch run --help'",
        ("run", "--seed", "x"): "Invalid value for '--seed': ",
        ("run", "--sede", "1"): "No such option: --sede",
        ("nonsense",): "No such command 'nonsense'",
    }.items():
        code, stdout, stderr = command_line(*arguments)
        assert (code, stdout) == (2, "")
        [line] = stderr.splitlines()
        assert line.startswith("ticketsearch: error: ")
        assert words_of_it in line


def test_without_arguments_there_is_help() -> None:
    code, stdout, stderr = command_line()
    assert code in (0, 2)
    assert "Usage: ticketsearch" in stdout + stderr
    assert "ticketsearch: error" not in stderr


def test_output_that_goes_nowhere_is_an_error_in_a_line(tmp_path: Path) -> None:
    import subprocess

    from tests.helpers.commands import ROOT

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ticketsearch", "strategies", "--json"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "ticketsearch: error: output: No space left on device\n")
