"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import tiny
from tests.helpers.commands import ROOT, Cli, Outcome, python
from ticketsearch.cli.options import parse_settings
from ticketsearch.engine import make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.records.ledger import Ledger
from ticketsearch.report.progress import ProgressBar

TINY = ("run", "--task", "tests.helpers.tiny:task", "--budget", "12ep", "--orders", "2")
KEYS = {
    "strategy",
    "task",
    "seed",
    "sparsity",
    "validation_accuracy",
    "test_accuracy",
    "dense_test_accuracy",
    "random_test_accuracy",
    "cost",
    "confirmation",
    "mask_digest",
    "trials",
    "ticket",
    "run",
}
COSTS = {"epochs", "train_examples", "forward_examples", "dense_flops", "sparse_flops", "trainings", "wall_s", "cpu_s"}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Where an engine is compiled once it says so on stderr; that is over before these tests begin."""
    make_engine(tiny.make_task())


def assert_refused(outcome: Outcome, code: int = 2) -> str:
    """One line on stderr, nothing on stdout, no traceback; the line."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("ticketsearch: error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strategy", "genetc"], "unknown strategy 'genetc'"),
        (["--strategy", "imq"], "did you mean 'imp'?"),
        (["--strategy", "ga", "--task", "mnist1d"], "unknown task 'mnist1d'; did you mean 'mnist1d-mlp'"),
        (
            ["--strategy", "ga", "--task", "tests.helpers.tiny:tsak"],
            "function in tests.helpers.tiny 'tsak'; did you mean 'task'",
        ),
        (["--strategy", "ga", "--task", "nowhere.at:all"], "unknown module 'nowhere.at'"),
        (["--strategy", "ga", "--task", "not a module:x"], "not of the form package.module:function"),
        (["--strategy", "ga", "--set", "popluation=5"], "did you mean 'population'"),
        (["--strategy", "ga", "--set", "population=few"], "population = 'few'"),
        (["--strategy", "ga", "--set", "population"], "--set 'population' is not of the form KEY=VALUE"),
        (["--strategy", "ga", "--set", "elite=1", "--set", "elite=2"], "--set 'elite' is given twice"),
        (["--strategy", "optuna", "--set", "encoding=swap"], "use layer-density, neurons, criterion-mixture or seeded"),
        (["--strategy", "ga", "--set", 'encoding=criterion-mixture(criteria=["snipp"])'], "did you mean 'snip'?"),
        (["--strategy", "ga", "--sparsity", "1"], "sparsity 1.0 is outside [0, 1)"),
        (["--strategy", "ga", "--sparsity", "-0.1"], "sparsity -0.1 is outside [0, 1)"),
        (["--strategy", "ga", "--sparsity", "nan"], "sparsity nan is outside [0, 1)"),
        (["--strategy", "ga", "--sparsity", "0.99"], "leaves layer 'output.weight' (30 weights) empty"),
        (["--strategy", "ga", "--budget", "1ep"], "too small for one evaluation of 10 steps and a"),
        (["--strategy", "ga", "--budget", "1.1ep"], "validation, which costs 1.112ep"),
        (["--strategy", "ga", "--budget", "many"], "budget 'many' is not a number of epochs; write it like '200ep'"),
        (["--strategy", "ga", "--budget", "100"], "write it like '200ep'"),
        (["--strategy", "ga", "--budget", "0ep"], "must be more than 0ep"),
        (["--strategy", "ga", "--device", "gpu"], "unknown device 'gpu'"),
        (["--strategy", "ga", "--device", "cuda:99"], "is not on this machine"),
        (["--strategy", "ga", "--seed", "-1"], "seed -1 is not an integer"),
        (["--strategy", "ga", "--fidelity", "short"], "fidelity 'short' is not a duration"),
        (["--strategy", "ga", "--orders", "0"], "orders 0"),
        (["--strategy", "imp", "--set", "rewind=99ep"], "rewind '99ep' is not before the end of a round"),
        (["--strategy", "imp", "--set", "rounds=5000"], "5000 trainings of at least one step; they need 500ep"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_2(cli: Cli, tmp_path: Path, arguments: list[str], words: str) -> None:
    line = assert_refused(cli(*TINY, "--out", tmp_path / "runs", *arguments))
    assert words in line


def test_missing_data_is_named_with_the_remedies(cli: Cli, tmp_path: Path) -> None:
    for task, name in (("mnist-lenet", "MNIST"), ("fashion-lenet", "FashionMNIST")):
        line = assert_refused(
            cli("run", "--strategy", "ga", "--task", task, "--data-root", tmp_path, "--out", tmp_path / "runs")
        )
        assert str(tmp_path / name) in line
        assert "--data-root" in line
        assert "--download" in line


def test_a_folder_that_is_no_run_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path, tmp_path / "file", tmp_path / "file" / "runs"):
        assert_refused(cli(*TINY, "--strategy", "random", "--out", out))
        assert_refused(cli("report", out))
    assert_refused(cli("report", tmp_path / "nowhere"))


