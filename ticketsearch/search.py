"""The search of one run: a strategy let loose on its problem, watched, and what it brings back, checked."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import chain
from types import FrameType
from typing import Protocol

import numpy as np

from ticketsearch.audit import Prices, faults_of_costs, faults_of_incumbents, origin_of
from ticketsearch.checkpoints import Checkpoints
from ticketsearch.cost import Cost, Meter
from ticketsearch.engine import Engine
from ticketsearch.errors import BudgetExhausted, StorageError, StrategyError, TicketsearchError, TimeLimitReached
from ticketsearch.files import FULL
from ticketsearch.ledger import Ledger, Trial
from ticketsearch.problem import MaskProblem
from ticketsearch.results import Result
from ticketsearch.scores import Incumbent
from ticketsearch.session import Stubborn
from ticketsearch.spec import Spec
from ticketsearch.strategy import Strategy
from ticketsearch.tasks import Task
from ticketsearch.tickets import Ticket, Weights
from ticketsearch.units import Units, weight_units

GRACE_S = 0.2
"""How often a strategy whose time is up is told so, should it not listen."""


class Progress(Protocol):
    """Watches a run."""

    def search(self, problem: MaskProblem) -> None:
        """Called after each recorded batch of trials."""
        ...

    def confirm(self, what: str, fraction: float) -> None:
        """Called during confirmation with the network being trained and the fraction done."""
        ...

    def found(self, result: Result) -> None:
        """Called in place of all that when the run is finished already, and its result is shown."""
        ...


class Silent:
    """Progress that nobody watches."""

    def search(self, problem: MaskProblem) -> None:
        """Does nothing."""

    def confirm(self, what: str, fraction: float) -> None:
        """Does nothing."""

    def found(self, result: Result) -> None:
        """Does nothing."""


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search ended with.

    Attributes:
        ticket: as the strategy returned it, or the incumbent; its mask is of weights.
        stopped: why it ended.
        problem: notes, number of trials.
        spent: its cost.
        incumbents: the best masks of units, first to last.
        origin: where the ticket's start weights come from; see :func:`ticketsearch.audit.origin_of`.
    """

    ticket: Ticket
    stopped: str
    problem: MaskProblem
    spent: Cost
    incumbents: tuple[Incumbent, ...]
    origin: str


def search(
    spec: Spec,
    strategy: Strategy,
    task: Task,
    engine: Engine,
    initial: Weights,
    ledger: Ledger,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
    problem_type: Callable[..., MaskProblem] = MaskProblem,
    units: Units | None = None,
) -> Searched:
    """Search, or replay what the ledger holds of a search and go on.

    Args:
        spec: of the run: budget, sparsity, seed, fidelity, time limit.
        strategy: what is let loose.
        task: on what.
        engine: computes.
        initial: the run's initial weights.
        ledger: the record; trials in it are not paid for again.
        progress: watches.
        checkpoints: what trials in the ledger gave.
        problem_type: what the strategy is handed.
        units: what masks are of; default the weights.

    Raises:
        StrategyError: the strategy broke its contract or found nothing.
        StorageError: the disk is full.
        KeyboardInterrupt: it was interrupted, and its last batch recorded.
    """
    engine.warm_up()
    units = units or weight_units(engine.layout.space)
    n_kept = units.space.n_kept(spec.sparsity)
    meter = Meter(len(task.train.labels), spec.budget)
    if len(ledger):  # resumed: the seconds of the session before were spent too
        meter.spent = ledger[-1].after.seconds()
    problem = problem_type(
        engine,
        validation=task.validation,
        recipe=task.recipe,
        fidelity=spec.fidelity,
        initial=initial,
        sparsity=spec.sparsity,
        meter=meter,
        ledger=ledger,
        seed=spec.seed,
        progress=progress.search,
        checkpoints=checkpoints,
        limit_s=spec.time_limit_s,
        units=units,
    )
    ticket, stopped = _let_loose(strategy, spec.strategy, problem, meter)
    if problem.late:  # it was told so, and may have returned what it had
        problem.end(f"{TimeLimitReached.__name__}: the search may take {spec.time_limit_s:g} s")
    elif ledger.ended is not None:  # it was in code of its own when its time was up, and went on in this replay
        ticket = None
    if ledger.ended is not None:
        stopped, meter.spent = ledger.ended
    incumbents = problem.incumbents
    _audit(spec, task, engine, list(ledger), meter.spent, incumbents, n_kept, late=problem.late)
    if ticket is None:
        if not incumbents:
            raise StrategyError(_why_nothing(spec.strategy, list(ledger), stopped, task.recipe.learning_rate))
        own = Ticket(np.array(incumbents[-1].mask))
    else:
        own = _checked(ticket, spec.strategy, problem.recipe.steps, n_kept, units, initial)
    whole = units.ticket(own)
    origin = origin_of(whole, initial, units.weights, problem.handed_out)
    return Searched(whole, stopped, problem, meter.spent, incumbents, origin)


def _why_nothing(name: str, trials: list[Trial], stopped: str, rate: float) -> str:
    """Why a search has neither a ticket nor a scored mask."""
    failed = [trial for trial in trials if trial.kind == "evaluate" and trial.state == "failed"]
    if not failed:
        return f"strategy {name!r} ended without a ticket and without one scored mask ({stopped})"
    return (
        f"all {len(failed)} evaluations of strategy {name!r} diverged ({failed[0].reason.removeprefix('diverged: ')}); "
        f"lower the recipe's learning rate, which is {rate:g}, or look at the scale of the inputs"
    )


