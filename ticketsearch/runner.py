"""One run: a task, a strategy, a budget and a seed, from the search to the confirmed ticket in its folder."""

from __future__ import annotations

import json
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np

from ticketsearch import plugins
from ticketsearch.anytime import curve_of, short_scores
from ticketsearch.confirm import Confirmed, Shared, confirm_with_references
from ticketsearch.controls import check_controls
from ticketsearch.cost import Meter, at_least, parse_epochs, parse_steps
from ticketsearch.engine import Engine, make_engine
from ticketsearch.errors import BudgetExhausted, InvalidValue, NotARun, StrategyError, TicketsearchError
from ticketsearch.files import write_atomically
from ticketsearch.ledger import Ledger
from ticketsearch.lock import LOCK, only_writer
from ticketsearch.masks import digest
from ticketsearch.pricing import evaluation_thirds
from ticketsearch.problem import MaskProblem
from ticketsearch.results import (
    LEDGER,
    MARKER,
    RESULT,
    SPEC,
    TICKET,
    Checkpoint,
    Confirmation,
    CostRecord,
    LayerRecord,
    Result,
    read_result,
    write_result,
)
from ticketsearch.spec import Spec, checked_out, versions_of
from ticketsearch.strategy import Strategy, checked_strategy, make_strategy, parameters_of
from ticketsearch.tasks import DataSource, Task, load_task
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tickets import Ticket, Weights, save_ticket

DEFAULT_TASK = "mnist1d-mlp"
DEFAULT_BUDGET = "2000ep"


class Progress(Protocol):
    """Watches a run."""

    def search(self, problem: MaskProblem) -> None:
        """Called after each recorded batch of trials."""
        ...

    def confirm(self, what: str, fraction: float) -> None:
        """Called during confirmation with the network being trained and the fraction done."""
        ...


class _Silent:
    def search(self, problem: MaskProblem) -> None:
        pass

    def confirm(self, what: str, fraction: float) -> None:
        pass


def run(
    strategy: str | Strategy,
    task: str | Task = DEFAULT_TASK,
    *,
    sparsity: float = 0.9,
    budget: str = DEFAULT_BUDGET,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] = "runs",
    device: str = "cpu",
    engine: str = "auto",
    orders: int = 3,
    controls: Sequence[str] = (),
    checkpoints: int = 8,
    fidelity: int | str | None = None,
    source: DataSource | None = None,
    workers: int | None = None,
    shared: Shared | None = None,
    progress: Progress | None = None,
) -> Result:
    """Search for a ticket, confirm it, and keep both in a folder; a finished run is read back, not repeated.

    Args:
        strategy: a registered name, or an instance.
        task: a registered name, ``"package.module:function"``, or a :class:`ticketsearch.Task`.
        sparsity: fraction of the prunable weights to prune, in [0, 1).
        budget: what the search may spend, in epochs of the dense network, ``"500ep"``.
        seed: fixes initial weights, data orders and every random choice.
        settings: hyperparameters of a strategy given by name.
        out: folder of run folders.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        engine: ``sparse``, ``dense`` or ``auto``; see :func:`ticketsearch.engine.make_engine`.
        orders: full trainings, each with a data order of its own, in the confirmation.
        controls: further references: the ticket with one of its claims taken away; see :mod:`ticketsearch.controls`.
        checkpoints: how many masks the search would have returned earlier to confirm as well, at costs doubling up to
            what it spent; 0 for none.
        fidelity: length of the evaluator's training, in steps or ``"2ep"``; default the task's.
        source: where data sets lie.
        workers: threads of the engine on a CPU; default one per core. Results do not depend on it.
        shared: what runs one after another share; results do not depend on it.
        progress: watches.

    Returns:
        The result, as in ``result.json``.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        StrategyError: the strategy broke its contract or found nothing.
        RunInUse: another process is at work on the same run.
    """
    limit = parse_epochs(budget)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidValue(f"seed {seed!r} is not an integer from 0 to 2**63 - 1")
    if not 1 <= orders <= 1000:
        raise InvalidValue(f"orders {orders!r} is not between 1 and 1000")
    if not 0 <= checkpoints <= 100:
        raise InvalidValue(f"checkpoints {checkpoints!r} is not between 0 and 100")
    wanted = check_controls(tuple(controls))
    name, distribution, searcher = _resolve(strategy, settings or {})
    out_folder = checked_out(Path(out))
    loaded = task if isinstance(task, Task) else load_task(task, source)
    trainer = make_engine(loaded, device, engine, workers)
    trainer.layout.space.n_kept(sparsity)
    steps = loaded.fidelity if fidelity is None else parse_steps(fidelity, loaded.steps_per_epoch, "fidelity")
    _check_budget(loaded, limit, steps)
    spec = Spec(
        strategy=name,
        distribution=distribution,
        parameters=parameters_of(searcher),
        task=loaded.name,
        task_fingerprint=loaded.fingerprint,
        sparsity=float(sparsity),
        budget=limit,
        fidelity=steps,
        seed=seed,
        orders=orders,
        controls=list(wanted),
        checkpoints=checkpoints,
        engine=trainer.name,
        device=device,
    )
    folder = out_folder / spec.folder_name
    if (folder / RESULT).is_file():
        return read_result(folder)
    return _Run(spec, searcher, loaded, trainer, folder, progress or _Silent()).execute(shared)


