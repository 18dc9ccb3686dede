"""Layers that read channels to write others, and normalisations of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, fx, nn

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray
from ticketsearch.compaction.classes import Mixer, Value
from ticketsearch.compaction.rules import each

if TYPE_CHECKING:
    from ticketsearch.compaction.facts import Facts


def mix(facts: Facts, node: fx.Node, part: nn.Module, axis: int) -> Value:
    """A convolution or linear layer, whose channels lie along an axis."""
    source = facts.on(node.args[0], axis, type(part).__name__)
    name, groups = str(node.target), int(getattr(part, "groups", 1))
    folds = name not in facts.repeated and not _meets_padding(part)
    reads = _reads(facts, name, part, source.ids.size, groups)
    outputs, width = len(reads), source.ids.size // groups
    constants = _constants(facts, name, part, source, reads, folds)
    result = Value(facts.classes.fresh(outputs), constants, axis)
    for group in range(groups if groups > 1 else 0):  # a group goes as a whole
        own = source.ids[group * width : (group + 1) * width]
        rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
        facts.classes.tie(np.concatenate([own, result.ids[rows]]))
    facts.mixers.append(Mixer(node, source, result, reads, folds and groups == 1))
    return result


def normalise(facts: Facts, node: fx.Node, part: nn.Module) -> Value:
    """Batch normalisation: along axis 1, each channel by itself."""
    source = facts.on(node.args[0], 1, type(part).__name__)
    name = str(node.target)
    weight: Tensor | None = part.weight  # type: ignore[assignment]
    bias: Tensor | None = part.bias  # type: ignore[assignment]
    closed = np.zeros(source.ids.size, dtype=bool) if weight is None else facts.zero(f"{name}.weight", weight)
    free = np.ones(source.ids.size, dtype=bool) if bias is None else facts.zero(f"{name}.bias", bias)
    if facts.training:
        mean: Tensor | None = part.running_mean  # type: ignore[assignment]
        centred = mean is None or array_of(mean) == 0  # else zero is no zero in evaluation
        silent = free & (closed | ((source.constants == 0) & centred))
        constants = np.where(silent, 0.0, np.nan)
    else:
        constants = each(facts, node, source).constants
        if bias is not None:
            constants = np.where(closed, array_of(bias), constants)
    facts.scales.append(node)
    return Value(source.ids, constants, 1, source.held)


def share_of(part: nn.Module, inputs: IntArray, constants: ScoreArray, width: int) -> ScoreArray:
    """What constant inputs add to each output ``(O,)``: constant times the sum of the weights that read it."""
    weight: Tensor = part.weight  # type: ignore[assignment]
    whole = weight.shape[1] == width
    weight = weight.detach()[:, inputs] if whole else weight.detach()
    sums = array_of(weight).reshape(*weight.shape[:2], -1).sum(2)  # (O, inputs), or (O, I/g)
    if whole:
        return np.asarray(sums @ constants[inputs])
    full = np.zeros((len(sums), width))
    groups = width // sums.shape[1]
    per_group = len(sums) // groups
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        full[rows, group * sums.shape[1] : (group + 1) * sums.shape[1]] = sums[rows]
    return np.asarray(full[:, inputs] @ constants[inputs])


def array_of(tensor: Tensor) -> ScoreArray:
    """In double precision."""
    return np.asarray(tensor.detach().cpu().double().numpy(), dtype=np.float64)


def _meets_padding(part: nn.Module) -> bool:
    """Whether a constant input is no constant to a layer, because it ends at the border in zeros."""
    padding = getattr(part, "padding", 0)
    padded = padding != "valid" if isinstance(padding, str) else bool(np.any(padding))
    return padded and getattr(part, "padding_mode", "zeros") == "zeros"


def _reads(facts: Facts, name: str, part: nn.Module, inputs: int, groups: int) -> BoolArray:
    """Which outputs read which inputs, ``(O, I)``."""
    weight: Tensor = part.weight  # type: ignore[assignment]
    zero = facts.zero(f"{name}.weight", weight).reshape(*weight.shape[:2], -1)
    open_ = np.asarray((~zero).any(2), dtype=bool)  # (O, I/g)
    outputs, width = open_.shape
    if width * groups != inputs:
        raise ValueError(f"{name} reads {width * groups} channels, not {inputs}")
    reads = np.zeros((outputs, inputs), dtype=bool)
    for group in range(groups):
        rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
        reads[rows, group * width : (group + 1) * width] = open_[rows]
    return reads


def _constants(facts: Facts, name: str, part: nn.Module, source: Value, reads: BoolArray, folds: bool) -> ScoreArray:
    """``(O,)``: bias and the share of constants, where nothing else is read."""
    bias: Tensor | None = part.bias  # type: ignore[assignment]
    usable = (source.constants == 0) | (np.isfinite(source.constants) & folds)
    constant = ~(reads & ~usable).any(1)
    if facts.training:
        free = np.ones(len(reads), dtype=bool) if bias is None else facts.zero(f"{name}.bias", bias)
        return np.where(constant & free, 0.0, np.nan)
    total = np.zeros(len(reads)) if bias is None else array_of(bias)
    if (valued := np.flatnonzero(reads.any(0) & usable & (source.constants != 0))).size:
        total = total + share_of(part, valued, source.constants, source.ids.size)
    return np.where(constant, total, np.nan)
