"""ticketsearch: searches for lottery tickets and meters what the search costs.

Everything a user or a plug-in author needs can be imported from here. Names are loaded when first used, so
``import ticketsearch`` costs nothing and listing strategies never loads PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ticketsearch.callbacks import Callback
    from ticketsearch.compaction import Compaction, compact, follow_masks
    from ticketsearch.errors import BudgetExhausted, TicketsearchError
    from ticketsearch.exporting import Exported, export
    from ticketsearch.leaderboard import build as build_leaderboard
    from ticketsearch.masks.ticket import Ticket, Weights
    from ticketsearch.plugins import API_VERSION
    from ticketsearch.problem import MaskProblem
    from ticketsearch.problem.scores import Score, Snapshot
    from ticketsearch.recipe import Recipe
    from ticketsearch.records.results import Result
    from ticketsearch.records.ticket_file import SavedTicket, load_ticket
    from ticketsearch.report.results import Results, compare, load_results
    from ticketsearch.runner.run import run
    from ticketsearch.runner.verify import verify_run
    from ticketsearch.strategies.asktell import AskTellStrategy
    from ticketsearch.strategies.base import Strategy
    from ticketsearch.tasks import DataSource, Split, Task, load_task

_HOME = {
    "API_VERSION": "plugins",
    "AskTellStrategy": "strategies.asktell",
    "BudgetExhausted": "errors",
    "Callback": "callbacks",
    "Compaction": "compaction",
    "DataSource": "tasks",
    "Exported": "exporting",
    "MaskProblem": "problem",
    "Recipe": "recipe",
    "Result": "records.results",
    "SavedTicket": "records.ticket_file",
    "Score": "problem",
    "Snapshot": "problem",
    "Split": "tasks",
    "Strategy": "strategies.base",
    "Task": "tasks",
    "Ticket": "masks.ticket",
    "TicketsearchError": "errors",
    "Weights": "masks.ticket",
    "Results": "report.results",
    "compact": "compaction",
    "compare": "report.results",
    "load_results": "report.results",
    "export": "exporting",
    "follow_masks": "compaction",
    "load_task": "tasks",
    "load_ticket": "records.ticket_file",
    "run": "runner.run",
    "verify_run": "runner.verify",
}

__all__ = [
    "API_VERSION",
    "AskTellStrategy",
    "BudgetExhausted",
    "Callback",
    "Compaction",
    "DataSource",
    "Exported",
    "MaskProblem",
    "Recipe",
    "Result",
    "Results",
    "SavedTicket",
    "Score",
    "Snapshot",
    "Split",
    "Strategy",
    "Task",
    "Ticket",
    "TicketsearchError",
    "Weights",
    "build_leaderboard",
    "compact",
    "compare",
    "export",
    "follow_masks",
    "load_results",
    "load_task",
    "load_ticket",
    "run",
    "verify_run",
]


def __getattr__(name: str) -> object:
    if name == "build_leaderboard":
        return import_module("ticketsearch.leaderboard").build
    if name in _HOME:
        return getattr(import_module(f"ticketsearch.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ticketsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
