"""A strategy under test: how it is made, and what came out of one search of it."""

from __future__ import annotations

import contextlib
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch import plugins
from ticketsearch.arrays import BoolArray
from ticketsearch.digests import digest_of
from ticketsearch.errors import BudgetExhausted, InvalidValue, PluginError, StrategyError, TicketsearchError, place_of
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.session import Session
from ticketsearch.records.ledger import Ledger
from ticketsearch.strategies.base import Strategy, build_strategy, parameters_of
from ticketsearch.testing.closed_form import ClosedForm, ClosedFormEngine
from ticketsearch.testing.limits import time_limit
from ticketsearch.testing.report import CheckFailed

SEARCH_LIMIT_S = 30.0


class Killed(BaseException):
    """The search was ended in the middle, as if its process had been."""


@dataclass(eq=False)
class Outcome:
    """One search.

    Attributes:
        problem: as it was left.
        session: behind it.
        trials: what was asked and answered, without clocks.
        mask: of the ticket, or of the best mask evaluated; ``None`` if there is neither, or if ``error`` is set.
        ticket: what ``search`` returned.
        error: what it raised, if that was not the end of the budget.
        exhausted: whether it was ended by the budget.
        disturbed: global generators that were left in another state.
    """

    problem: MaskProblem
    session: Session
    trials: list[tuple[Any, ...]]
    mask: BoolArray | None
    ticket: Any
    error: BaseException | None
    exhausted: bool
    disturbed: list[str]

    @property
    def fingerprint(self) -> str:
        """Digest of all trials and of the mask: equal for equal searches, in any process."""
        mask = "" if self.mask is None else digest(np.asarray(self.mask, dtype=bool))
        return digest_of(f"{self.trials!r}{mask}")

    def sound_mask(self) -> BoolArray:
        """The mask, which must be one that a run can take.

        Raises:
            CheckFailed: it is not, or there is none.
        """
        if self.error is not None:
            raise CheckFailed(describe(self.error))
        if self.ticket is not None and not isinstance(self.ticket, Ticket):
            raise CheckFailed(f"search returned {type(self.ticket).__name__}; it must return a Ticket or None")
        if self.mask is None:
            raise CheckFailed("search ended without a ticket and without one scored mask")
        mask, size = np.asarray(self.mask), self.problem.space.size
        if mask.dtype != np.bool_ or mask.shape != (size,):
            raise CheckFailed(f"the ticket's mask is {mask.dtype} {mask.shape}, the wrong size; needed: bool ({size},)")
        kept, unit = int(np.count_nonzero(mask)), self.problem.space.unit
        if kept != self.problem.n_kept:
            raise CheckFailed(
                f"the ticket keeps {kept} {unit}s, the wrong count; sparsity {self.problem.sparsity} of {size} "
                f"keeps {self.problem.n_kept}"
            )
        try:
            self.problem.space.check_floor(mask, "the ticket's mask")
        except StrategyError as error:
            raise CheckFailed(str(error)) from error
        weights = self.ticket.weights if self.ticket is not None else None
        initial = self.problem.initial_weights()
        if weights is not None and (
            np.shape(weights.vector) != initial.vector.shape or np.shape(weights.rest) != initial.rest.shape
        ):
            raise CheckFailed(
                f"the ticket's start weights have shapes {np.shape(weights.vector)}, {np.shape(weights.rest)}; "
                f"needed: {initial.vector.shape}, {initial.rest.shape}"
            )
        return mask


def describe(error: BaseException) -> str:
    """An exception in one line, with the author's own line that it came from."""
    place = place_of(error)
    where = f" ({Path(place).name})" if place else ""
    return f"search raised {type(error).__name__}: {' '.join(str(error).split())}{where}"


@contextlib.contextmanager
def disturbed_generators() -> Iterator[list[str]]:
    """A list that holds, afterwards, which global generators are in another state."""
    before, disturbed = _generators(), list[str]()
    yield disturbed
    after = _generators()
    disturbed += [name for name, state in before.items() if after[name] != state]


def _generators() -> dict[str, bytes]:
    """State of every global generator, as bytes."""
    torch = sys.modules.get("torch")
    states: dict[str, Any] = {"Python's": random.getstate(), "NumPy's": np.random.get_state()}  # noqa: NPY002 - only read
    if torch is not None:
        states["PyTorch's"] = torch.random.get_rng_state().numpy().tobytes()
    return {name: repr(_plain(state)).encode() for name, state in states.items()}


def _plain(state: Any) -> Any:
    """Arrays in a state as bytes, which ``repr`` does not shorten."""
    if isinstance(state, tuple):
        return tuple(_plain(part) for part in state)
    return state.tobytes() if isinstance(state, np.ndarray) else state


