"""What compute costs, what it may cost, and the meter in between.

The currency of a budget is the epoch of the dense network: one pass of training over the training
split. A forward-only example costs a third of a training example (one forward pass against one forward
and two backward products), so all budget arithmetic is done in integer *thirds* of a training example
and a budget can be exhausted to the last example, but never overdrawn.
"""

from __future__ import annotations

import math
import operator
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from fractions import Fraction

from ticketsearch.errors import BudgetExhausted, InvalidValue


@dataclass(frozen=True)
class Cost:
    """A vector of costs; adds and subtracts componentwise.

    Attributes:
        train_examples: examples passed forward and backward.
        forward_examples: examples passed forward only.
        dense_flops: floating-point operations if every weight were computed with.
        sparse_flops: floating-point operations the kept weights need.
        trainings: networks whose training was begun.
        wall_s: seconds of wall time.
        cpu_s: CPU seconds of the process, all threads, and of workers elsewhere.
        engine_s: wall seconds inside the engine.
        strategy_s: wall seconds in the strategy's own code.
    """

    train_examples: int = 0
    forward_examples: int = 0
    dense_flops: int = 0
    sparse_flops: int = 0
    trainings: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    engine_s: float = 0.0
    strategy_s: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*map(operator.add, vars(self).values(), vars(other).values()))  # fields in order, fast

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*map(operator.sub, vars(self).values(), vars(other).values()))

    def seconds(self) -> Cost:
        """The clocks alone."""
        return Cost(wall_s=self.wall_s, cpu_s=self.cpu_s, engine_s=self.engine_s, strategy_s=self.strategy_s)

    def shared(self, parts: int) -> Cost:
        """An equal part of the clocks; counts are not divisible and stay out."""
        return Cost(
            wall_s=self.wall_s / parts,
            cpu_s=self.cpu_s / parts,
            engine_s=self.engine_s / parts,
            strategy_s=self.strategy_s / parts,
        )

    def counts(self) -> Cost:
        """What is counted, without the clocks."""
        return replace(self, wall_s=0.0, cpu_s=0.0, engine_s=0.0, strategy_s=0.0)

    @property
    def thirds(self) -> int:
        """What a budget counts: thirds of a training example."""
        return 3 * self.train_examples + self.forward_examples

    def epochs(self, train_size: int) -> float:
        """The budget's currency: epochs of the dense network over ``train_size`` examples."""
        return self.thirds / (3 * train_size)

    def as_dict(self, train_size: int) -> dict[str, float | int]:
        """The fields and ``epochs``, for JSON."""
        return {"epochs": self.epochs(train_size), **asdict(self)}


_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(ep|step)s?\s*", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*", re.IGNORECASE | re.ASCII)


def parse_epochs(text: str | float, what: str = "budget") -> float:
    """``"200ep"``, or 200, -> 200.0. Only epochs: a budget in steps would depend on the batch size."""
    if isinstance(text, int | float) and not isinstance(text, bool) and math.isfinite(text):
        text = f"{Decimal(str(text)):f}ep"
    if not isinstance(text, str):
        raise InvalidValue(f"{what} {text!r} is not a number of epochs; write it like '200ep'")
    match = _DURATION.fullmatch(text)
    if not match or match[2].lower() != "ep":
        raise InvalidValue(f"{what} {text!r} is not a number of epochs; write it like '200ep'")
    value = float(match[1])
    if not (math.isfinite(value) and 0 < value <= 1e9):
        raise InvalidValue(f"{what} {text!r} must be more than 0ep and at most 1e9ep")
    return value


def parse_steps(duration: int | str, steps_per_epoch: int, what: str = "duration") -> int:
    """A duration in optimiser steps: ``250``, ``"250step"`` or ``"2ep"`` (rounded to whole steps)."""
    if isinstance(duration, bool) or not isinstance(duration, int | str):
        raise InvalidValue(f"{what} {duration!r} is not a duration; write '2ep', '250step' or 250")
    if isinstance(duration, int):
        steps: float = duration
    elif re.fullmatch(r"\s*\d{1,15}\s*", duration, re.ASCII):
        steps = int(duration)
    else:
        match = _DURATION.fullmatch(duration)
        if not match:
            raise InvalidValue(f"{what} {duration!r} is not a duration; write '2ep' or '250step'")
        steps = float(match[1]) * (steps_per_epoch if match[2].lower() == "ep" else 1)
    if not 0 <= steps <= 1e12:
        raise InvalidValue(f"{what} {duration!r} must be from 0 to 1e12 steps")
    return round(steps)


