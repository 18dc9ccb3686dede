"""Plug-ins of anyone, found through entry points: list without importing, load one, name the culprit.

``registry`` reads metadata and loads one plug-in; ``interface`` says what each kind must be;
``static`` reads source text for faults that importing would run into; ``probe`` imports one in a process of its own;
``status`` puts these together; ``settings`` reads what is set of one.
"""

from ticketsearch.plugins.interface import API_VERSION, require_encoding, require_predictor, require_strategy
from ticketsearch.plugins.registry import ENCODINGS, PREDICTORS, STRATEGIES, TASKS, Plugin, available, find, load

__all__ = [
    "API_VERSION",
    "ENCODINGS",
    "PREDICTORS",
    "STRATEGIES",
    "TASKS",
    "Plugin",
    "available",
    "find",
    "load",
    "require_encoding",
    "require_predictor",
    "require_strategy",
]
