"""What a strategy, an encoding or a task is, for someone about to use it: purpose, source, options, what it calls."""

from __future__ import annotations

import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from ticketsearch import plugins
from ticketsearch.errors import TicketsearchError
from ticketsearch.predictors.named import predictor_class
from ticketsearch.strategies.encoding import encoding_class
from ticketsearch.tasks.noise import LabelNoise
from ticketsearch.tasks.options import documented, options_of, types_of
from ticketsearch.tasks.task import task_factory
from ticketsearch.testing.subject import Subject

EXPLAINED = {
    "evaluate": "scores of masks: a short training and a validation each",
    "train": "trainings",
    "gradients": "loss gradients: the price of a training pass for each example",
    "hessian_gradient": "Hessian-gradient products: twice that price",
    "synaptic_flow": "SynFlow scores: the price of one training example",
    "ntk_sensitivity": "NTK-SAP scores: the price of two training passes for each made-up example",
    "hessian_product": "Hessian-vector products: twice the price of a gradient",
    "tangent_kernel": "tangent kernels: a training pass through all examples for each of them",
    "activation_patterns": "activation patterns: a forward pass for each example",
    "ntk_change": "NTK-SAP's norm: two forward passes for each made-up example",
    "predict": "scores of masks by a predictor: a forward pass of one example, beside what it calls",
}


def describe_strategy(name: str) -> dict[str, Any]:
    """Everything that ``strategies show`` prints, as JSON values.

    Raises:
        UnknownName, PluginError: there is none of that name, or it is no strategy.
    """
    plugin = plugins.find(plugins.STRATEGIES, name)
    cls = plugin.load()
    plugins.require_strategy(cls, f"strategy {name!r} of {plugin.distribution} {plugin.version}")
    summary, words = _attributes(cls)
    module = sys.modules[cls.__module__]
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "value": plugin.value,
        "file": getattr(module, "__file__", None),
        "summary": summary,
        "about": inspect.cleandoc(module.__doc__ or ""),
        "spends": inspect.getdoc(cls.search) or "",
        "options": _options(cls, words),
        "calls": _calls(cls),
    }


def _attributes(cls: type) -> tuple[str, dict[str, str]]:
    """A class's docstring before its attributes, and name -> text of each, those of its bases among them."""
    words: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        summary, own = documented(one, "Attributes")
        words |= own
    return summary, words


def describe_encoding(name: str) -> dict[str, Any]:
    """Everything that ``encodings show`` prints, as JSON values.

    Raises:
        UnknownName, PluginError: there is none of that name, or it is no encoding.
    """
    return _described(name, encoding_class(name))


def describe_predictor(name: str) -> dict[str, Any]:
    """Everything that ``predictors show`` prints, as JSON values.

    Raises:
        UnknownName, PluginError: there is none of that name, or it is no predictor.
    """
    cls: Any = predictor_class(name)
    return {**_described(name, cls), "sign": int(cls.sign), "spends": inspect.getdoc(cls.predict) or ""}


def _described(name: str, cls: type) -> dict[str, Any]:
    summary, words = _attributes(cls)
    module = sys.modules[cls.__module__]
    return {
        "name": name,
        "value": f"{cls.__module__}:{cls.__qualname__}",
        "file": getattr(module, "__file__", None),
        "summary": summary,
        "about": inspect.cleandoc(module.__doc__ or ""),
        "options": _options(cls, words),
    }


