"""Whether a finished run is what it says: its search replayed, its confirmation and some evaluations re-executed.

The replay runs the strategy against the recorded trials, in memory: it has to ask the same questions in the same
order, at the same cost, and end with the same ticket. Trainings of the search, whose results the record does not hold,
are computed again by that; evaluations are answered from the record, and a sample of them is computed and compared.

On the sparse engine everything must agree exactly. On the dense and the mixed one, where sums depend on the machine,
an accuracy may be off by :data:`TOLERANCE`; losses and weights are not compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch.cost import Cost, Meter
from ticketsearch.engine import make_engine
from ticketsearch.errors import CorruptRun, InvalidValue, StrategyError
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem.short import ShortTrainer, ShortTrainings
from ticketsearch.records.folder import LEDGER, check_digests
from ticketsearch.records.ledger import Ledger, Record, Trial, read_record
from ticketsearch.records.results import Confirmation, Result, read_result
from ticketsearch.records.spec import Spec, read_spec
from ticketsearch.records.ticket_file import SavedTicket, load_ticket
from ticketsearch.runner.again import search_again
from ticketsearch.runner.apart import OF_SCORES, Reconfirmed, claimed_ticket, other_values, reconfirm_apart
from ticketsearch.runner.audit import COUNTED, faults_of_costs
from ticketsearch.runner.confirm import Confirmed
from ticketsearch.runner.curve import confirmed_curve
from ticketsearch.runner.progress import Progress, Silent
from ticketsearch.runner.references import confirm_with_references
from ticketsearch.runner.rounds import measured_rounds
from ticketsearch.runner.search import Searched
from ticketsearch.runner.setup import Setup, task_of
from ticketsearch.seeds import stream
from ticketsearch.strategies.base import Strategy, make_strategy
from ticketsearch.tasks import DataSource, Task

TOLERANCE = 0.02
"""Of an accuracy, on the dense and the mixed engine."""


@dataclass(frozen=True)
class Verification:
    """What was re-executed, and what came out otherwise.

    Attributes:
        run: the folder.
        recorded: evaluations on record.
        evaluations: how many of them were computed again.
        networks: confirmations that were: the ticket's and its references'.
        tolerance: of an accuracy; 0 = exactly.
        apart: whether the ticket was confirmed in a process that never imported the strategy; not for a task that was
            given as an object.
        differences: a line for each.
    """

    run: str
    recorded: int
    evaluations: int
    networks: int
    tolerance: float
    apart: bool
    differences: list[str]

    @property
    def agrees(self) -> bool:
        """Whether everything does."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"agrees": self.agrees, **asdict(self)}


