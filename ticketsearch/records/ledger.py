"""The ledger of a run: every metered call, in order, in one SQLite file.

A run is replayed, not restored: a resumed strategy starts from the beginning and asks the same
questions, and those the ledger can answer cost nothing again. For that, the order of trials is
part of the record, and a strategy that asks something else is caught (it draws randomness from somewhere
it should not). Chunks of trials are committed together, so a run killed in between pays for
exactly the chunk that was lost.

SQLite does not notice a flipped bit in a page. So each trial carries a seal, the digest of its content and of the seal
before it: a trial that was altered, moved or removed is found, unless those after it are gone as well, and then they
are computed again. The file is read from a copy first, so that a damaged one is left as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

from pydantic_core import to_json

from ticketsearch.cost import Cost
from ticketsearch.digests import digest_of_json
from ticketsearch.errors import CorruptRun, StorageError
from ticketsearch.records.files import check_there, identity_of, storing
from ticketsearch.records.folder import check_file

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trials (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    mask TEXT NOT NULL,
    fidelity INTEGER NOT NULL,
    state TEXT NOT NULL,
    score REAL,
    loss REAL,
    reason TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    seal TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ended (reason TEXT NOT NULL, spent TEXT NOT NULL, seal TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS made (code TEXT NOT NULL) STRICT;
"""


_SLACK, _LONGEST_LOG = 2**20, 2**30
"""Bytes that a file may be longer than its header says, and that a log may have: SQLite keeps its own at 4 MB."""
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}

Kind: TypeAlias = Literal[
    "evaluate",
    "train",
    "validate",
    "gradients",
    "hessian_gradient",
    "synaptic_flow",
    "ntk_sensitivity",
    "hessian_product",
    "tangent_kernel",
    "activation_patterns",
    "ntk_change",
    "predict",
]
Question: TypeAlias = tuple[Kind, str, int]
"""What was asked, as opposed to what came out: kind, mask digest, fidelity."""


@dataclass(frozen=True)
class Trial:
    """One record of one metered call.

    Attributes:
        number: position in the run, from 0.
        kind: the verb.
        mask: digest of the mask.
        fidelity: optimiser steps (of ``evaluate``, ``train``) or examples (of the others).
        state: ``complete`` or ``failed``.
        score: validation accuracy, or what a predictor says; ``None`` where none was measured or the trial failed.
        loss: validation or training loss; ``None`` if not finite.
        reason: why it failed; empty otherwise.
        before: cost of the run before this trial.
        after: cost of the run after it.
    """

    number: int
    kind: Kind
    mask: str
    fidelity: int
    state: Literal["complete", "failed"]
    score: float | None
    loss: float | None
    reason: str
    before: Cost
    after: Cost

    @property
    def question(self) -> Question:
        """What was asked."""
        return self.kind, self.mask, self.fidelity