def _audit(
    spec: Spec,
    task: Task,
    engine: Engine,
    trials: list[Trial],
    spent: Cost,
    incumbents: tuple[Incumbent, ...],
    n_kept: int,
    *,
    late: bool,
) -> None:
    """Add everything up again; what does not add up was bent by the strategy.

    Raises:
        StrategyError: says what.
    """
    layout = engine.layout
    flops = layout.space.flops_per_example() + layout.fixed_flops
    prices = Prices(task.recipe.batch_size, len(task.validation.labels), flops, len(task.train.labels))
    faults = chain(
        faults_of_costs(trials, spent, spec.budget, prices, late=late),
        faults_of_incumbents(incumbents, trials, n_kept),
    )
    if (fault := next(faults, None)) is not None:
        raise StrategyError(f"strategy {spec.strategy!r} changed what is the host's: {fault}")


def _let_loose(strategy: Strategy, name: str, problem: MaskProblem, meter: Meter) -> tuple[object, str]:
    """What the strategy returned, and why the search ended."""
    ticket: object = None
    stopped = "returned"
    meter.start()
    # Stdout is for results: what a plug-in prints goes to stderr.
    with redirect_stdout(sys.stderr), _first_interrupt_finishes_batch(problem), _alarm(problem, meter):
        try:
            ticket = problem.search_by(strategy.search)
            problem.finish()
        except (BudgetExhausted, Stubborn) as error:
            stopped = f"{type(error).__name__}: {error}"
            problem.finish()
        except BaseException as error:
            problem.interrupt()  # trainings it leaves unfinished are no trials: a resumed run makes them anew
            if isinstance(error, StrategyError) and repr(name) not in str(error):
                raise StrategyError(f"strategy {name!r}: {error}") from error
            if isinstance(error, TicketsearchError) or not isinstance(error, Exception | SystemExit):
                raise
            if isinstance(error, OSError) and error.errno in FULL:
                raise StorageError(f"{error.strerror}; make room and run the same command again") from error
            raise StrategyError(_blame(error, name)) from error
        finally:
            problem.close()
        if problem.interrupted:  # after the last verb
            raise KeyboardInterrupt
    meter.lap(strategy=True)
    return ticket, stopped


def _blame(error: BaseException, name: str) -> str:
    """Which strategy failed, how and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    try:
        words = str(error)
    except Exception:  # its author's own
        words = "(its message cannot be told)"
    if isinstance(error, ValueError) and "read-only" in words:
        words += "; what a problem hands out cannot be changed: copy it first, as in mask.copy()"
    return f"strategy {name!r} failed at {last.filename}:{last.lineno}: {type(error).__name__}: {words}"


def _checked(ticket: object, name: str, steps: int, n_kept: int, units: Units, initial: Weights) -> Ticket:
    """A returned ticket, made anew from copies: its owner may go on changing it."""
    where = f"strategy {name!r} returned"
    if not isinstance(ticket, Ticket):
        raise StrategyError(f"{where} {type(ticket).__name__}; search must return a Ticket or None")
    mask, space = np.array(ticket.mask), units.space
    if mask.dtype != np.bool_ or mask.shape != (space.size,):
        raise StrategyError(f"{where} a mask of {mask.dtype} {mask.shape}; needed: bool ({space.size},)")
    kept = int(np.count_nonzero(mask))
    if kept != n_kept:
        raise StrategyError(f"{where} a mask that keeps {kept} {space.unit}s; sparsity asks for {n_kept}")
    space.check_floor(mask, f"{where} a mask that")
    whole = isinstance(ticket.step, int | np.integer) and not isinstance(ticket.step, bool)
    if not whole or not 0 <= ticket.step <= steps:
        raise StrategyError(f"{where} a ticket of step {ticket.step!r}; the recipe has {steps}")
    weights = ticket.weights
    if weights is not None and not isinstance(weights, Weights):
        raise StrategyError(f"{where} start weights of type {type(weights).__name__}; needed: ticketsearch.Weights")
    for what, values, shape, kinds in (
        ("start weights", weights and weights.vector, initial.vector.shape, "f"),
        ("start weights of the rest", weights and weights.rest, initial.rest.shape, "f"),
        ("held values", ticket.held, initial.vector.shape, "f"),
        ("scores", ticket.scores, mask.shape, "fiu"),
        ("a mask of the rest", ticket.rest_mask, initial.rest.shape, "b"),
    ):
        if values is None:
            continue
        if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype.kind not in kinds:
            found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
            needed = {"f": "floating-point", "fiu": "numbers", "b": "bool"}[kinds]
            raise StrategyError(f"{where} {what}: {found}; needed: an array of {needed} {shape}")
        if kinds == "f" and not np.isfinite(values).all():
            raise StrategyError(f"{where} {what} that are not all finite numbers")
    return Ticket(
        mask,
        None if weights is None else Weights(*(np.array(p, dtype=np.float32) for p in (weights.vector, weights.rest))),
        int(ticket.step),
        None if ticket.held is None else np.array(ticket.held, dtype=np.float32),
        None if ticket.scores is None else np.array(ticket.scores),
        None if ticket.rest_mask is None else np.array(ticket.rest_mask),
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


@contextmanager
def _alarm(problem: MaskProblem, meter: Meter) -> Iterator[None]:
    """Raise TimeLimitReached in the strategy's own code once its time is up; the verbs look at the clock themselves.

    Outside the main thread, and where there is no ``setitimer`` (Windows), only the verbs do: a strategy that never
    calls one is not stopped there. Nor is one that does not return from a call into C.
    """
    main = threading.current_thread() is threading.main_thread()
    if problem.limit_s is None or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def expire(_signal: int, _frame: FrameType | None) -> None:
        problem.stop_if_hanging()

    handler = signal.signal(signal.SIGALRM, expire)
    delay = max(GRACE_S, problem.limit_s - meter.elapsed_s)
    before = signal.setitimer(signal.ITIMER_REAL, delay, GRACE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler)
