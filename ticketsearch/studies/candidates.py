"""What predictors are tried on: masks of equal layer counts, one mask over many initial weights, tickets of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.errors import InvalidValue, NotARun
from ticketsearch.masks import random_per_layer
from ticketsearch.masks.densities import NAMES, layer_counts
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.folder import RESULT, run_folders
from ticketsearch.records.results import Result, read_finished
from ticketsearch.records.study_records import TruthRecord
from ticketsearch.records.ticket_file import load_ticket
from ticketsearch.runner.apart import claimed_ticket
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream
from ticketsearch.studies.ranking import confirmed_accuracies


@dataclass(frozen=True, eq=False)
class Candidate:
    """One network that may be a ticket.

    Attributes:
        name: for messages.
        mask: of units, ``(U,)``.
        initial: its weights; ``None`` = the seed's initial ones.
    """

    name: str
    mask: BoolArray
    initial: Weights | None = None


def masks_of_counts(setup: Setup, counts: str, sparsity: float, count: int) -> list[Candidate]:
    """Random masks that keep the same number of units in every layer."""
    kept = counts_of(setup, counts, sparsity)
    rng = stream(setup.seed, "predict", "masks")
    return [Candidate(f"mask {index}", random_per_layer(setup.units.space, kept, rng)) for index in range(count)]


def initialisations(setup: Setup, counts: str, sparsity: float, count: int) -> list[Candidate]:
    """One mask over many initial weights: a run's own mask, if ``counts`` is one, else a random one."""
    if counts in NAMES:
        [one] = masks_of_counts(setup, counts, sparsity, 1)
        mask = one.mask
    else:
        mask = _mask_of_run(setup, counts)
    draws = [int(stream(setup.seed, "predict", "initial", index).integers(2**62)) for index in range(count)]
    return [Candidate(f"initialisation {index}", mask, setup.drawn(draw)) for index, draw in enumerate(draws)]


def counts_of(setup: Setup, counts: str, sparsity: float) -> IntArray:
    """Units kept in each layer, ``(L,)``: by a rule (``uniform``, ``erk``, ``smart-ratio``), or a run's ticket.

    Raises:
        InvalidValue: neither a rule nor a run; or a run on another network, or at another sparsity.
    """
    space = setup.units.space
    if counts in NAMES:
        return layer_counts(counts, space, space.n_kept(sparsity))
    mask = _mask_of_run(setup, counts)
    if np.count_nonzero(mask) != space.n_kept(sparsity):
        raise InvalidValue(f"--counts {counts} keeps {np.count_nonzero(mask)} units, not {space.n_kept(sparsity)}")
    return np.asarray(space.counts(mask), dtype=np.int64)


def _mask_of_run(setup: Setup, folder: str) -> BoolArray:
    if not os.path.isdir(folder):
        raise InvalidValue(f"--counts {folder!r} is none of {', '.join(NAMES)} and no folder of a run")
    saved = load_ticket(Path(folder))
    if [(one.name, one.shape) for one in saved.space.layers] != [
        (one.name, one.shape) for one in setup.units.weights.layers
    ]:
        raise InvalidValue(f"--counts {folder} is a run on another network than {setup.task.name}'s")
    mask = setup.units.collapse(saved.mask)
    return np.asarray(mask, dtype=bool)


def trained_in_full(setup: Setup, candidates: Sequence[Candidate], confirmations: int, tick: Tick) -> TruthRecord:
    """Train all candidates, and the dense network from the seed's initial weights, on common data orders."""
    tickets = [setup.units.ticket(Ticket(one.mask, one.initial)) for one in candidates]
    accuracies = confirmed_accuracies(setup, tickets, confirmations, tick)
    everything = Ticket(np.ones(setup.units.weights.size, dtype=bool))
    dense = confirmed_accuracies(setup, [everything], confirmations, tick)
    return TruthRecord(
        names=[one.name for one in candidates],
        test_accuracies=accuracies.tolist(),
        dense_accuracies=dense[0].tolist(),
    )


Group = tuple[str, str, float, str]
"""Task, its fingerprint, sparsity and what is pruned: runs that are compared."""


def finished_runs(folder: str | os.PathLike[str]) -> dict[Group, dict[int, list[Result]]]:
    """Finished runs of a folder by group and seed, their names in order; what is not finished is left out.

    Raises:
        NotARun: no such folder, or no finished run in it.
        CorruptRun: a finished run is damaged.
    """
    found: dict[Group, dict[int, list[Result]]] = {}
    for path in run_folders(folder):
        if not os.path.lexists(path / RESULT):
            continue
        result = read_finished(path)
        group = (result.task, result.task_fingerprint, result.sparsity, result.kind)
        found.setdefault(group, {}).setdefault(result.seed, []).append(result)
    if not found:
        raise NotARun(f"{folder} has no finished run; name the folder given to --out of run or compare")
    return found


def tickets_of(setup: Setup, results: Sequence[Result]) -> tuple[list[Candidate], TruthRecord]:
    """Tickets of runs of one seed, and what their confirmations found; tickets with held weights are left out.

    Raises:
        InvalidValue: fewer than three are left.
    """
    own = [one for one in results if not one.held]
    if len(own) < 3:
        raise InvalidValue(
            f"{len(own)} tickets of seed {setup.seed} at sparsity {results[0].sparsity:g}: finish at least 3"
        )
    candidates, orders = [], min(len(one.confirmation.test_accuracies) for one in own)
    for result in own:
        ticket = claimed_ticket(load_ticket(Path(result.run)), setup.units)
        weights = None if result.start == "initial" else ticket.weights
        candidates.append(Candidate(result.strategy, setup.units.collapse(ticket.mask), weights))
    return candidates, TruthRecord(
        names=[one.name for one in candidates],
        test_accuracies=[one.confirmation.test_accuracies[:orders] for one in own],
        dense_accuracies=own[0].references["dense"].test_accuracies[:orders],
    )