def verify_run(
    folder: str | os.PathLike[str],
    *,
    trials: int = 16,
    strategy: Strategy | None = None,
    task: str | Task | None = None,
    source: DataSource | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Re-execute a sample of a finished run's evaluations, its search's trainings and its confirmation.

    Args:
        folder: the run's; nothing in it is changed.
        trials: how many evaluations, drawn by the run's seed.
        strategy: the instance, for a run whose strategy was not given by name.
        task: where the task is, if its own name does not say: a name, ``"package.module:function"`` or a task.
        source: where data sets lie.
        workers: threads of the engine.
        progress: watches.

    Raises:
        NotARun: no finished run is there.
        CorruptRun: a file is damaged.
        InvalidValue: the task or the strategy is another one.
    """
    if trials < 0:
        raise InvalidValue(f"trials {trials} is less than 0")
    path = Path(folder)
    result, spec, record, saved = read_result(path), read_spec(path), read_record(path / LEDGER), load_ticket(path)
    loaded = task_of(spec, task or result.task_source, source)
    engine = make_engine(loaded, spec.device, spec.engine, workers)
    searcher = strategy or make_strategy(spec.strategy, spec.parameters)
    setup = Setup.of(loaded, engine, spec.seed, spec.granularity)
    check = _Check(result, spec, record, saved, setup, progress or Silent())
    apart = None if isinstance(task, Task) else lambda: reconfirm_apart(path, _name_of(task, result), source, workers)
    return check.run(searcher, trials, apart)


def _name_of(task: str | None, result: Result) -> str:
    return task or result.task_source or result.task


class _Check:
    """The steps of a verification, in order; differences are collected."""

    def __init__(
        self, result: Result, spec: Spec, record: Record, saved: SavedTicket, setup: Setup, progress: Progress
    ) -> None:
        self._result, self._spec, self._record, self._saved = result, spec, record, saved
        self._setup, self._progress = setup, progress
        self._exact = setup.engine.name == "sparse"
        self._seen: dict[int, ShortTrainings | None] = {}
        self._n_kept = setup.units.space.n_kept(spec.sparsity)
        self._differences: list[str] = []

    def run(self, strategy: Strategy, trials: int, apart: Callable[[], Reconfirmed] | None) -> Verification:
        self._papers()
        evaluations = [trial for trial in self._record.trials if trial.kind == "evaluate"]
        chosen = stream(self._spec.seed, "verify").permutation(len(evaluations))[:trials]
        sample = [evaluations[index] for index in sorted(chosen)]
        self._seen = dict.fromkeys(trial.number for trial in sample)
        found = self._replay(strategy)
        self._evaluations(sample)
        networks = self._confirmation(found, apart)
        return Verification(
            run=self._result.run,
            recorded=len(evaluations),
            evaluations=len(sample),
            networks=networks,
            tolerance=0.0 if self._exact else TOLERANCE,
            apart=apart is not None,
            differences=self._differences,
        )

    def _compare(self, what: str, recorded: object, found: object) -> None:
        if recorded != found:
            self._differences.append(f"{what}: {_short(recorded)} on record, {_short(found)} now")

    def _accuracies(self, what: str, recorded: Sequence[float | None], found: Sequence[float | None]) -> None:
        """Exactly, or within the tolerance."""
        pairs = list(zip(recorded, found, strict=False))
        near = len(recorded) == len(found) and all(
            a == b or (a is not None and b is not None and abs(a - b) <= TOLERANCE) for a, b in pairs
        )
        if self._exact or not near:
            self._compare(what, list(recorded), list(found))

    def _papers(self) -> None:
        """The files of the run must say the same; that spec and result do was seen as they were read."""
        result, record = self._result, self._record
        try:
            check_digests(Path(result.run), result.files)
        except CorruptRun as error:
            self._differences.append(str(error))
        self._compare("trials of result.json and ledger", result.trials, len(record.trials))
        self._compare("mask of result.json and ticket", result.mask_digest, self._saved.mask_digest)
        self._compare("kept units and those of the sparsity", result.n_units_kept, self._n_kept)
        kept = self._setup.units.collapse(self._saved.mask)
        self._compare("kept units of the ticket", self._n_kept, int(np.count_nonzero(kept)))
        spent = Cost(**result.cost.model_dump(exclude={"epochs"}))
        self._differences += faults_of_costs(
            record.trials, spent, self._spec.budget, self._setup.prices, late=record.ended is not None
        )

    def _replay(self, strategy: Strategy) -> Searched | None:
        """The search again, its evaluations answered from the record; ``None`` if it goes another way."""
        try:
            found = search_again(self._setup, self._spec, strategy, self._record, self._seen, self._progress)
        except (CorruptRun, StrategyError) as error:
            self._differences.append(f"search: {error}")
            return None
        self._compare("trials of the search", len(self._record.trials), found.session.replay.length)
        spent, recorded = asdict(found.spent), self._result.cost.model_dump()
        for name in COUNTED:
            self._compare(f"{name} of the search", recorded[name], spent[name])
        self._compare("ticket of the search", self._result.mask_digest, digest(found.ticket.mask))
        best = found.incumbents[-1] if found.incumbents else None
        self._compare("search_score", self._result.search_score, best.score.value if best else None)
        started = found.ticket.started(self._setup.initial).weights
        if self._exact and started is not None:
            self._weights("start weights of the ticket", self._saved.start, started)
        return found

    def _evaluations(self, sample: Sequence[Trial]) -> None:
        """Compute some of them, as the search's evaluator did."""
        meter = Meter(len(self._setup.task.train.labels))
        spec = self._spec
        trainer = ShortTrainer(self._setup.session(spec.sparsity, spec.fidelity, meter, Ledger()))
        for trial in sample:
            what = f"trial {trial.number}"
            if (training := self._seen.get(trial.number)) is None or digest(training.masks[0]) != trial.mask:
                self._differences.append(f"{what}: mask {trial.mask} was not asked for again")
                continue
            [score] = trainer.scores(training)
            self._compare(f"{what}, state", trial.state, "failed" if score.failed else "complete")
            if not score.failed and trial.state == "complete":
                self._accuracies(f"{what}, score", [trial.score], [score.value])
                if self._exact:
                    self._compare(f"{what}, loss", trial.loss, score.loss)

    def _confirmation(self, found: Searched | None, apart: Callable[[], Reconfirmed] | None) -> int:
        """The ticket on record, trained and tested again beside its references; how many networks that were."""
        same = found is not None and digest(found.ticket.mask) == self._saved.mask_digest
        ticket = found.ticket if found is not None and same else claimed_ticket(self._saved, self._setup.units)
        of_scores = tuple(name for name in self._spec.controls if name in OF_SCORES) if same else ()
        if apart is None:
            plain = tuple(name for name in self._spec.controls if name not in OF_SCORES)
            confirmed, references = self._confirmed(ticket, (*plain, *of_scores))
            trained = Weights(confirmed.trained.vector[0], confirmed.trained.rest[0])
            record, other = confirmed.record, other_values(self._saved.trained, trained)
        else:
            again = apart()
            record, references, other = again.ticket, dict(again.references), again.other_weights
            if of_scores:  # no file holds the scores that chose the mask
                references |= {name: self._confirmed(ticket, of_scores)[1][name] for name in of_scores}
        result = self._result
        self._network("ticket", result.confirmation, record)
        for name, reference in references.items():
            if name in result.references:
                self._network(name, result.references[name], reference)
            else:
                self._differences.append(f"{name}: not on record")
        if self._exact and other:
            self._differences.append(f"trained weights of the ticket: {other} values differ")
        heads = {"": record, **{f"{name}_": references[name] for name in ("dense", "random", "magnitude")}}
        for name, reference in heads.items():
            field = f"{name}test_accuracy"
            self._accuracies(field, [getattr(result, field)], [reference.test_accuracy])
        self._accuracies("validation_accuracy", [result.validation_accuracy], [record.validation_accuracy])
        if found is not None and same:
            self._curve(found, record)
            self._rounds(found, record)
        return 1 + len(references)

    def _confirmed(self, ticket: Ticket, controls: tuple[str, ...]) -> tuple[Confirmed, dict[str, Confirmation]]:
        """In this process."""
        return confirm_with_references(self._setup, ticket, self._spec.orders, self._progress.confirm, controls)

    def _curve(self, found: Searched, record: Confirmation) -> None:
        """The search's earlier masks, confirmed again."""
        again = confirmed_curve(self._setup, self._spec, found, record, self._progress.confirm)
        self._compare(
            "masks of the curve", [one.mask_digest for one in self._result.curve], [one.mask_digest for one in again]
        )
        for which in ("search_score", "test_accuracy", "validation_accuracy"):
            pair = ([getattr(one, which) for one in curve] for curve in (self._result.curve, again))
            self._accuracies(f"{which} of the curve", *pair)

    def _rounds(self, found: Searched, record: Confirmation) -> None:
        """The networks that the search trained on its way, measured again."""
        again = measured_rounds(self._setup, found.session.rounds, found.ticket.mask, record)
        recorded = self._result.rounds
        self._compare("masks of the rounds", *([one.mask_digest for one in rounds] for rounds in (recorded, again)))
        for which in ("test_accuracy", "validation_accuracy"):
            self._accuracies(f"{which} of the rounds", *([getattr(o, which) for o in r] for r in (recorded, again)))

    def _network(self, name: str, recorded: Confirmation, found: Confirmation) -> None:
        for which in ("test_accuracies", "validation_accuracies"):
            self._accuracies(f"{name}, {which}", getattr(recorded, which), getattr(found, which))
        self._accuracies(f"{name}, test_accuracy", [recorded.test_accuracy], [found.test_accuracy])
        untrained = "untrained_test_accuracy"
        self._accuracies(f"{name}, {untrained}", [getattr(recorded, untrained)], [getattr(found, untrained)])
        for which in ("steps", "diverged"):
            self._compare(f"{name}, {which}", getattr(recorded, which), getattr(found, which))

    def _weights(self, what: str, recorded: Weights, found: Weights) -> None:
        if other := other_values(recorded, found):
            self._differences.append(f"{what}: {other} values differ")


def _short(value: object) -> str:
    return f"{', '.join(map(str, value))}" if isinstance(value, list) else str(value)


def lines_of(verification: Verification) -> Iterator[str]:
    """A verification in words, a line each."""
    how = f"to {verification.tolerance:g}" if verification.tolerance else "exactly"
    yield (
        f"{verification.run}: re-executed the search with {verification.evaluations} of {verification.recorded} "
        f"evaluations, and the confirmation of {verification.networks} networks; compared {how}"
    )
    if not verification.apart:
        yield "the task was given as an object, so the ticket was confirmed in this process, beside the strategy's code"
    for difference in verification.differences:
        yield f"differs: {difference}"
    yield "it agrees" if verification.agrees else f"{len(verification.differences)} differences"
