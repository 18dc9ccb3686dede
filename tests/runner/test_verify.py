"""Re-executing finished runs: honest ones agree, forged ones do not, and no file is touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.runs import First, folder_of, run
from ticketsearch import MaskProblem, Result, Ticket, load_ticket, verify_run
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, UnknownName
from ticketsearch.records.folder import LEDGER, RESULT, SPEC, TICKET
from ticketsearch.records.ledger import Ledger, read_record
from ticketsearch.records.results import read_result, write_result
from ticketsearch.records.ticket_file import save_ticket
from ticketsearch.runner.verify import TOLERANCE

GA: dict[str, Any] = {"strategy": "ga", "settings": {"population": 4}, "budget": "20ep"}
RUNS: dict[str, dict[str, Any]] = {
    "ga": {**GA, "controls": ("reinitialise", "shuffle-mask")},
    "imp": {
        "strategy": "imp",
        "settings": {"rounds": 3, "rewind": "5step"},
        "budget": "20ep",
        "controls": ("invert",),
    },
    "sa": {"strategy": "sa", "settings": {"chains": 3}, "budget": "20ep"},
    "optuna": {"strategy": "optuna", "settings": {"batch": 3}, "budget": "20ep"},
    "supermask": {"strategy": "supermask", "budget": "20ep"},
    "early-bird": {"strategy": "early-bird", "budget": "20ep"},
    "dense": {**GA, "engine": "dense"},
    "timed": {"strategy": "random", "budget": "100000ep", "time_limit": "0.2s"},
}


def content_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("name", RUNS)
def test_an_honest_run_agrees_and_is_left_alone(tmp_path: Path, name: str) -> None:
    result = run(
        tmp_path, controls=RUNS[name].get("controls", ()), **{k: v for k, v in RUNS[name].items() if k != "controls"}
    )
    before = content_of(Path(result.run))
    found = verify_run(result.run, task=tiny.make_task(), trials=5)
    assert found.differences == []
    assert found.agrees
    assert found.evaluations == min(5, result.calls.get("evaluate", 0))
    assert found.recorded == result.calls.get("evaluate", 0)
    assert found.networks == 4 + len(RUNS[name].get("controls", ()))
    assert found.tolerance == (TOLERANCE if name == "dense" else 0)
    assert content_of(Path(result.run)) == before


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("honest")
    run(out, **GA)
    return folder_of(out)


def forged_score(folder: Path) -> None:
    """A trial's score, and all seals made anew."""
    trials = read_record(folder / LEDGER).trials
    (folder / LEDGER).unlink()
    trials = [replace(trial, score=(trial.score or 0) / 2) if trial.number == 7 else trial for trial in trials]
    with Ledger(folder / LEDGER) as ledger:
        ledger.append(trials)


def lost_trials(folder: Path) -> None:
    trials = read_record(folder / LEDGER).trials
    (folder / LEDGER).unlink()
    with Ledger(folder / LEDGER) as ledger:
        ledger.append(trials[:-3])


def other_question(folder: Path) -> None:
    trials = read_record(folder / LEDGER).trials
    (folder / LEDGER).unlink()
    with Ledger(folder / LEDGER) as ledger:
        ledger.append([replace(trial, mask="f" * 16) if trial.number == 2 else trial for trial in trials])


def forged(**changes: Any) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        write_result(folder, read_result(folder).model_copy(update=changes))

    return forge


def better_confirmation(folder: Path) -> None:
    result = read_result(folder)
    accuracies = [accuracy + 0.01 for accuracy in result.confirmation.test_accuracies]
    record = result.confirmation.model_copy(update={"test_accuracies": accuracies})
    write_result(folder, result.model_copy(update={"confirmation": record}))


def cheaper(folder: Path) -> None:
    result = read_result(folder)
    write_result(folder, result.model_copy(update={"cost": result.cost.model_copy(update={"train_examples": 1})}))


def worse_reference(folder: Path) -> None:
    result = read_result(folder)
    dense = result.references["dense"].model_copy(update={"validation_accuracies": [0.1, 0.2]})
    write_result(folder, result.model_copy(update={"references": {**result.references, "dense": dense}}))


def other_ticket(folder: Path) -> None:
    saved = load_ticket(folder)
    mask = np.roll(saved.mask, 1)
    layout = tiny.dense_engine(tiny.make_task()).layout
    save_ticket(folder / TICKET, Ticket(mask, saved.start), layout.space, saved.trained, layout.rest_shapes)


def other_weights(folder: Path) -> None:
    saved = load_ticket(folder)
    saved.start.vector[np.flatnonzero(saved.mask)[0]] += 1e-6
    layout = tiny.dense_engine(tiny.make_task()).layout
    save_ticket(folder / TICKET, Ticket(saved.mask, saved.start), layout.space, saved.trained, layout.rest_shapes)


def other_seed(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_text())
    (folder / SPEC).write_text(json.dumps(spec | {"seed": 5}))


