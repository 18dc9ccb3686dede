"""ticketsearch: searches for lottery tickets and meters what the search costs.

Everything a user or a plug-in author needs can be imported from here. Names are loaded when first used, so
``import ticketsearch`` costs nothing and listing strategies never loads PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ticketsearch.asktell import AskTellStrategy
    from ticketsearch.compaction import Compaction, compact, follow_masks
    from ticketsearch.errors import BudgetExhausted, TicketsearchError
    from ticketsearch.exporting import Exported, export
    from ticketsearch.leaderboard import build as build_leaderboard
    from ticketsearch.plugins import API_VERSION
    from ticketsearch.problem import MaskProblem
    from ticketsearch.recipe import Recipe
    from ticketsearch.results import Result
    from ticketsearch.runner import run
    from ticketsearch.scores import Score, Snapshot
    from ticketsearch.strategy import Strategy
    from ticketsearch.tasks import DataSource, Split, Task, load_task
    from ticketsearch.tickets import SavedTicket, Ticket, Weights, load_ticket
    from ticketsearch.verify import verify_run

_HOME = {
    "API_VERSION": "plugins",
    "AskTellStrategy": "asktell",
    "BudgetExhausted": "errors",
    "Compaction": "compaction",
    "DataSource": "tasks",
    "Exported": "exporting",
    "MaskProblem": "problem",
    "Recipe": "recipe",
    "Result": "results",
    "SavedTicket": "tickets",
    "Score": "scores",
    "Snapshot": "scores",
    "Split": "tasks",
    "Strategy": "strategy",
    "Task": "tasks",
    "Ticket": "tickets",
    "TicketsearchError": "errors",
    "Weights": "tickets",
    "compact": "compaction",
    "export": "exporting",
    "follow_masks": "compaction",
    "load_task": "tasks",
    "load_ticket": "tickets",
    "run": "runner",
    "verify_run": "verify",
}

__all__ = [
    "API_VERSION",
    "AskTellStrategy",
    "BudgetExhausted",
    "Compaction",
    "DataSource",
    "Exported",
    "MaskProblem",
    "Recipe",
    "Result",
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
    "export",
    "follow_masks",
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
