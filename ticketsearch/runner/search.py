"""The search of one run: a strategy let loose on its problem, watched, and what it brings back, checked."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ticketsearch.cost import Cost, Meter
from ticketsearch.errors import (
    OURS,
    BudgetExhausted,
    StorageError,
    StrategyError,
    TicketsearchError,
    TimeLimitReached,
    at,
)
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import Belief, Incumbent, TrainedRound
from ticketsearch.problem.session import Session, Stubborn
from ticketsearch.records.files import FULL
from ticketsearch.records.ledger import Ledger, Trial
from ticketsearch.records.resume import ResumeStore
from ticketsearch.records.spec import Spec
from ticketsearch.runner.audit import faults_of_costs, faults_of_incumbents, origin_of
from ticketsearch.runner.interrupts import first_interrupt_finishes_batch, time_limit
from ticketsearch.runner.progress import Progress
from ticketsearch.runner.setup import Setup
from ticketsearch.strategies.base import Strategy


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search ended with.

    Attributes:
        ticket: as the strategy returned it, or its last belief, or the incumbent; its mask is of weights.
        stopped: why it ended.
        session: what it reported, and how many trials it made.
        spent: its cost.
        incumbents: the best masks of units, first to last.
        beliefs: what the strategy would have returned, in its own opinion, first to last.
        origin: where the ticket's start weights come from; see :func:`ticketsearch.runner.audit.origin_of`.
    """

    ticket: Ticket
    stopped: str
    session: Session
    spent: Cost
    incumbents: tuple[Incumbent, ...]
    beliefs: tuple[Belief, ...]
    origin: str


def search(
    setup: Setup,
    spec: Spec,
    strategy: Strategy,
    ledger: Ledger,
    progress: Progress,
    resume: ResumeStore | None = None,
    problem_type: Callable[[Session], MaskProblem] = MaskProblem,
) -> Searched:
    """Search, or replay what the ledger holds of a search and go on.

    Args:
        setup: what is searched on.
        spec: of the run: budget, sparsity, fidelity, time limit.
        strategy: what is let loose.
        ledger: the record; trials in it are not paid for again.
        progress: watches.
        resume: what trials in the ledger gave.
        problem_type: what the strategy is handed.

    Raises:
        StrategyError: the strategy broke its contract or found nothing.
        StorageError: the disk is full.
        KeyboardInterrupt: it was interrupted, and its last batch recorded.
    """
    setup.engine.warm_up()
    meter = Meter(len(setup.task.train.labels), spec.budget)
    if len(ledger):  # resumed: the seconds of the session before were spent too
        meter.spent = ledger[-1].after.seconds()
    session = setup.session(spec.sparsity, spec.fidelity, meter, ledger, spec.fidelity_end)
    session.limit_s = spec.time_limit_s
    session.resume = resume or ResumeStore()
    problem = problem_type(session)
    _watch(session, problem, progress)
    ticket, stopped = _let_loose(strategy, spec.strategy, session, problem)
    if session.late:  # it was told so, and may have returned what it had
        session.end(f"{TimeLimitReached.__name__}: the search may take {spec.time_limit_s:g} s")
    elif ledger.ended is not None:  # it was in code of its own when its time was up, and went on in this replay
        ticket = None
    if ledger.ended is not None:
        stopped, meter.spent = ledger.ended
    incumbents, beliefs = tuple(session.incumbents), tuple(session.beliefs)
    _audit(setup, spec, session, list(ledger))
    if ticket is None and beliefs:
        own = Ticket(np.array(beliefs[-1].mask))
    elif ticket is None:
        if not incumbents:
            rate = setup.task.recipe.learning_rate
            raise StrategyError(_why_nothing(spec.strategy, list(ledger), stopped, rate))
        own = Ticket(np.array(incumbents[-1].mask))
    else:
        own = _checked(ticket, spec, setup)
    whole = setup.units.ticket(own)
    origin = origin_of(whole, setup.initial, setup.units.weights, session.handed_out)
    return Searched(whole, stopped, session, meter.spent, incumbents, beliefs, origin)


