"""What an author runs on a strategy or a task of his own: one list of checks, and three ways in.

``check_strategy(Mine)`` returns a report; a subclass of :class:`StrategyContract` is the same as pytest tests;
``ticketsearch check NAME`` is the same from the command line. The list is :data:`CHECKS`. ``check_task`` is for tasks,
``check_encoding`` for encodings.
"""

from typing import TYPE_CHECKING

from ticketsearch.testing.checks import CHECKS, Check
from ticketsearch.testing.contract import StrategyContract, check_strategy
from ticketsearch.testing.encodings import check_encoding
from ticketsearch.testing.report import CheckFailed, CheckResult, Report

if TYPE_CHECKING:
    from ticketsearch.testing.tasks import check_task

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckResult",
    "Report",
    "StrategyContract",
    "check_encoding",
    "check_strategy",
    "check_task",
]


def __getattr__(name: str) -> object:
    if name == "check_task":  # imports PyTorch
        from ticketsearch.testing.tasks import check_task

        return check_task
    raise AttributeError(f"module 'ticketsearch.testing' has no attribute {name!r}")