class Subject:
    """A strategy under test.

    Args:
        make: makes an instance; each call a new one.
        name: for messages.
        max_unmetered: fraction of all computation that may happen outside the problem.
    """

    def __init__(self, make: Callable[[], Strategy], name: str, max_unmetered: float = 0.0) -> None:
        self.make, self.name, self.max_unmetered = make, name, max_unmetered
        self.measured: dict[str, float] = {}

    @classmethod
    def of(cls, strategy: Any, settings: Mapping[str, Any] | None = None, max_unmetered: float = 0.0) -> Subject:
        """From a strategy's class, an instance, a registered name, or a function that makes an instance."""
        if isinstance(strategy, str):
            strategy = plugins.load(plugins.STRATEGIES, strategy)
        name = getattr(strategy, "__name__", type(strategy).__name__)
        if isinstance(strategy, type):
            plugins.require_strategy(strategy, f"strategy {name!r}")
            return cls(lambda: build_strategy(name, strategy, settings or {}), name, max_unmetered)
        if settings:
            raise InvalidValue("settings belong to a class or a name; an instance and a function have their own")
        if is_dataclass(strategy):
            plugins.require_strategy(type(strategy), f"strategy {name!r}")
            given: Strategy = strategy  # type: ignore[assignment]  # it has search
            return cls(lambda: build_strategy(name, type(given), parameters_of(given)), name, max_unmetered)
        if not callable(strategy):
            raise PluginError(f"{strategy!r} is neither a strategy nor a function that makes one")
        plugins.require_strategy(type(strategy()), f"what {name} makes")
        return cls(strategy, name, max_unmetered)

    def vary(self, **settings: Any) -> Strategy:
        """An instance with some settings changed."""
        strategy = self.make()
        return build_strategy(self.name, type(strategy), parameters_of(strategy) | settings)

    @cached_property
    def reference(self) -> tuple[Outcome, ClosedFormEngine]:
        """The search that others are compared with."""
        return self.search()

    def search(
        self,
        evaluations: int = 36,
        *,
        strategy: Strategy | None = None,
        kind: type[MaskProblem] = MaskProblem,
        watch: Callable[[Session], None] | None = None,
        ledger: Ledger | None = None,
        **options: Any,
    ) -> tuple[Outcome, ClosedFormEngine]:
        """One search on a problem of closed form.

        Args:
            evaluations: its budget.
            strategy: another instance than a new one.
            kind: what the strategy is handed.
            watch: called after each recorded batch.
            ledger: the record.
            **options: of :class:`ticketsearch.testing.closed_form.ClosedForm`.
        """
        session, engine = ClosedForm(evaluations, **options).session(Ledger() if ledger is None else ledger)
        if watch is not None:
            session.tell = partial(watch, session)
        return run_search(strategy or self.make(), session, kind), engine


def run_search(strategy: Strategy, session: Session, kind: type[MaskProblem] = MaskProblem) -> Outcome:
    """Search as a run does, within a time limit."""
    problem, before = kind(session), _generators()
    ticket: Any = None
    error: BaseException | None = None
    exhausted = False
    try:
        with time_limit(SEARCH_LIMIT_S):
            ticket = strategy.search(problem)
    except BudgetExhausted:
        exhausted = True
    except KeyboardInterrupt:
        if session.interrupted:
            raise Killed from None
        raise
    except BaseException as raised:
        error = raised
    after = _generators()
    disturbed = [name for name, state in before.items() if after[name] != state]
    mask = getattr(ticket, "mask", None)
    if ticket is None and session.beliefs:
        mask = session.beliefs[-1].mask
    elif ticket is None and problem.incumbent is not None:
        mask = problem.incumbent.mask
    session.catch_up()
    session.close()
    trials = [(*trial.question, trial.state, trial.score, trial.loss) for trial in session.replay.ledger]
    with contextlib.suppress(TypeError, ValueError):
        mask = None if mask is None else np.array(mask)
    return Outcome(problem, session, trials, mask, ticket, error, exhausted, disturbed)


def is_refusal(error: BaseException | None) -> bool:
    """Whether a search said in our words that a budget is too small for it."""
    return isinstance(error, InvalidValue) or (isinstance(error, StrategyError) and "budget" in str(error))


def as_json(strategy: Strategy) -> str:
    """Parameters as text."""
    try:
        return json.dumps(parameters_of(strategy))
    except (TypeError, ValueError, TicketsearchError) as error:
        raise CheckFailed(f"its parameters are not JSON values: {error}") from error
