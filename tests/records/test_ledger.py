"""The ledger, and replaying it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from ticketsearch import MaskProblem
from ticketsearch.cost import Cost
from ticketsearch.errors import BudgetExhausted, CorruptRun
from ticketsearch.problem.replay import Replay
from ticketsearch.problem.scores import Score
from ticketsearch.records.ledger import Ledger, Trial, read_record


def trial(number: int, mask: str = "m") -> Trial:
    before, after = Cost(train_examples=number, wall_s=0.1 * number), Cost(train_examples=number + 1, wall_s=0.3)
    return Trial(number, "evaluate", f"{mask}{number}", 10, "complete", 0.1 + number / 3, 1 / 7, "", before, after)


def wrapped() -> tiny.WrappedEngine:
    return tiny.WrappedEngine(tiny.make_task(), lambda mask: bool(mask[:3].any()))


def some_search(problem: MaskProblem, extra: int = 0) -> list[Score]:
    masks = tiny.masks_of(problem, 14)
    scores = problem.evaluate(masks[:6])
    problem.gradients(None, 30)
    for snapshot in problem.train(masks[0], every="1ep"):
        scores.append(problem.validate(masks[0], snapshot.weights))
        scores += problem.evaluate(masks[6:8])
        if snapshot.step == 20:
            break
    return scores + problem.evaluate(masks[8 : 12 + extra])


def test_trials_come_back_from_the_file_as_they_went_in(tmp_path: Path) -> None:
    trials = [trial(0), replace(trial(1), state="failed", score=None, loss=None, reason="because")]
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append(trials[:1])
        ledger.append(trials[1:])
        assert list(ledger) == trials
    with Ledger(tmp_path / "ledger") as again:
        assert list(again) == trials
        assert len(again) == 2
        assert again[1] == trials[1]


def test_appending_is_all_or_none(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append([trial(0)])
        with pytest.raises(CorruptRun, match="another process"):
            ledger.append([trial(1), trial(2), trial(0)])
        assert len(ledger) == 1
        ledger.append([trial(1)])
    with Ledger(tmp_path / "ledger") as again:
        assert list(again) == [trial(0), trial(1)]


@pytest.mark.parametrize("where", [0, 30, 3000])
def test_a_damaged_file_is_a_corrupt_run(tmp_path: Path, where: int) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        ledger.append([trial(number) for number in range(20)])
    content = bytearray(path.read_bytes())
    content[where : where + 900] = b"\xff" * 900
    path.write_bytes(content)
    with pytest.raises(CorruptRun, match="move the folder away"):
        Ledger(path)


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_a_file_without_end_is_not_copied(tmp_path: Path, suffix: str) -> None:
    """Sparse files: twenty gigabytes that take no room."""
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        ledger.append([trial(0)])
    endless = tmp_path / f"ledger{suffix}"
    endless.touch()
    os.truncate(endless, 20 * 2**30)
    with pytest.raises(CorruptRun, match=r"it has 2\d+ bytes and says|its log has more than"):
        Ledger(path)
    path.unlink()
    path.touch()
    os.truncate(path, 20 * 2**30)
    with pytest.raises(CorruptRun, match="it is not a database"):
        Ledger(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ledger")
    with pytest.raises(CorruptRun, match="is a pipe, not a file"):
        Ledger(tmp_path / "ledger")


def test_what_a_killed_process_had_not_committed_is_rolled_back(tmp_path: Path) -> None:
    """With a rollback journal a commit is its deletion; the pages are in the file before that."""
    path, killed = tmp_path / "ledger", tmp_path / "killed"
    with Ledger(path) as ledger:
        ledger.append([trial(number) for number in range(5)])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = OFF")  # so that a journal is complete without being synced
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE trials SET number = 7 WHERE number = 4")
    shutil.copyfile(tmp_path / "ledger-journal", tmp_path / "killed-journal")
    connection.execute("COMMIT")
    connection.close()
    shutil.copyfile(path, killed)
    with pytest.raises(CorruptRun, match="in the middle"):
        read_record(path)
    assert [one.number for one in read_record(killed).trials] == list(range(5))
    with Ledger(killed) as resumed:
        resumed.append([trial(5)])
    assert len(read_record(killed).trials) == 6


def test_a_file_that_is_no_database_is_a_corrupt_run(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("hello " * 100)
    with pytest.raises(CorruptRun, match="not a readable ledger"):
        Ledger(tmp_path / "ledger")


def test_a_database_of_another_shape_is_a_corrupt_run(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger") as connection:
        connection.execute("CREATE TABLE trials (number INTEGER, other TEXT)")
        connection.execute("INSERT INTO trials VALUES (0, 'x')")
    connection.close()
    with pytest.raises(CorruptRun):
        Ledger(tmp_path / "ledger")


@pytest.mark.parametrize("column", ["before", "after"])
def test_a_cost_that_does_not_parse_is_a_corrupt_run(tmp_path: Path, column: str) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append([trial(0)])
    for bad in ("{", "[]", '{"epochs": 1}', "7"):
        with sqlite3.connect(tmp_path / "ledger") as connection:
            connection.execute(f"UPDATE trials SET {column} = ?", (bad,))
        connection.close()
        with pytest.raises(CorruptRun):
            Ledger(tmp_path / "ledger")


def test_trials_missing_in_the_middle_are_a_corrupt_run(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append([trial(0), trial(1), trial(2)])
    with sqlite3.connect(tmp_path / "ledger") as connection:
        connection.execute("DELETE FROM trials WHERE number = 1")
    connection.close()
    with pytest.raises(CorruptRun, match="lacks trials in the middle"):
        Ledger(tmp_path / "ledger")


def test_replay_gives_the_same_scores_and_costs_and_evaluates_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        problem = tiny.make_problem(40, engine=wrapped(), ledger=ledger)
        first = some_search(problem)
        recorded, incumbent, spent = list(ledger), problem.incumbent, problem.spent
    assert any(score.failed for score in first)
    engine = wrapped()
    with Ledger(tmp_path / "ledger") as ledger:
        problem = tiny.make_problem(40, engine=engine, ledger=ledger)
        assert some_search(problem) == first
        assert list(ledger) == recorded
        assert "evaluate" not in engine.calls
        assert (problem.spent - problem.spent.seconds()) == (spent - spent.seconds())
        assert incumbent is not None
        assert problem.incumbent is not None
        assert np.array_equal(problem.incumbent.mask, incumbent.mask)
        assert problem.incumbent.score == incumbent.score


def test_a_search_that_asks_more_than_was_recorded_goes_on_where_the_record_ends(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        some_search(tiny.make_problem(40, ledger=ledger))
        before = len(ledger)
    engine = tiny.WrappedEngine(tiny.make_task())
    with Ledger(tmp_path / "ledger") as ledger:
        problem = tiny.make_problem(40, engine=engine, ledger=ledger)
        some_search(problem)
        problem.evaluate(tiny.masks_of(problem, 14)[12:])
        assert engine.calls.count("evaluate") == 1
        assert len(ledger) == before + 2
    whole = Ledger()
    other = tiny.make_problem(40, ledger=whole)
    some_search(other)
    other.evaluate(tiny.masks_of(other, 14)[12:])
    with Ledger(tmp_path / "ledger") as ledger:
        assert [(t.question, t.score, t.loss) for t in ledger] == [(t.question, t.score, t.loss) for t in whole]


def test_a_search_that_asks_something_else_is_a_corrupt_run() -> None:
    ledger = Ledger()
    problem = tiny.make_problem(ledger=ledger)
    problem.evaluate(tiny.masks_of(problem, 3))
    again = tiny.make_problem(ledger=ledger)
    with pytest.raises(CorruptRun, match=r"trial 1 was .* and is .* now"):
        again.evaluate(tiny.masks_of(problem, 4)[[0, 2]])
    with pytest.raises(CorruptRun, match="trial 0 was"):
        tiny.make_problem(ledger=ledger).gradients(None, 30)
    with pytest.raises(CorruptRun, match="trial 0 was"):
        tiny.make_problem(ledger=ledger).evaluate(tiny.masks_of(problem, 1), fidelity=20)


def test_a_record_that_ends_within_a_batch_is_a_corrupt_run() -> None:
    ledger = Ledger()
    problem = tiny.make_problem(ledger=ledger)
    problem.evaluate(tiny.masks_of(problem, 3))
    with pytest.raises(CorruptRun, match="ends within a batch"):
        tiny.make_problem(ledger=ledger).evaluate(tiny.masks_of(problem, 4))


def test_budgets_end_at_the_same_trial_in_a_replay() -> None:
    ledger = Ledger()
    for _ in range(2):
        problem = tiny.make_problem(5.0, ledger=ledger)
        with pytest.raises(BudgetExhausted):
            problem.evaluate(tiny.masks_of(problem, 9))
        assert problem.trials == len(ledger) == 4


def test_a_training_cut_short_by_an_accident_is_no_trial() -> None:
    ledger = Ledger()

    def full(problem: MaskProblem) -> None:
        if problem.spent.train_examples > 300:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(tiny.make_problem(ledger=ledger, progress=full).train(every="1ep"))
    assert len(ledger) == 0
    list(tiny.make_problem(ledger=ledger).train(every="1ep"))
    assert [t.fidelity for t in ledger] == [60]


def test_a_replay_numbers_trials_from_where_it_stands() -> None:
    ledger = Ledger()
    replay = Replay(ledger)
    replay.record([("evaluate", "a", 1), ("train", "b", 2)], [Score.of(0.5, 1.0), None], [Cost(), Cost(), Cost()])
    replay.record([("gradients", "c", 3)], [Score.of(None, None, "bad")], [Cost(), Cost()])
    assert [(t.number, t.kind, t.state, t.score, t.reason) for t in ledger] == [
        (0, "evaluate", "complete", 0.5, ""),
        (1, "train", "complete", None, ""),
        (2, "gradients", "failed", None, "bad"),
    ]
    assert not replay.replaying
    assert Replay(ledger).replaying


@pytest.mark.parametrize("refusal", ["raises", "keeps its mode"])
def test_without_a_write_ahead_log_there_is_a_journal_synced_at_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    class NoLog(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if "WAL" in sql and refusal == "raises":
                raise sqlite3.OperationalError("locking protocol")
            return super().execute("SELECT 'delete'" if "WAL" in sql else sql, *arguments)

    with Ledger(tmp_path / "other") as ledger:
        assert ledger.journal_mode == "wal"
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=NoLog))
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append([trial(0), trial(1)])
        assert ledger.journal_mode == "delete"
        assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert not (tmp_path / "ledger-wal").exists()
    with Ledger(tmp_path / "ledger") as again:
        assert list(again) == [trial(0), trial(1)]
