"""What a check found, as values: for a terminal, for JSON, for an assertion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from ticketsearch.errors import TicketsearchError

Subject = TypeVar("Subject")


class CheckFailed(AssertionError):
    """A check found a fault; the message says which."""


@dataclass(frozen=True)
class CheckResult:
    """One check of one subject.

    Attributes:
        name: of the check.
        state: ``skipped`` means that another check failed which this one builds on, or that it does not apply.
        message: the fault, why it was skipped, or what was measured.
    """

    name: str
    state: Literal["passed", "failed", "skipped"]
    message: str = ""


@dataclass(frozen=True)
class Report:
    """All checks of one subject.

    Attributes:
        subject: what was checked.
        results: in the order of the list of checks.
        measured: figures worth having, such as ``unmetered_fraction``.
    """

    subject: str
    results: Sequence[CheckResult]
    measured: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> list[CheckResult]:
        """The checks that failed."""
        return [result for result in self.results if result.state == "failed"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "subject": self.subject,
            "passed": self.passed,
            "failures": [result.name for result in self.failures],
            "checks": [asdict(result) for result in self.results],
            **self.measured,
        }

    def __str__(self) -> str:
        width = max((len(result.name) for result in self.results), default=0)
        lines = [f"{result.state:7}  {result.name:{width}}  {result.message}".rstrip() for result in self.results]
        passed = sum(result.state == "passed" for result in self.results)
        verdict = f"{self.subject}: {passed} of {len(self.results)} checks passed"
        if self.failures:
            verdict += f"; failed: {', '.join(result.name for result in self.failures)}"
        return "\n".join([*lines, verdict])

    def require(self) -> None:
        """Raise CheckFailed unless every check passed."""
        if not self.passed:
            raise CheckFailed(f"{self.subject}: " + "; ".join(f"{r.name}: {r.message}" for r in self.failures))


def results_of(checks: Mapping[str, Callable[[Subject], str]], subject: Subject) -> list[CheckResult]:
    """What checks that do not build on each other find; whatever one of them raises is its fault."""
    results = []
    for name, check in checks.items():
        try:
            results.append(CheckResult(name, "passed", check(subject)))
        except (CheckFailed, TicketsearchError) as fault:
            results.append(CheckResult(name, "failed", str(fault)))
        except Exception as error:  # the author's own
            results.append(CheckResult(name, "failed", f"{type(error).__name__}: {error}"))
    return results