def _watch(session: Session, problem: MaskProblem, progress: Progress) -> None:
    """Have progress told, at nobody's cost."""

    def tell() -> None:
        with session.meter.paused():
            progress.search(problem)

    def tell_round(one: TrainedRound) -> None:
        with session.meter.paused():
            progress.round(problem, one)

    session.tell, session.tell_round = tell, tell_round


def _why_nothing(name: str, trials: list[Trial], stopped: str, rate: float) -> str:
    """Why a search has neither a ticket nor a scored mask."""
    failed = [trial for trial in trials if trial.kind == "evaluate" and trial.state == "failed"]
    if not failed:
        return f"strategy {name!r} ended without a ticket and without one scored mask ({stopped})"
    return (
        f"all {len(failed)} evaluations of strategy {name!r} diverged ({failed[0].reason.removeprefix('diverged: ')}); "
        f"lower the recipe's learning rate, which is {rate:g}, or look at the scale of the inputs"
    )


def _audit(setup: Setup, spec: Spec, session: Session, trials: list[Trial]) -> None:
    """Add everything up again; what does not add up was bent by the strategy.

    Raises:
        StrategyError: says what.
    """
    faults = chain(
        faults_of_costs(trials, session.meter.spent, spec.budget, setup.prices, late=session.late),
        faults_of_incumbents(session.incumbents, trials, setup.units.space.n_kept(spec.sparsity)),
    )
    if (fault := next(faults, None)) is not None:
        raise StrategyError(f"strategy {spec.strategy!r} changed what is the host's: {fault}")


def _let_loose(strategy: Strategy, name: str, session: Session, problem: MaskProblem) -> tuple[object, str]:
    """What the strategy returned, and why the search ended."""
    ticket: object = None
    stopped = "returned"
    session.meter.start()
    # Stdout is for results: what a plug-in prints goes to stderr.
    with redirect_stdout(sys.stderr), first_interrupt_finishes_batch(session), time_limit(session):
        try:
            ticket = session.run(lambda: strategy.search(problem))
            session.catch_up()
        except (BudgetExhausted, Stubborn) as error:
            stopped = f"{type(error).__name__}: {error}"
            session.catch_up()
        except BaseException as error:
            session.interrupt()  # trainings it leaves unfinished are no trials: a resumed run makes them anew
            if isinstance(error, StrategyError) and repr(name) not in str(error):
                raise StrategyError(f"strategy {name!r}{_where(error, strategy)}: {error}") from error
            if isinstance(error, TicketsearchError) or not isinstance(error, Exception | SystemExit):
                raise
            if isinstance(error, OSError) and error.errno in FULL:
                raise StorageError(f"{error.strerror}; make room and run the same command again") from error
            raise StrategyError(_blame(error, name, strategy)) from error
        finally:
            session.close()
        if session.interrupted:  # after the last verb
            raise KeyboardInterrupt
    session.meter.lap(strategy=True)
    return ticket, stopped


def _where(error: BaseException, strategy: Strategy) -> str:
    """`` at file:line`` of a strategy that is not ours."""
    module = type(strategy).__module__
    return "" if module.partition(".")[0] == OURS else at(error, module)


def _blame(error: BaseException, name: str, strategy: Strategy) -> str:
    """Which strategy failed, how and where: its own line, if it is somebody's, or else the innermost."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = _where(error, strategy) or f" at {last.filename}:{last.lineno}"
    try:
        words = str(error)
    except Exception:  # its author's own
        words = "(its message cannot be told)"
    if isinstance(error, ValueError) and "read-only" in words:
        words += "; what a problem hands out cannot be changed: copy it first, as in mask.copy()"
    return f"strategy {name!r} failed{where}: {type(error).__name__}: {words}"


def _checked(ticket: object, spec: Spec, setup: Setup) -> Ticket:
    """A returned ticket, made anew from copies: its owner may go on changing it."""
    where, units, initial = f"strategy {spec.strategy!r} returned", setup.units, setup.initial
    steps, n_kept = setup.task.recipe.steps, units.space.n_kept(spec.sparsity)
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
