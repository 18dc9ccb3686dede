"""What an author runs on a strategy or a task of his own: one list of checks, and three ways in.

``check_strategy(Mine)`` returns a report; a subclass of :class:`StrategyContract` is the same as pytest tests;
``ticketsearch check NAME`` is the same from the command line. The list is :data:`CHECKS`.
"""

from ticketsearch.testing.checks import CHECKS, Check
from ticketsearch.testing.contract import StrategyContract, check_strategy
from ticketsearch.testing.report import CheckFailed, CheckResult, Report

__all__ = ["CHECKS", "Check", "CheckFailed", "CheckResult", "Report", "StrategyContract", "check_strategy"]