def test_a_plug_in_that_fails_is_one_line_and_exit_1(cli: Cli, tmp_path: Path) -> None:
    for task, words in (("broken", "ValueError: no luck today"), ("not_a_task", "returned int")):
        outcome = cli("run", "--strategy", "ga", "--task", f"tests.helpers.tiny:{task}", "--out", tmp_path / "runs")
        assert words in assert_refused(outcome, code=1)


def test_json_is_one_object_with_the_promised_keys_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    outcome = cli(*TINY, "--strategy", "random", "--out", tmp_path, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    assert set(result) >= KEYS
    assert set(result["cost"]) >= COSTS
    assert result["strategy"] == "random"
    assert (Path(result["run"]) / "ticket.safetensors") == Path(result["ticket"])
    assert Path(result["ticket"]).is_file()
    again = cli(*TINY, "--strategy", "random", "--out", tmp_path, "--json")
    assert json.loads(again.out) == result


def test_the_summary_shows_the_ticket_its_references_and_the_folder(cli: Cli, tmp_path: Path) -> None:
    outcome = cli(*TINY, "--strategy", "imp", "--set", "rounds=2", "--out", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("ticket", "dense network", "random mask, same counts", "one-shot magnitude", "hidden1.weight", "±"):
        assert words in outcome.out
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert folder.name in outcome.out.replace("\n", "")


def test_a_task_factory_may_take_the_data_source(cli: Cli, tmp_path: Path) -> None:
    outcome = cli(
        "run",
        "--strategy",
        "random",
        "--task",
        "tests.helpers.tiny:sourced",
        "--budget",
        "5ep",
        "--out",
        tmp_path,
        "--json",
    )
    assert json.loads(outcome.out)["task"] == "tiny-sourced"


def test_settings_and_fidelity_reach_the_run(cli: Cli, tmp_path: Path) -> None:
    outcome = cli(
        *TINY,
        "--strategy",
        "ga",
        "--set",
        "population=3",
        "--set",
        'encoding=criterion-mixture(criteria=["snip", "random"])',
        "--fidelity",
        "0.5ep",
        "--out",
        tmp_path,
        "--json",
    )
    result = json.loads(outcome.out)
    assert result["parameters"]["population"] == 3
    assert result["parameters"]["encoding"] == 'criterion-mixture(criteria=["snip", "random"])'
    assert result["fidelity"] == 5


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True),
        st.one_of(
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.lists(st.text("abc-", min_size=1)),
            st.from_regex(r"[a-z]{2}[a-z-]{0,8}", fullmatch=True),
        ),
        max_size=4,
    )
)
def test_set_reads_what_json_writes(settings: dict[str, Any]) -> None:
    def text(value: Any) -> str:
        if isinstance(value, float):
            return repr(value)
        return value if isinstance(value, str) else json.dumps(value)

    words = {"true": True, "false": False, "none": None, "inf": float("inf"), "nan": None}
    expected = {k: words.get(v, v) if isinstance(v, str) else v for k, v in settings.items() if v != "nan"}
    assert parse_settings([f"{key}={text(value)}" for key, value in settings.items() if value != "nan"]) == expected


@given(st.text())
def test_set_takes_any_text_or_refuses_it(text: str) -> None:
    try:
        parsed = parse_settings([text])
    except InvalidValue:
        assert "=" not in text or not text.partition("=")[0].strip()
    else:
        assert list(parsed) == [text.partition("=")[0].strip()]


@pytest.mark.parametrize("kind", ["strategies", "tasks"])
def test_what_is_installed_is_listed_with_its_distribution(cli: Cli, kind: str) -> None:
    names = {
        "strategies": {"random", "magnitude", "imp", "early-bird", "ga", "sa", "optuna"},
        "tasks": {"mnist1d-mlp", "mnist-lenet", "fashion-lenet"},
    }[kind]
    plain, listed = cli(kind), cli(kind, "--json")
    rows = json.loads(listed.out)
    assert names <= {row["name"] for row in rows if row["distribution"] == "ticketsearch"}
    assert all(name in plain.out for name in names)
    assert plain.out.count("ticketsearch ") >= len(names)


@pytest.fixture
def three_runs(cli: Cli, tmp_path: Path) -> Path:
    for strategy, seed in (("random", 0), ("random", 1), ("magnitude", 0)):
        assert cli(*TINY, "--strategy", strategy, "--seed", str(seed), "--out", tmp_path / "runs").code == 0
    return tmp_path / "runs"