def parse_fidelity(text: int | str, steps_per_epoch: int) -> tuple[int, int | None]:
    """Steps of an evaluation, ``"100step"``; or what they rise from and to, ``"100step..2000step"``."""
    first, dots, last = str(text).partition("..") if isinstance(text, str) else (text, "", "")
    steps = parse_steps(first, steps_per_epoch, "fidelity")
    if not dots:
        return steps, None
    end = parse_steps(last, steps_per_epoch, "fidelity")
    if not 0 < steps < end:
        raise InvalidValue(f"fidelity {text!r} does not rise: write the smaller one first, like '100step..2000step'")
    return steps, end


def levels_between(first: int, last: int | None) -> list[int]:
    """Steps that double from level to level, and end at ``last``."""
    levels = [first]
    while last is not None and levels[-1] < last:
        levels.append(min(2 * levels[-1], last))
    return levels


def parse_seconds(text: str, what: str = "time limit") -> float:
    """``"90s"``, ``"10min"`` or ``"2h"`` in seconds."""
    match = _TIME.fullmatch(text)
    seconds = float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2].lower()] if match else 0.0
    if not match:
        raise InvalidValue(f"{what} {text!r} is not a time; write it like '90s', '10min' or '2h'")
    if not 0 < seconds <= 1e8:
        raise InvalidValue(f"{what} {text!r} must be more than 0s and at most 1e8s")
    return seconds


def at_least(epochs: float) -> str:
    """A positive number of epochs as text, rounded up to four digits: what it advises is enough."""
    scale = 10.0 ** (3 - math.floor(math.log10(epochs)))
    return f"{math.ceil(epochs * scale) / scale:.4g}ep"


class Meter:
    """An account: a limit, what is spent, and the clocks; charge, then run.

    Args:
        train_size: examples in one epoch.
        budget_epochs: the limit; ``None`` for an account that only counts.
    """

    def __init__(self, train_size: int, budget_epochs: float | None = None) -> None:
        self.train_size = train_size
        # As written, not as rounded to binary: 0.7ep of 10 examples are 21 thirds, and 0.7 * 30 is less.
        self.limit_thirds = None if budget_epochs is None else math.floor(Fraction(str(budget_epochs)) * 3 * train_size)
        self.spent = Cost()
        self.start()

    @property
    def remaining_thirds(self) -> float:
        """Thirds of a training example left; infinite on an account that only counts."""
        return math.inf if self.limit_thirds is None else self.limit_thirds - self.spent.thirds

    @property
    def remaining_epochs(self) -> float:
        """Epochs left."""
        return self.remaining_thirds / (3 * self.train_size)

    @property
    def elapsed_s(self) -> float:
        """Wall seconds of the search until now."""
        return self.spent.wall_s + time.perf_counter() - self._wall

    def charge(self, cost: Cost) -> None:
        """Book ``cost``, or raise :class:`BudgetExhausted` and book nothing."""
        if cost.thirds > self.remaining_thirds:
            raise BudgetExhausted(
                f"the next piece of work costs {cost.epochs(self.train_size):.4g}ep, "
                f"{self.remaining_epochs:.4g}ep of the budget are left"
            )
        self.spent = self.spent + cost

    def start(self) -> None:
        """Start the clocks of a search, in the strategy's code."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, *, strategy: bool) -> None:
        """Book the seconds since the last lap, also as the strategy's own if it was at work."""
        wall, cpu = time.perf_counter(), time.process_time()
        elapsed = wall - self._wall
        self.spent = self.spent + Cost(wall_s=elapsed, cpu_s=cpu - self._cpu, strategy_s=elapsed if strategy else 0.0)
        self._wall, self._cpu = wall, cpu

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clocks for a block: it is no part of the search."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        try:
            yield
        finally:
            self._wall, self._cpu = time.perf_counter() - wall, time.process_time() - cpu

    def book_cpu(self, seconds: float) -> None:
        """Book CPU seconds of other processes."""
        self.spent = self.spent + Cost(cpu_s=seconds)

    @contextmanager
    def engine(self) -> Iterator[None]:
        """Book the wall seconds of a block as the engine's."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.spent = self.spent + Cost(engine_s=time.perf_counter() - begin)
