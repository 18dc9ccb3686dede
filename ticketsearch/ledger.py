"""The ledger of a run: every metered call, in order, in one SQLite file.

A run is replayed, not restored: a resumed strategy starts from the beginning and asks the same
questions, and those the ledger can answer cost nothing again. For that, the order of trials is
part of the record, and a strategy that asks something else is caught (it draws randomness from somewhere
it should not). Chunks of trials are committed together, so a run killed in between pays for
exactly the chunk that was lost.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

from ticketsearch.cost import Cost
from ticketsearch.errors import CorruptRun

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
    after TEXT NOT NULL
) STRICT
"""


Kind: TypeAlias = Literal["evaluate", "train", "gradients", "hessian_gradient", "synaptic_flow"]
Question: TypeAlias = tuple[Kind, str, int]
"""What was asked, as opposed to what came out: kind, mask digest, fidelity."""


@dataclass(frozen=True)
class Trial:
    """One record of one metered call.

    Attributes:
        number: position in the run, from 0.
        kind: the verb: ``evaluate``, ``train``, ``gradients``, ``hessian_gradient`` or ``synaptic_flow``.
        mask: digest of the mask.
        fidelity: optimiser steps (of ``evaluate``, ``train``) or examples (of the derivatives).
        state: ``complete`` or ``failed``.
        score: validation accuracy; ``None`` where none was measured or the trial failed.
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
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        try:
            self.journal_mode = self._set_journal_mode()
            self._connection.execute(_SCHEMA)
            self._recorded = list(self._read())
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            self._connection.close()
            raise CorruptRun(
                f"{path} is not a readable ledger ({error}); move the folder away to start anew"
            ) from error
        if [trial.number for trial in self._recorded] != list(range(len(self._recorded))):
            self._connection.close()
            raise CorruptRun(f"{path} lacks trials in the middle; move the folder away to start anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._recorded)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._recorded)

    def __getitem__(self, number: int) -> Trial:
        return self._recorded[number]

    def _set_journal_mode(self) -> str:
        try:
            [mode] = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:  # some file systems refuse at this point, others keep the mode they had
            [mode] = self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        self._connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
        return str(mode)

    def _read(self) -> Iterator[Trial]:
        for row in self._connection.execute("SELECT * FROM trials ORDER BY number"):
            before, after = (Cost(**json.loads(text)) for text in row[8:])
            number, kind, mask, fidelity, state, score, loss, reason = row[:8]
            yield Trial(number, kind, mask, fidelity, state, score, loss, reason, before, after)

    def append(self, trials: Sequence[Trial]) -> None:
        """Record trials, all or none."""
        rows = [
            (*(getattr(t, name) for name in ("number", "kind", "mask", "fidelity", "state", "score", "loss", "reason")),
             json.dumps(asdict(t.before)), json.dumps(asdict(t.after)))
            for t in trials
        ]  # fmt: skip
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            self._connection.execute("ROLLBACK")
            raise CorruptRun(f"{self.path}: another process is writing to this run; wait for it to end") from error
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._recorded.extend(trials)

    def close(self) -> None:
        """Close the file; the record stays readable in memory."""
        self._connection.close()
