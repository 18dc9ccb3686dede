"""The steps of one run, in order: search, confirmation, its curve, its rounds, the result in its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ticketsearch.callbacks.audience import Audience
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.files import remove_leftovers
from ticketsearch.records.folder import (
    LEDGER,
    RESULT,
    RESUME,
    TICKET,
    digests_of,
    make_run_folder,
)
from ticketsearch.records.ledger import Ledger, Trial
from ticketsearch.records.lock import only_writer
from ticketsearch.records.provenance import code_of_package, machine_of, versions_of
from ticketsearch.records.results import (
    Checkpoint,
    Confirmation,
    CostRecord,
    LayerRecord,
    PricesRecord,
    Result,
    read_finished,
    write_result,
)
from ticketsearch.records.resume import ResumeStore
from ticketsearch.records.spec import Spec, keep_spec
from ticketsearch.records.ticket_file import save_ticket
from ticketsearch.runner.curve import confirmed_curve, short_scores
from ticketsearch.runner.progress import Progress
from ticketsearch.runner.references import Shared, confirm_with_references
from ticketsearch.runner.rounds import measured_rounds
from ticketsearch.runner.search import Searched, search
from ticketsearch.runner.setup import Setup
from ticketsearch.runner.watched import watched
from ticketsearch.strategies.base import Strategy


class Execution:
    """The steps of one run, in order."""

    def __init__(
        self, spec: Spec, strategy: Strategy, setup: Setup, folder: Path, progress: Progress, audience: Audience
    ) -> None:
        self._spec, self._strategy, self._setup = spec, strategy, setup
        self._folder, self._progress, self._audience = folder, progress, audience

    def execute(self, shared: Shared | None) -> Result:
        """Search, confirm, write; or read back what another process has finished meanwhile."""
        make_run_folder(self._folder)
        with only_writer(self._folder) as check_there:
            remove_leftovers(self._folder)
            resume = ResumeStore(self._folder / RESUME)
            missing = not (self._folder / RESULT).is_file()  # it may be there since we looked, by another process
            if missing:
                keep_spec(self._folder, self._spec)
                write_result(self._folder, self._compute(resume, shared, check_there))
            resume.clear()
        result = read_finished(self._folder)
        if missing:
            self._audience.tell("on_result", result)
        return result

    def _compute(self, resume: ResumeStore, shared: Shared | None, check_there: Callable[[], None]) -> Result:
        spec, setup, tick = self._spec, self._setup, self._progress.confirm
        with Ledger(self._folder / LEDGER, code_of_package()) as ledger:
            progress = watched(self._progress, self._audience, spec, ledger)
            found = search(setup, spec, self._strategy, ledger, progress, resume)
            trials = list(ledger)
            ledger.check_there()
        confirmed, references = confirm_with_references(
            setup, found.ticket, spec.orders, tick, spec.controls, shared, resume
        )
        curve = confirmed_curve(setup, spec, found, confirmed.record, tick, resume)
        trained = Weights(confirmed.trained.vector[0], confirmed.trained.rest[0])
        start, layout = found.ticket.started(setup.initial), setup.engine.layout
        check_there()
        save_ticket(self._folder / TICKET, start, layout.space, trained, layout.rest_shapes)
        return self._result(found, trials, confirmed.record, references, curve)

    def _short_scores(self, ticket: Ticket) -> dict[int, float]:
        """Of a ticket that starts where the evaluator does; another one's mask alone would say nothing of it."""
        units, initial = self._setup.units, self._setup.initial
        mask = units.collapse(ticket.mask)
        start, plain = ticket.started(initial).weights, units.ticket(Ticket(mask)).started(initial).weights
        assert start is not None
        assert plain is not None
        if ticket.step or not np.array_equal(start.vector, plain.vector):
            return {}
        scores = short_scores(self._setup, mask[None], self._spec.fidelity)
        return {steps: float(values[0]) for steps, values in scores.items()}

    def _result(
        self,
        found: Searched,
        trials: Sequence[Trial],
        record: Confirmation,
        references: dict[str, Confirmation],
        curve: list[Checkpoint],
    ) -> Result:
        spec, setup, session = self._spec, self._setup, found.session
        task, layout, space = setup.task, setup.engine.layout, setup.units.weights
        return Result(
            strategy=spec.strategy,
            parameters=spec.parameters,
            distribution=spec.distribution,
            task=spec.task,
            task_fingerprint=spec.task_fingerprint,
            seed=spec.seed,
            sparsity=spec.sparsity,
            granularity=spec.granularity,
            budget=spec.budget,
            fidelity=spec.fidelity,
            fidelity_end=spec.fidelity_end,
            orders=spec.orders,
            checkpoints=spec.checkpoints,
            time_limit_s=spec.time_limit_s,
            n_kept=int(np.count_nonzero(found.ticket.mask)),
            n_weights=space.size,
            n_units_kept=int(np.count_nonzero(setup.units.collapse(found.ticket.mask))),
            n_units=setup.units.space.size,
            validation_accuracy=record.validation_accuracy,
            test_accuracy=record.test_accuracy,
            dense_test_accuracy=references["dense"].test_accuracy,
            random_test_accuracy=references["random"].test_accuracy,
            magnitude_test_accuracy=references["magnitude"].test_accuracy,
            search_score=found.incumbents[-1].score.value if found.incumbents else None,
            curve=curve,
            short_scores=self._short_scores(found.ticket),
            cost=CostRecord.model_validate(found.spent.as_dict(len(task.train.labels))),
            confirmation=record,
            references=references,
            layers=[
                LayerRecord(
                    name=layer.name,
                    shape=list(layer.shape),
                    kept=int(n),
                    density=int(n) / layer.size,
                    flops=2 * layer.size * layer.uses,
                    kept_flops=2 * int(n) * layer.uses,
                )
                for layer, n in zip(space.layers, space.counts(found.ticket.mask), strict=True)
            ],
            mask_digest=digest(found.ticket.mask),
            trials=len(trials),
            failed_trials=sum(trial.state == "failed" for trial in trials),
            calls=dict(sorted(Counter[str](trial.kind for trial in trials).items())),
            stopped=found.stopped,
            notes=session.notes,
            engine=spec.engine,
            device=spec.device,
            versions=versions_of(spec.distribution),
            machine=machine_of(setup.engine.threads, spec.device),
            prices=PricesRecord(**asdict(setup.prices)),
            rounds=measured_rounds(setup, session.rounds, found.ticket.mask, record),
            keep=list(spec.keep or []),
            left_dense=layout.left_dense,
            n_parameters=layout.parameters,
            start=found.origin,
            held=found.ticket.held is not None,
            task_source=task.origin,
            overlap=task.overlap,
            majority_test_accuracy=task.majority,
            n_classes=task.n_classes,
            files=digests_of(self._folder),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            ticket=str(self._folder / TICKET),
            run=str(self._folder),
            task_options=spec.task_options or {},
        )