def predictor_as_text(described: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [encoding_as_text(described).replace("--set 'encoding=", "--predictor '"), ""]
    lines += [f"Better is {'higher' if described['sign'] > 0 else 'lower'}. {described['spends']}"]
    return "\n".join(lines)


def encoding_as_text(described: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [f"{described['name']}  ({described['value']})", "", described["summary"], ""]
    if described["about"]:
        lines += ["About and source", *_indented(described["about"]), ""]
    lines += [f"Options, --set 'encoding={described['name']}(NAME=VALUE, ...)'"]
    for option in described["options"]:
        lines += [f"  {option['name']} = {option['default']}  ({option['type']})", *_indented(option["doc"], 6)]
    return "\n".join(lines if described["options"] else [*lines, "  none"])


def describe_task(name: str) -> dict[str, Any]:
    """Everything that ``tasks show`` prints, as JSON values.

    Raises:
        UnknownName, PluginError: there is none of that name, or it cannot be imported.
    """
    factory = task_factory(name)
    own = options_of(factory)
    module = sys.modules[factory.__module__]
    return {
        "name": name,
        "value": f"{factory.__module__}:{getattr(factory, '__qualname__', type(factory).__name__)}",
        "file": getattr(module, "__file__", None),
        "summary": documented(factory)[0],
        "about": inspect.cleandoc(module.__doc__ or ""),
        "options": _parameters(factory),
        "options_of_every_task": [one for one in _parameters(LabelNoise) if one["name"] not in own],
    }


def _parameters(factory: Callable[..., object]) -> list[dict[str, Any]]:
    """Of what makes a task, or of what every task has."""
    words, types = documented(factory)[1], types_of(factory)
    return [
        {
            "name": option,
            "type": _type_name(types[option]),
            "required": parameter.default is inspect.Parameter.empty,
            "default": None if parameter.default is inspect.Parameter.empty else parameter.default,
            "doc": words.get(option, ""),
        }
        for option, parameter in options_of(factory).items()
    ]


def task_as_text(described: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [f"{described['name']}  ({described['value']})", "", described["summary"], ""]
    if described["about"]:
        lines += ["About and source", *_indented(described["about"]), ""]
    lines += ["Options, --task-set NAME=VALUE", *_written(described["options"])]
    lines += ["", "Options of every task", *_written(described["options_of_every_task"])]
    return "\n".join(lines)


def _written(options: list[dict[str, Any]]) -> list[str]:
    lines = []
    for option in options:
        default = "(required)" if option["required"] else f"= {option['default']}"
        lines += [f"  {option['name']} {default}  ({option['type']})", *_indented(option["doc"], 6)]
    return lines or ["  none"]


def _options(cls: Any, words: dict[str, str]) -> list[dict[str, Any]]:
    try:
        hints = get_type_hints(cls)
    except Exception:  # an annotation that only its author's type checker can read
        hints = {}
    options = []
    for field in fields(cls):
        if field.init:
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            kind = hints.get(field.name, field.type)
            options.append(
                {
                    "name": field.name,
                    "type": _type_name(kind),
                    "default": list(default) if isinstance(default, tuple) else default,
                    "doc": words.get(field.name, ""),
                }
            )
    return options


def _type_name(kind: Any) -> str:
    """As an author would write it: choices for a Literal, no module names."""
    text = kind.__name__ if isinstance(kind, type) else str(kind)
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", text)
    text = re.sub(r"\btyping\.|\bcollections\.abc\.", "", text)
    return re.sub(r"Literal\[([^\]]*)\]", lambda found: found[1].replace("'", "").replace(", ", "|"), text)


def _calls(cls: type) -> list[dict[str, Any]]:
    """What its default settings call, seen on the closed-form problem with a budget of 36 evaluations."""
    try:
        outcome, _ = Subject.of(cls).search()
    except TicketsearchError:
        return []
    counts = Counter(trial[0] for trial in outcome.trials)
    return [{"call": kind, "times": count, "what": EXPLAINED.get(kind, "")} for kind, count in counts.items()]


def as_text(described: dict[str, Any]) -> str:
    """For a terminal."""
    where = f"{described['distribution']} {described['version']}  {described['value']}"
    lines = [f"{described['name']}  ({where})", "", described["summary"], ""]
    if described["about"]:
        lines += ["About and source", *_indented(described["about"]), ""]
    lines += ["Options, --set NAME=VALUE"]
    for option in described["options"]:
        lines += [f"  {option['name']} = {option['default']}  ({option['type']})", *_indented(option["doc"], 6)]
    lines += ["", "What it calls", *_indented(described["spends"])]
    lines += [f"  {call['call']} x {call['times']}: {call['what']}" for call in described["calls"]]
    if described["calls"]:
        lines += ["  (at its defaults, on a toy problem with a budget of 36 evaluations)"]
    return "\n".join(lines)


def _indented(text: str, spaces: int = 2) -> list[str]:
    return [f"{' ' * spaces}{line}".rstrip() for line in text.splitlines()]