def test_reports_parse(cli: Cli, three_runs: Path, tmp_path: Path) -> None:
    terminal = cli("report", three_runs)
    assert (terminal.code, terminal.err) == (0, "")
    assert "tiny at sparsity 0.9" in terminal.out
    picture = tmp_path / "board.svg"
    groups = json.loads(cli("report", three_runs, "--json", "--svg", picture).out)
    assert [row["seeds"] for row in groups["groups"][0]["rows"] if row["strategy"] == "random"] == [[0, 1]]
    assert groups["unreadable"] == []
    root = ET.fromstring(picture.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    markdown = cli("report", three_runs, "--markdown").out.splitlines()
    table = [line for line in markdown if line.startswith("|")]
    assert len(table) == 2 + 2
    assert len({line.count("|") for line in table}) == 1
    assert_refused(cli("report", three_runs, "--markdown", "--json"))


def test_a_damaged_result_is_reported_and_the_rest_is_shown(cli: Cli, three_runs: Path) -> None:
    damaged = next(path for path in sorted(three_runs.iterdir()) if "magnitude" in path.name) / "result.json"
    for content in (b"{", b"", b"[]", b"\xff\xfe", damaged.read_bytes().replace(b'"seed"', b'"sede"')):
        damaged.write_bytes(content)
        outcome = cli("report", three_runs)
        assert outcome.code == 1
        assert "random" in outcome.out
        assert len(outcome.err.splitlines()) == 1
        assert str(damaged) in outcome.err
    assert len(json.loads(cli("report", three_runs, "--json").out)["unreadable"]) == 1


def test_a_report_of_nothing_finished_says_so(cli: Cli, tmp_path: Path) -> None:
    assert "no finished run" in assert_refused(cli("report", tmp_path))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "spec.json").write_text("{}")
    assert "(1 unfinished)" in assert_refused(cli("report", tmp_path))


def test_ctrl_c_exits_130_with_a_word_on_how_to_go_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "search", lambda self, problem: signal.raise_signal(signal.SIGINT))
        outcome = cli(*TINY, "--strategy", "ga", "--set", "population=3", "--out", tmp_path, "--json")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err == "ticketsearch: interrupted; the same command goes on where this one stopped\n"
    resumed = cli(*TINY, "--strategy", "ga", "--set", "population=3", "--out", tmp_path, "--json")
    assert json.loads(resumed.out)["trials"] > 3


LIGHT = """
import sys
from ticketsearch.cli import app
for line in sys.argv[1:]:
    try:
        app(line.split())
    except SystemExit as stop:
        assert not stop.code, (line, stop.code)
print("heavy:", sorted({"torch", "numba", "scipy.stats", "optuna", "deap", "torchvision"} & set(sys.modules)))
"""


def test_two_fresh_processes_find_the_same_and_report_needs_no_torch(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "ticketsearch", *TINY, "--strategy", "sa", "--out", tmp_path / name, "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    results = []
    for process in runs:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        results.append(json.loads(out))
    assert results[0]["mask_digest"] == results[1]["mask_digest"]
    assert results[0]["confirmation"]["test_accuracies"] == results[1]["confirmation"]["test_accuracies"]
    trials = []
    for result in results:
        with Ledger(Path(result["run"]) / "ledger.sqlite") as ledger:
            trials.append([(t.question, t.score, t.loss) for t in ledger])
    assert trials[0] == trials[1]
    assert len(trials[0]) == results[0]["trials"]
    lines = [
        f"report {tmp_path / 'a'}",
        f"report {tmp_path / 'a'} --json --svg {tmp_path / 'x.svg'}",
        "strategies",
        "tasks --json",
        "--help",
        "run --help",
    ]
    process_of_all = python("-c", LIGHT, *lines)
    assert process_of_all.returncode == 0, process_of_all.stderr
    assert process_of_all.stdout.endswith("heavy: []\n")


def test_outputs_do_not_replace_a_run_or_each_other(cli: Cli, tmp_path: Path) -> None:
    folder = Path(json.loads(cli(*TINY, "--strategy", "random", "--out", tmp_path / "runs", "--json").out)["run"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("result.json", "ticket.safetensors", "ledger.sqlite", "spec.json"):
        for command in (
            ["report", tmp_path / "runs", "--csv", folder / name],
            ["export", folder, "--output", folder / name, "--force", "--task", "tests.helpers.tiny:task"],
        ):
            refused = cli(*command)
            assert (refused.code, refused.err.count("belongs to a run; name another file")) == (2, 1)
    twice = cli("report", tmp_path / "runs", "--csv", tmp_path / "x", "--svg", tmp_path / "x")
    assert (twice.code, "named for two outputs" in twice.err) == (2, True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("closed", ["1", "2"])
def test_closed_streams_are_no_fault(closed: str) -> None:
    name = "ga" if closed == "1" else "nothing"
    command = f"exec {sys.executable} -m ticketsearch strategies show {name} {closed}>&-"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0 if closed == "1" else 2, "", "")


def test_an_encoding_without_the_letters_is_no_fault(cli: Cli, tmp_path: Path) -> None:
    assert cli(*TINY, "--strategy", "random", "--out", tmp_path / "runs").code == 0
    done = subprocess.run(
        [sys.executable, "-m", "ticketsearch", "report", tmp_path / "runs"],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"random" in done.stdout


def test_the_help_lists_what_is_used_most_first_each_in_a_whole_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands = cli("--help").out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands[:3]] == ["run", "compare", "report"]
    assert all(line.endswith(".") and not line.endswith("...") for line in commands), commands


def test_the_version_is_the_distribution_s(cli: Cli) -> None:
    import importlib.metadata

    assert cli("--version") == Outcome(0, f"ticketsearch {importlib.metadata.version('ticketsearch')}\n", "")
