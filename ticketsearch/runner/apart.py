"""A finished run's ticket confirmed again, in a process that never imported the run's strategy.

A strategy that changes PyTorch, NumPy or this package changes what its own process computes. So what is on file is
trained and tested by a fresh one, which reads the spec, the task and the ticket, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from ticketsearch.engine import make_engine
from ticketsearch.errors import CorruptRun
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.masks.units import Units
from ticketsearch.records.results import Confirmation
from ticketsearch.records.spec import read_spec
from ticketsearch.records.ticket_file import SavedTicket, load_ticket
from ticketsearch.runner.progress import quiet
from ticketsearch.runner.references import confirm_with_references
from ticketsearch.runner.setup import Setup, task_of
from ticketsearch.tasks import DataSource

OF_SCORES = ("invert",)
"""Controls that need the scores which chose the mask; no file holds them."""


class Reconfirmed(BaseModel):
    """What came out: the ticket's record, its references', and how many trained weights are other than on file."""

    ticket: Confirmation
    references: dict[str, Confirmation]
    other_weights: int


@dataclass(frozen=True)
class Request:
    """What is confirmed: a run's folder, its task by name, where data lie, threads of the engine."""

    folder: str
    task: str
    root: str | None
    download: bool
    cache: str | None
    workers: int | None


def reconfirm_apart(folder: Path, task: str, source: DataSource | None, workers: int | None) -> Reconfirmed:
    """Confirm the ticket on file in a fresh process.

    Args:
        folder: the run's.
        task: a registered name, or ``module:function``.
        source: where data sets lie.
        workers: threads of the engine.

    Raises:
        CorruptRun: the process failed; says how.
    """
    places = source or DataSource()
    root, cache = (None if place is None else str(place) for place in (places.root, places.cache))
    request = Request(str(folder), task, root, places.download, cache, workers)
    command = [sys.executable, "-c", "from ticketsearch.runner.apart import main; main()"]
    done = subprocess.run(command, input=json.dumps(vars(request)), capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise CorruptRun(f"{folder}: its ticket could not be confirmed in a process of its own: {last}")
    return Reconfirmed.model_validate_json(lines[-1])


def main() -> None:
    """The other process: a request on stdin, the answer as the last line of stdout."""
    request = Request(**json.loads(sys.stdin.read()))
    folder = Path(request.folder)
    spec, saved = read_spec(folder), load_ticket(folder)
    task = task_of(spec, request.task, DataSource(request.root, request.download, request.cache))
    setup = Setup.of(task, make_engine(task, spec.device, spec.engine, request.workers), spec.seed, spec.granularity)
    controls = tuple(name for name in spec.controls if name not in OF_SCORES)
    ticket = claimed_ticket(saved, setup.units)
    confirmed, references = confirm_with_references(setup, ticket, spec.orders, quiet, controls)
    trained = Weights(confirmed.trained.vector[0], confirmed.trained.rest[0])
    other = other_values(saved.trained, trained)
    answer = Reconfirmed(ticket=confirmed.record, references=references, other_weights=other)
    print()
    print(answer.model_dump_json())


def claimed_ticket(saved: SavedTicket, units: Units) -> Ticket:
    """The ticket of a file."""
    pruned = np.where(saved.mask, np.float32(0), saved.start.vector)
    rest_mask = units.rest_mask(units.collapse(saved.mask))
    return Ticket(saved.mask, saved.start, saved.step, pruned if pruned.any() else None, rest_mask=rest_mask)


def other_values(recorded: Weights, found: Weights) -> int:
    """How many numbers of two networks differ."""
    pairs = ((recorded.vector, found.vector), (recorded.rest, found.rest))
    return sum(int(np.count_nonzero(~((a == b) | (np.isnan(a) & np.isnan(b))))) for a, b in pairs)