def _resolve(strategy: str | Strategy, settings: Mapping[str, Any]) -> tuple[str, str, Strategy]:
    if isinstance(strategy, str):
        plugin = plugins.find(plugins.STRATEGIES, strategy)
        return plugin.name, plugin.distribution, make_strategy(strategy, settings)
    if settings:
        raise InvalidValue("settings belong to a strategy given by name; an instance has its own")
    return type(strategy).__name__, type(strategy).__module__, checked_strategy(strategy)


def _check_budget(task: Task, budget: float, steps: int) -> None:
    size = len(task.train.labels)
    need = evaluation_thirds(steps, task.recipe.batch_size, len(task.validation.labels)) / (3 * size)
    if need > budget:
        raise InvalidValue(
            f"budget {budget:g}ep is too small for one evaluation of {steps} steps and a validation, "
            f"which costs {at_least(need)}"
        )


class _Run:
    """The steps of one run, in order."""

    def __init__(
        self, spec: Spec, strategy: Strategy, task: Task, engine: Engine, folder: Path, progress: Progress
    ) -> None:
        self._spec, self._strategy, self._task, self._engine = spec, strategy, task, engine
        self._folder, self._progress = folder, progress
        self._initial = read_weights(task.build(spec.seed), engine.layout)
        self._meter = Meter(len(task.train.labels), spec.budget)

    def execute(self, shared: Shared | None) -> Result:
        self._prepare_folder()
        with only_writer(self._folder):
            if (self._folder / RESULT).is_file():  # since we looked, by another process
                return read_result(self._folder)
            self._write_spec()
            return self._compute(shared)

    def _compute(self, shared: Shared | None) -> Result:
        with Ledger(self._folder / LEDGER) as ledger:
            if len(ledger):  # resumed: the seconds of the session before were spent too
                spent = ledger[-1].after
                self._meter.spent = spent.seconds()
            problem = self._problem(ledger)
            ticket, stopped = self._search(problem)
            failed = sum(trial.state == "failed" for trial in ledger)
            calls = dict(sorted(Counter(trial.kind for trial in ledger).items()))
        ticket = ticket.started(self._initial)
        confirmed, references = confirm_with_references(
            self._engine, self._task, ticket, self._initial, self._spec.seed, self._spec.orders,
            self._progress.confirm, tuple(self._spec.controls), shared,
        )  # fmt: skip
        curve = curve_of(
            self._engine, self._task, self._spec, self._initial, problem.incumbents, ticket, self._meter.spent,
            confirmed.record, self._progress.confirm,
        )  # fmt: skip
        trained = Weights(confirmed.trained.vector[0], confirmed.trained.rest[0])
        layout = self._engine.layout
        save_ticket(self._folder / TICKET, ticket, layout.space, trained, layout.rest_shapes)
        result = self._result(problem, ticket, stopped, failed, calls, confirmed, references, curve)
        write_result(self._folder, result)
        return result

    def _prepare_folder(self) -> None:
        ours = {SPEC, LOCK}  # the lock comes first: a process killed in between leaves nothing else
        if self._folder.exists() and (found := set(os.listdir(self._folder))) and not found & ours:
            raise NotARun(f"{self._folder} exists, is not empty and is not a run; move it away or choose another --out")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder.parent / MARKER).touch()
        except OSError as error:
            raise NotARun(f"no folder can be made in --out {self._folder.parent}: {error.strerror}") from error

    def _write_spec(self) -> None:
        write_atomically(self._folder / SPEC, (json.dumps(asdict(self._spec), indent=1) + "\n").encode())

    def _problem(self, ledger: Ledger) -> MaskProblem:
        return MaskProblem(
            self._engine,
            validation=self._task.validation,
            recipe=self._task.recipe,
            fidelity=self._spec.fidelity,
            initial=self._initial,
            sparsity=self._spec.sparsity,
            meter=self._meter,
            ledger=ledger,
            seed=self._spec.seed,
            progress=self._progress.search,
        )

    def _search(self, problem: MaskProblem) -> tuple[Ticket, str]:
        """The ticket, and why the search ended."""
        ticket, stopped = None, "returned"
        self._meter.start()
        with _first_interrupt_finishes_batch(problem):
            try:
                ticket = self._strategy.search(problem)
                problem.finish()
            except BudgetExhausted as error:
                stopped = f"{type(error).__name__}: {error}"
                problem.finish()
            except BaseException as error:
                problem.interrupt()  # trainings it leaves unfinished are no trials: a resumed run makes them anew
                if isinstance(error, TicketsearchError) or not isinstance(error, Exception):
                    raise
                raise StrategyError(self._blame(error)) from error
            if problem.interrupted:  # after the last verb
                raise KeyboardInterrupt
        self._meter.lap(strategy=True)
        if ticket is None:
            if problem.incumbent is None:
                raise StrategyError(
                    f"strategy {self._spec.strategy!r} ended without a ticket and without one scored mask ({stopped})"
                )
            return Ticket(problem.incumbent.mask), stopped
        return self._checked(ticket, problem), stopped

    def _blame(self, error: Exception) -> str:
        """Which strategy failed, how and where."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}"
        return f"strategy {self._spec.strategy!r} failed at {last.filename}:{last.lineno}: {what}"

    def _checked(self, ticket: Ticket, problem: MaskProblem) -> Ticket:
        where = f"strategy {self._spec.strategy!r} returned"
        if not isinstance(ticket, Ticket):
            raise StrategyError(f"{where} {type(ticket).__name__}; search must return a Ticket or None")
        mask = np.asarray(ticket.mask)
        if mask.dtype != np.bool_ or mask.shape != (problem.space.size,):
            raise StrategyError(f"{where} a mask of {mask.dtype} {mask.shape}; needed: bool ({problem.space.size},)")
        kept = int(np.count_nonzero(mask))
        if kept != problem.n_kept:
            raise StrategyError(f"{where} a mask that keeps {kept} weights; sparsity asks for {problem.n_kept}")
        if not 0 <= ticket.step <= self._task.recipe.steps:
            raise StrategyError(f"{where} a ticket of step {ticket.step}; the recipe has {self._task.recipe.steps}")
        weights = ticket.weights
        if weights is not None and (
            weights.vector.shape != self._initial.vector.shape or weights.rest.shape != self._initial.rest.shape
        ):
            raise StrategyError(f"{where} start weights of shapes {weights.vector.shape}, {weights.rest.shape}")
        for name, values in (("held values", ticket.held), ("scores", ticket.scores)):
            if values is not None and values.shape != mask.shape:
                raise StrategyError(f"{where} {name} of shape {values.shape}; needed: {mask.shape}")
        return ticket

    def _result(
        self,
        problem: MaskProblem,
        ticket: Ticket,
        stopped: str,
        failed: int,
        calls: dict[str, int],
        confirmed: Confirmed,
        references: dict[str, Confirmation],
        curve: list[Checkpoint],
    ) -> Result:
        spec, record, space = self._spec, confirmed.record, problem.space
        short = short_scores(self._engine, self._task, ticket.mask[None], self._initial, spec.seed, spec.fidelity)
        return Result(
            strategy=spec.strategy,
            parameters=spec.parameters,
            distribution=spec.distribution,
            task=spec.task,
            task_fingerprint=spec.task_fingerprint,
            seed=spec.seed,
            sparsity=spec.sparsity,
            budget=spec.budget,
            fidelity=spec.fidelity,
            orders=spec.orders,
            n_kept=problem.n_kept,
            n_weights=space.size,
            validation_accuracy=record.validation_accuracy,
            test_accuracy=record.test_accuracy,
            dense_test_accuracy=references["dense"].test_accuracy,
            random_test_accuracy=references["random"].test_accuracy,
            magnitude_test_accuracy=references["magnitude"].test_accuracy,
            search_score=problem.incumbent.score.value if problem.incumbent else None,
            curve=curve,
            short_scores={steps: float(scores[0]) for steps, scores in short.items()},
            cost=CostRecord.model_validate(self._meter.spent.as_dict(self._meter.train_size)),
            confirmation=record,
            references=references,
            layers=[
                LayerRecord(name=layer.name, shape=list(layer.shape), kept=int(n), density=int(n) / layer.size)
                for layer, n in zip(space.layers, space.counts(ticket.mask), strict=True)
            ],
            mask_digest=digest(ticket.mask),
            trials=problem.trials,
            failed_trials=failed,
            calls=calls,
            stopped=stopped,
            notes=problem.notes,
            engine=spec.engine,
            device=spec.device,
            versions=versions_of(spec.distribution),
            ticket=str(self._folder / TICKET),
            run=str(self._folder),
        )


@contextmanager
def _first_interrupt_finishes_batch(problem: MaskProblem) -> Iterator[None]:
    """First Ctrl-C: finish and record the batch, then stop. Second: at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        problem.interrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
