"""What the bits of a mask stand for: weights, output channels, or weights in blocks N:M.

Strategies search a space of *units* and never see the difference; engines see masks of weights and nothing else. In
between stands :class:`Units`: it expands masks of units to masks of weights, and reduces scores of weights to scores of
units.

``weight``   a unit is a weight.
``channel``  a unit is an output channel of a convolution or an output neuron of a linear layer, with all its weights
             (filter pruning: Li et al., arXiv:1608.08710). The output layer's neurons are the classes, no units. What
             else a pruned channel owns, its bias and its normalisation's parameters and running statistics, is held at
             zero, so that nothing of it is left. Each layer keeps at least one channel.
``N:M``      a unit is a weight, and of each M consecutive ones along a layer's input dimension exactly N are kept
             (Mishra et al., arXiv:2104.08378). Layers whose input dimension M does not divide are kept whole, as
             in NVIDIA's ASP, and their weights are no units.

*Sparsity is the fraction of the units that is pruned*, at every granularity. A unit's score is the mean of its
weights'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray, read_only
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.space import MaskSpace
from ticketsearch.masks.ticket import Ticket

DEFAULT_SPARSITY = 0.9


def parse_granularity(text: str) -> tuple[int, int] | None:
    """N and M of ``"N:M"``; ``None`` for ``weight`` and ``channel``.

    Raises:
        InvalidValue: none of these.
    """
    if text in ("weight", "channel"):
        return None
    first, _, second = text.partition(":")
    if not (first.isdecimal() and second.isdecimal() and 0 < int(first) < int(second) <= 1024):
        raise InvalidValue(f"granularity {text!r} is not weight, channel or N:M with 0 < N < M, like 2:4")
    return int(first), int(second)


def default_sparsity(granularity: str) -> float:
    """What is pruned unless told otherwise: 1 - N/M in blocks, which have no other, else 0.9."""
    block = parse_granularity(granularity)
    return DEFAULT_SPARSITY if block is None else 1 - block[0] / block[1]


@dataclass(frozen=True)
class ChannelTies:
    """Where the channels of a network are; read off it by :func:`ticketsearch.tasks.channels.ties_of`.

    Attributes:
        output: the layer whose neurons are the classes.
        owned: layer -> names in the rest with one entry for each of its channels.
        scale: layer -> the one of them that multiplies its channels, gamma of a batch normalisation; some have none.
    """

    output: str
    owned: Mapping[str, tuple[str, ...]]
    scale: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a network.

    Attributes:
        granularity: ``weight``, ``channel`` or ``N:M``.
        space: of the U units: what strategies search.
        weights: of the D weights: what engines train.
        of_weight: ``(D,)``, the unit of each weight; -1 for one that is in none and always kept. ``None``: its own.
        of_rest: ``(R,)``, the unit that owns each entry of the rest, or -1. ``None``: no unit owns any.
        scale_of: ``(U,)``, the entry of the rest that multiplies each channel, or -1. ``None``: there are none.
    """

    granularity: str
    space: MaskSpace
    weights: MaskSpace
    of_weight: IntArray | None = None
    of_rest: IntArray | None = None
    scale_of: IntArray | None = None

    def read_only(self) -> Units:
        """A copy, of spaces too, whose arrays cannot be assigned to: for strategies."""
        arrays = {
            name: None if (array := getattr(self, name)) is None else read_only(array)
            for name in ("of_weight", "of_rest", "scale_of")
        }
        weights = self.weights.read_only()
        space = weights if self.space is self.weights else self.space.read_only()
        return Units(self.granularity, space, weights, **arrays)

    def expand(self, masks: BoolArray) -> BoolArray:
        """``(..., U) -> (..., D)``."""
        if self.of_weight is None:
            return masks
        expanded: BoolArray = masks[..., self.of_weight] | (self.of_weight < 0)
        return expanded

    def collapse(self, mask: BoolArray) -> BoolArray:
        """The inverse, ``(D,) -> (U,)``: a unit is kept if any of its weights is."""
        if self.of_weight is None:
            return mask
        kept = np.zeros(self.space.size, dtype=bool)
        kept[self.of_weight[mask & (self.of_weight >= 0)]] = True
        return kept

    def reduce(self, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Scores of weights to scores of units, ``(D,) -> (U,)``: the mean over a unit's weights."""
        if self.of_weight is None:
            return scores
        inside = self.of_weight >= 0
        return np.bincount(self.of_weight[inside], scores[inside], self.space.size) / self._sizes

    @cached_property
    def _sizes(self) -> IntArray:
        """Weights of each unit, ``(U,)``."""
        assert self.of_weight is not None
        return np.bincount(self.of_weight[self.of_weight >= 0], minlength=self.space.size)

    def rest_mask(self, masks: BoolArray) -> BoolArray | None:
        """What of the rest is left under masks of units, ``(..., U) -> (..., R)``; ``None``: everything, always."""
        if self.of_rest is None:
            return None
        left: BoolArray = masks[..., self.of_rest] | (self.of_rest < 0)
        return left

    def scales(self, rest: FloatArray) -> ScoreArray:
        """``|gamma|`` of each channel's batch normalisation, ``(R,) -> (U,)``.

        Raises:
            InvalidValue: units are no channels, or a layer has no batch normalisation behind it.
        """
        if self.scale_of is None:
            raise InvalidValue(f"criterion 'bn_scale' is of channels; --granularity is {self.granularity!r}")
        for layer in self.space.layers:
            if (self.scale_of[layer.span] < 0).any():
                raise InvalidValue(
                    f"layer {layer.name!r} has no BatchNorm behind it, so its channels have no scale; name a "
                    f"criterion of their weights: --set criterion=large_final keeps the largest mean |w|"
                )
        return np.abs(rest[self.scale_of]).astype(np.float64)

    def ticket(self, ticket: Ticket) -> Ticket:
        """A ticket whose mask and scores are of units as one whose are of weights."""
        if self.of_weight is None:
            return ticket
        scores = ticket.scores
        if scores is not None:
            scores = np.where(self.of_weight < 0, np.inf, scores[self.of_weight])
        return replace(ticket, mask=self.expand(ticket.mask), scores=scores, rest_mask=self.rest_mask(ticket.mask))


def weight_units(space: MaskSpace) -> Units:
    """Each weight is a unit."""
    return Units("weight", space, space)


def channel_units(space: MaskSpace, rest_shapes: Mapping[str, tuple[int, ...]], ties: ChannelTies) -> Units:
    """Each output channel is a unit, but for the output layer's.

    Args:
        space: of the weights; a layer's first dimension is its output channels.
        rest_shapes: name -> shape of everything in the rest, in order.
        ties: what belongs to which channel. A layer it does not have is kept whole: attention, a recurrent layer.

    Raises:
        InvalidValue: no layer but the output layer has channels.
    """
    layers = [layer for layer in space.layers if layer.name != ties.output and layer.name in ties.owned]
    if not layers:
        raise InvalidValue(
            "no layer has channels to prune: the outputs of the last one are the classes, and attention, recurrent "
            "layers and those left dense are kept whole"
        )
    shapes: dict[str, tuple[int, ...]] = {layer.name: (layer.shape[0],) for layer in layers}
    units = MaskSpace(MaskSpace.from_shapes(shapes).layers, "channel", floor=1, output=False)
    first = {layer.name: layer.offset for layer in units.layers}
    of_weight = np.full(space.size, -1, dtype=np.int64)
    for layer in layers:
        channels = first[layer.name] + np.arange(layer.shape[0])
        of_weight[layer.span] = np.repeat(channels, layer.size // layer.shape[0])
    owners = {name: layer for layer, names in ties.owned.items() if layer in first for name in names}
    scales = {name: layer for layer, name in ties.scale.items() if layer in first}
    of_rest, scale_of, offset = [], np.full(units.size, -1, dtype=np.int64), 0
    for name, shape in rest_shapes.items():
        size = int(np.prod(shape))
        own = first[owners[name]] + np.arange(size) if name in owners else np.full(size, -1, dtype=np.int64)
        if name in scales:
            scale_of[own] = offset + np.arange(size)
        of_rest.append(own)
        offset += size
    return Units("channel", units, space, of_weight, np.concatenate(of_rest or [np.zeros(0, dtype=np.int64)]), scale_of)


def block_units(space: MaskSpace, kept: int, size: int) -> Units:
    """Weights in blocks of ``size`` along the input dimension of their layer, ``kept`` of each block.

    Raises:
        InvalidValue: no layer's input dimension is a multiple of ``size``.
    """
    whole: Sequence[str] = [layer.name for layer in space.layers if layer.shape[1] % size]
    shapes, of_weight, first = {}, np.full(space.size, -1, dtype=np.int64), 0
    for layer in space.layers:
        if layer.name not in whole:
            outputs, inputs, *kernel = layer.shape
            shapes[layer.name] = (outputs, *kernel, inputs // size, size)
            places = np.arange(first, first + layer.size).reshape(outputs, *kernel, inputs)
            of_weight[layer.span] = np.moveaxis(places, -1, 1).reshape(-1)  # back to (outputs, inputs, *kernel)
            first += layer.size
    if not shapes:
        inputs_of = ", ".join(f"{layer.name} {layer.shape[1]}" for layer in space.layers)
        raise InvalidValue(f"no layer has inputs in blocks of {size}: {inputs_of}; choose an M that divides some")
    output = space.output and space.layers[-1].name in shapes
    units = MaskSpace(MaskSpace.from_shapes(shapes).layers, floor=kept, block=size, output=output)
    return Units(f"{kept}:{size}", units, space, of_weight)
