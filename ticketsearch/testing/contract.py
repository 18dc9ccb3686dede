"""Two ways into the list of checks: a function that reports, and a class of tests to inherit."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from ticketsearch.errors import UnknownName
from ticketsearch.testing.checks import CHECKS, Check
from ticketsearch.testing.fresh import NotFindable
from ticketsearch.testing.report import CheckFailed, CheckResult, Report
from ticketsearch.testing.subject import Subject, describe

_BY_NAME = {check.name: check for check in CHECKS}


def check_strategy(
    strategy: Any,
    *,
    settings: Mapping[str, Any] | None = None,
    checks: Iterable[str] | None = None,
    max_unmetered: float = 0.0,
) -> Report:
    """Hold a strategy to the contract; takes seconds.

    Args:
        strategy: its class, an instance, a registered name, or a function that makes an instance.
        settings: hyperparameters of a class or a name.
        checks: names of the checks to run; default all.
        max_unmetered: fraction of all computation that may happen outside the problem. For a search that trains a
            model of its own, to guide itself; the fraction is reported in any case.

    Raises:
        PluginError: it is no strategy at all.
        InvalidValue, UnknownName: settings or checks that do not exist.
    """
    subject = Subject.of(strategy, settings, max_unmetered)
    wanted = [_named(name) for name in checks] if checks is not None else list(CHECKS)
    results = [_result(subject, check) for check in wanted]
    return Report(subject.name, results, dict(subject.measured))


def _named(name: str) -> Check:
    if name not in _BY_NAME:
        raise UnknownName("check", name, _BY_NAME)
    return _BY_NAME[name]


def _result(subject: Subject, check: Check) -> CheckResult:
    """The result of one check, remembered; those it needs are run before it."""
    known: dict[str, CheckResult] = subject.__dict__.setdefault("_results", {})
    if check.name not in known:
        known[check.name] = _run(subject, check)
    return known[check.name]


def _run(subject: Subject, check: Check) -> CheckResult:
    for need in check.needs:
        if _result(subject, _BY_NAME[need]).state != "passed":
            return CheckResult(check.name, "skipped", f"needs {need}")
    try:
        return CheckResult(check.name, "passed", check.run(subject))
    except CheckFailed as fault:
        return CheckResult(check.name, "failed", str(fault))
    except NotFindable as reason:
        return CheckResult(check.name, "skipped", str(reason))
    except Exception as error:  # in what the strategy defines, such as its equality
        return CheckResult(check.name, "failed", describe(error).removeprefix("search "))


class StrategyContract:
    """The contract as tests: inherit, and say which strategy.

    ::

        class TestMine(StrategyContract):
            strategy = Mine

    Attributes:
        strategy: a class, an instance, a registered name, or a function that makes an instance.
        settings: hyperparameters of a class or a name.
        max_unmetered: see :func:`check_strategy`.
    """

    strategy: ClassVar[Any] = None
    settings: ClassVar[Mapping[str, Any]] = {}
    max_unmetered: ClassVar[float] = 0.0

    @classmethod
    def _subject(cls) -> Subject:
        if "_made" not in cls.__dict__:
            strategy = inspect.getattr_static(cls, "strategy")  # a function, not a method
            strategy = strategy.__func__ if isinstance(strategy, staticmethod) else strategy
            cls._made = Subject.of(strategy, cls.settings, cls.max_unmetered)
        return cls._made

    _made: ClassVar[Subject]


def _test(check: Check) -> Callable[[StrategyContract], None]:
    def test(self: StrategyContract) -> None:
        result = _result(self._subject(), check)
        if result.state == "skipped":
            raise unittest.SkipTest(result.message)
        if result.state == "failed":
            raise CheckFailed(f"{check.name}: {result.message}")

    test.__doc__ = check.demand
    return test


for _check in CHECKS:
    setattr(StrategyContract, f"test_{_check.name.replace('-', '_')}", _test(_check))