class Ledger:
    """Trials of one run, in memory or in a file; a context manager.

    The file has a write-ahead log where the file system allows one. Where it does not (SQLite needs memory shared
    between processes for it, which network file systems lack), a rollback journal, synced at each commit: slower, and
    as safe. ``journal_mode`` says which it is.

    Args:
        path: the SQLite file, created if absent; ``None`` = memory only.
        code: a digest of the code that makes trials; a file of other code's is refused. ``""`` = any.

    Raises:
        CorruptRun: the file is damaged, or its trials were made by other code.
    """

    def __init__(self, path: Path | None = None, code: str = "") -> None:
        self.path = path
        if path is not None:
            _check_files(path)
        record = read_record(path) if path is not None and path.exists() else Record([], None, "")
        if record.trials and code and record.code not in ("", code):
            raise CorruptRun(
                f"{path}: its trials were made by other code: ticketsearch or a library was changed since; go on with "
                "the versions that began it, or begin anew with --fresh"
            )
        self._trials, self._ended, self._seal = list(record.trials), record.ended, record.seal
        with self._storing():
            self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        try:
            with self._storing():
                self.journal_mode = self._set_journal_mode()
                self._connection.executescript(_SCHEMA)
                if not record.trials and code:
                    with self._connection:
                        self._connection.execute("DELETE FROM made")
                        self._connection.execute("INSERT INTO made VALUES (?)", (code,))
            self._identity = None if path is None else identity_of(os.lstat(path))
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def _set_journal_mode(self) -> str:
        try:
            [mode] = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:  # some file systems refuse at this point, others keep the mode they had
            [mode] = self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        self._connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
        return str(mode)

    @property
    def ended(self) -> tuple[str, Cost] | None:
        """Why the search ended before its budget, and what it had spent; ``None`` if it did not."""
        return self._ended

    def append(self, trials: Sequence[Trial]) -> None:
        """Record trials, all or none.

        Raises:
            CorruptRun: another process has written to the file.
            StorageError: the disk is full, or the file was removed.
        """
        costs = {cost for trial in trials for cost in (trial.before, trial.after)}  # one's after is the next's before
        texts = {cost: to_json(vars(cost)).decode() for cost in costs}
        rows, seal = [], self._seal
        for trial in trials:
            row = _row(trial, texts)
            seal = _sealed(seal, row)
            rows.append((*row, seal))
        self._commit("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._seal = seal
        self._trials.extend(trials)

    def end(self, reason: str, spent: Cost) -> None:
        """Record that the search ended here, before its budget."""
        row = (reason, json.dumps(vars(spent)))
        self._commit("INSERT INTO ended VALUES (?, ?, ?)", [(*row, _sealed(self._seal, row))])
        self._ended = reason, spent

    def _commit(self, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
        self.check_there()
        with self._storing():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(insert, rows)
                self._connection.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                raise CorruptRun(f"{self.path}: another process is writing to this run; wait for it to end") from error
            finally:
                if self._connection.in_transaction:  # SQLite may have rolled back by itself
                    self._connection.execute("ROLLBACK")

    def check_there(self) -> None:
        """Refuse to go on without the file.

        Raises:
            StorageError: it was removed or replaced.
        """
        if self.path is not None and self._identity is not None:
            check_there(self.path, self._identity)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """What the file system has to say becomes an error of ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"{self.path} cannot be written: {error}; make room and run the same command again"
            ) from error

    def close(self) -> None:
        """Close the file; the record stays readable in memory."""
        self._connection.close()


@dataclass(frozen=True)
class Record:
    """What a ledger holds.

    Attributes:
        trials: in order.
        ended: why the search ended before its budget, and what it had spent; ``None`` if it did not.
        seal: of the last trial.
        code: a digest of the code that made them; empty if it is not on record.
    """

    trials: list[Trial]
    ended: tuple[str, Cost] | None
    seal: str
    code: str = ""


def read_record(path: Path) -> Record:
    """Read a ledger without touching it, its write-ahead log or rollback journal included.

    Raises:
        CorruptRun: it is damaged.
        StorageError: there is no room for a copy.
    """
    _check_files(path)
    if (fault := _fault(path)) is not None:
        raise _unreadable(path, fault)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "ledger.sqlite"
        with storing(copy):
            for suffix in ("", "-wal", "-journal"):
                if (source := path.with_name(path.name + suffix)).is_file():
                    shutil.copyfile(source, copy.with_name(copy.name + suffix))
        connection = sqlite3.connect(copy)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # nobody else has the copy: no shared memory
            [[found], *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                raise ValueError(found)
            return _record(connection)
        except (sqlite3.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_ROOM:
                raise StorageError(f"{copy} cannot be written: {error}; make room and try again") from error
            raise _unreadable(path, error) from error
        finally:
            connection.close()


def _check_files(path: Path) -> None:
    """Refuse a ledger, or one of its logs, that is no regular file: SQLite follows links."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        check_file(path.with_name(path.name + suffix))


def _unreadable(path: Path, fault: object) -> CorruptRun:
    return CorruptRun(f"{path} is not a readable ledger ({fault}); move the folder away to start anew")


def _fault(path: Path) -> str | None:
    """What is wrong with a file that is not even worth a copy, which would be as long as it is."""
    if not path.is_file():
        return "it is not a file"
    wal, journal = (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal"))
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        return str(error.strerror)
    if header and not header.startswith(b"SQLite format 3\0"):
        return "it is not a database"
    page, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
    says = pages * (65536 if page == 1 else page) + _SLACK  # a page size of 65536 has no room in two bytes
    if header and not journal.is_file() and path.stat().st_size > says:
        return f"it has {path.stat().st_size} bytes and says {says - _SLACK}"
    if any(one.is_file() and one.stat().st_size > _LONGEST_LOG for one in (wal, journal)):
        return f"its log has more than {_LONGEST_LOG} bytes"
    return None


def _record(connection: sqlite3.Connection) -> Record:
    tables = {name for [name] in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:  # a process was killed before its first trial
        return Record([], None, "")
    trials: list[Trial] = []
    seal = ""
    for row in connection.execute("SELECT * FROM trials ORDER BY number").fetchall():
        number, kind, mask, fidelity, state, score, loss, reason, before, after, found = row
        if number != len(trials):
            raise ValueError(f"it lacks trials in the middle: after {len(trials)} comes {number}")
        seal = _sealed(seal, row[:-1])
        if found != seal:
            raise ValueError(f"trial {number} is not as it was written")
        costs = (Cost(**json.loads(text)) for text in (before, after))
        trials.append(Trial(number, kind, mask, fidelity, state, score, loss, reason, *costs))
    ended = connection.execute("SELECT * FROM ended").fetchall() if "ended" in tables else []
    for *row, found in ended:
        if found != _sealed(seal, row):
            raise ValueError("the end of the search is not as it was written")
    made = connection.execute("SELECT code FROM made").fetchall() if "made" in tables else []
    code = str(made[0][0]) if made else ""
    return Record(trials, (ended[0][0], Cost(**json.loads(ended[0][1]))) if ended else None, seal, code)


def _row(trial: Trial, texts: Mapping[Cost, str]) -> tuple[object, ...]:
    return (
        trial.number,
        trial.kind,
        trial.mask,
        trial.fidelity,
        trial.state,
        None if trial.score is None else float(trial.score),
        None if trial.loss is None else float(trial.loss),
        trial.reason,
        texts[trial.before],
        texts[trial.after],
    )


def _sealed(before: str, row: Sequence[object]) -> str:
    """The seal of a row that follows one with the seal ``before``."""
    return digest_of_json([before, *row])