def better_checkpoint(folder: Path) -> None:
    result = read_result(folder)
    first = result.curve[0].model_copy(update={"test_accuracy": 0.99})
    write_result(folder, result.model_copy(update={"curve": [first, *result.curve[1:]]}))


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (forged_score, "trial 7, score"),
        (lost_trials, "search: the ledger ends within a batch, before trial 15"),
        (other_question, "search: trial 2 was"),
        (forged(test_accuracy=0.99), "test_accuracy: 0.99 on record"),
        (forged(dense_test_accuracy=0.5), "dense_test_accuracy: 0.5 on record"),
        (forged(search_score=0.99), "search_score: 0.99 on record"),
        (forged(trials=3), "trials of result.json and ledger: 3 on record"),
        (forged(mask_digest="0" * 16), "ticket of the search: 0000000000000000 on record"),
        (better_confirmation, "ticket, test_accuracies"),
        (cheaper, "train_examples of the search: 1 on record"),
        (worse_reference, "dense, validation_accuracies: 0.1, 0.2 on record"),
        (other_ticket, "mask of result.json and ticket"),
        (other_weights, "start weights of the ticket: 1 values differ"),
        (better_checkpoint, "test_accuracy of the curve: 0.99"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:20]),
)
def test_what_was_forged_is_named(honest: Path, tmp_path: Path, forge: Callable[[Path], None], words: str) -> None:
    folder = tmp_path / honest.name
    shutil.copytree(honest, folder)
    forge(folder)
    before = content_of(folder)
    found = verify_run(folder, task=tiny.make_task(), trials=50)
    assert not found.agrees
    assert any(words in difference for difference in found.differences), found.differences
    assert content_of(folder) == before


def test_the_command_says_what_differs(cli: Cli, honest: Path, tmp_path: Path) -> None:
    folder = tmp_path / honest.name
    shutil.copytree(honest, folder)
    better_confirmation(folder)
    before = content_of(folder)
    outcome = cli("verify", folder, "--task", "tests.helpers.tiny:task", "--trials", 2)
    assert (outcome.code, outcome.err) == (1, "")
    assert any(line.startswith("differs: ticket, test_accuracies") for line in outcome.out.splitlines()), outcome.out
    assert content_of(folder) == before


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (forged(sparsity=0.5), "sparsity is 0.5, not 0.9"),
        (other_seed, "seed is 0, not 5"),
    ],
)
def test_a_spec_and_a_result_that_differ_are_not_compared_with_anything(
    cli: Cli, honest: Path, tmp_path: Path, forge: Callable[[Path], None], words: str
) -> None:
    folder = tmp_path / honest.name
    shutil.copytree(honest, folder)
    forge(folder)
    outcome = cli("verify", folder, "--task", "tests.helpers.tiny:task")
    assert (outcome.code, outcome.out) == (1, "")
    [line] = outcome.err.splitlines()
    assert f"result.json is of another run than spec.json: {words}; move the folder away" in line


def test_the_command_says_that_it_agrees(cli: Cli, honest: Path) -> None:
    plain = cli("verify", honest, "--task", "tests.helpers.tiny:task", "--trials", 3)
    assert (plain.code, plain.err) == (0, "")
    assert f"{honest}: re-executed the search with 3 of " in plain.out
    assert plain.out.splitlines()[-1] == "it agrees"
    found = json.loads(cli("verify", honest, "--task", "tests.helpers.tiny:task", "--json").out)
    assert (found["agrees"], found["evaluations"], found["differences"]) == (True, 16, [])


def test_what_cannot_be_verified_says_why(cli: Cli, honest: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown task 'tiny'"):
        verify_run(honest)
    other = tiny.make_task(recipe=replace(tiny.RECIPE, learning_rate=0.2))
    with pytest.raises(InvalidValue, match="other data or another recipe than the run's"):
        verify_run(honest, task=other)
    with pytest.raises(NotARun, match="holds no finished run"):
        verify_run(tmp_path)
    with pytest.raises(InvalidValue, match="trials -1"):
        verify_run(honest, trials=-1)
    folder = tmp_path / "damaged"
    shutil.copytree(honest, folder)
    (folder / RESULT).write_bytes((folder / RESULT).read_bytes().replace(b'"trials": ', b'"trials": 1'))
    refused = cli("verify", folder)
    assert refused.code == 1
    assert refused.err.startswith("ticketsearch: error: ")
    assert "does not match its digest" in refused.err
    with pytest.raises(CorruptRun):
        verify_run(folder)


@dataclass(frozen=True)
class Whimsical:
    """Draws where it should not."""

    def search(self, problem: MaskProblem) -> None:
        rng = np.random.Generator(np.random.PCG64())
        problem.evaluate(tiny.masks_of(problem, 3, int(rng.integers(2**32))))


def test_instances_are_verified_from_python(tmp_path: Path) -> None:
    task = tiny.make_task()
    honest: Result = ticketsearch.run(First(), task, budget="20ep", out=tmp_path / "a")
    assert verify_run(honest.run, strategy=First(), task=task).agrees
    with pytest.raises(UnknownName, match="unknown strategy 'First'"):
        verify_run(honest.run, task=task)
    whimsical = ticketsearch.run(Whimsical(), task, budget="20ep", out=tmp_path / "b")
    found = verify_run(whimsical.run, strategy=Whimsical(), task=task)
    assert any("draws random numbers outside problem.rng" in line for line in found.differences)
    assert not [line for line in found.differences if line.startswith("ticket, ")]  # as confirmed, it is what it says
