"""An encoding by name, and a start by name: what searchers are told in one word each."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np

from ticketsearch import plugins
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks.criteria import NAMES as CRITERIA
from ticketsearch.masks.criteria import CriterionScores
from ticketsearch.masks.densities import NAMES as DENSITIES
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.encodings import Encoding, EncodingSettings, Start, VectorEncoding
from ticketsearch.plugins.by_place import import_place
from ticketsearch.plugins.settings import build, read_call
from ticketsearch.problem import MaskProblem
from ticketsearch.strategies.synflow import synflow_order

OF_CRITERION = ("counts", "mask")
"""Starts that need a criterion: the layers' counts of its mask, or the mask itself."""


def encoding_settings(text: str) -> EncodingSettings:
    """An encoding as it is named: ``neurons``, or ``neurons(alpha=0.5)`` with settings, or ``package.module:Class``.

    Raises:
        UnknownName: no such encoding or setting.
        InvalidValue: a value of the wrong type or outside its range.
        PluginError: what is registered is not an encoding.
    """
    name, settings = read_call("encoding", text)
    cls = encoding_class(name)
    return cast("EncodingSettings", build(f"encoding {name!r}", cls, settings))


@lru_cache(maxsize=64)
def encoding_class(name: str) -> type:
    """The class registered under a name, or at ``package.module:Class``.

    Raises:
        UnknownName: there is none.
        PluginError: it is no encoding, or cannot be imported.
    """
    try:
        plugin = plugins.find(plugins.ENCODINGS, name)
    except UnknownName:
        if ":" not in name:
            raise
        found: Any = import_place("encoding", name)
        plugins.require_encoding(found, f"encoding {name!r}")
    else:
        found = plugin.load()
        plugins.require_encoding(found, f"encoding {name!r} of {plugin.distribution} {plugin.version}")
    cls: type = found
    return cls


def make_encoding(text: str, problem: MaskProblem, start: str | None = None) -> Encoding:
    """Build an encoding on a problem, paying for what it needs to know of the network.

    Args:
        text: as in :func:`encoding_settings`.
        problem: whose masks are written down.
        start: as in :func:`make_start`.

    Raises:
        UnknownName, PluginError: as in :func:`encoding_settings`.
        InvalidValue: likewise; or the sparsity leaves too few units for the layers.
    """
    settings = encoding_settings(text)
    if problem.n_kept < len(problem.space.layers):
        raise InvalidValue(
            f"encoding {text!r}: {problem.n_kept} kept {problem.space.unit}s leave some of "
            f"{len(problem.space.layers)} layers empty"
        )
    encoding = settings.build(problem)
    if start is not None:
        encoding.begin_at(make_start(start, problem))
    return encoding


def check_start(text: str) -> tuple[str, str]:
    """The kind of a start, and its criterion if it has one.

    Raises:
        UnknownName: no such start or criterion.
    """
    kind, separator, rest = text.partition("(")
    criterion = rest.removesuffix(")").strip()
    if kind in DENSITIES and not separator:
        return kind, ""
    if kind not in OF_CRITERION or not rest.endswith(")"):
        raise UnknownName("start", text, [*DENSITIES, *(f"{kind}(CRITERION)" for kind in OF_CRITERION)])
    if criterion not in (known := ("synflow", *CRITERIA)):
        raise UnknownName("criterion", criterion, known)
    return kind, criterion


def make_start(text: str, problem: MaskProblem) -> Start:
    """A start: ``uniform``, ``erk`` or ``smart-ratio`` densities, or ``counts(C)`` or ``mask(C)`` of a criterion C.

    Criteria are those of :mod:`ticketsearch.masks.criteria`, and ``synflow``. Each is paid for.

    Raises:
        UnknownName: no such start or criterion.
        InvalidValue: densities that are not of these units.
    """
    kind, criterion = check_start(text)
    space, n = problem.space, problem.n_kept
    if not criterion:
        return Start(layer_counts(kind, space, n))
    scores = synflow_order(problem) if criterion == "synflow" else CriterionScores(problem)(criterion)
    counts = np.maximum(space.counts(space.top(scores, n)), 1)
    while (excess := int(counts.sum()) - n) > 0:  # a layer that the criterion emptied keeps one
        counts[int(counts.argmax())] -= min(excess, int(counts.max()) - 1)
    return Start(counts, scores if kind == "mask" else None)


def vector_encoding(strategy: str, encoding: Encoding) -> VectorEncoding:
    """The encoding itself, if it is a vector of numbers.

    Raises:
        InvalidValue: it is not.
    """
    if not isinstance(encoding, VectorEncoding):
        raise InvalidValue(
            f"{strategy} searches vectors of numbers, and a genome of {type(encoding).__name__} is none; use neurons, "
            "degrees, layer-density or another vector encoding"
        )
    return encoding
