"""How a convolutional network lies in memory for :mod:`ticketsearch.engine.sparse.convolution`.

A *line* is one number of 16 examples, a cache line. An image is a plane of lines, row after row, each row followed by
zeros that serve as its right border and as the left border of the next. So a weight at (dy, dx) of a kernel finds its
input always at the same distance, ``dy * pitch + dx`` lines, and a convolution with a sparse kernel is what a sparse
linear layer is: a sum of kept weights times whole rows, a row being a *run* of lines that registers can hold.
A linear layer is the case of planes of one line.

All arrays of a network but its weights lie in one arena of lines; :data:`LAYER` says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import nn

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.engine.plain import alternate, chain_of, fit_together, is_flatten

RUN = 24
"""Lines whose accumulators fit the registers of AVX-512; measured."""
Records: TypeAlias = npt.NDArray[np.void]
LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            "inputs",  # channels, or units
            "outputs",
            "fan_in",  # weights of one output
            "area",  # of the kernel: weights of one output and one input
            "groups",
            "taps",  # position of the layer's first distance
            "linear",  # 1, or 0 of a convolution
            "rectify",  # 1 if a ReLU follows
            "height",  # of the planes, in and out
            "width",
            "pitch",  # lines from a row to the next
            "source",  # line of the first input
            "source_plane",  # lines from a channel to the next
            "target",  # the same of the outputs
            "target_plane",
            "pool",  # side of the max-pooling windows that follow; 0: the outputs are the next layer's inputs
            "pooled",  # the same of what pooling makes
            "pooled_plane",
            "pooled_pitch",
        )
    ]
)
"""One layer, in a form that compiled code reads."""


@dataclass(frozen=True)
class Stage:
    """A convolution with a border that keeps the size of the image, ReLU and perhaps max-pooling.

    Attributes:
        inputs: channels.
        outputs: channels.
        kernel: its height and width, odd numbers.
        groups: of channels.
        pool: side of the pooling windows; 0 without pooling.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, int]
    groups: int
    pool: int


@dataclass(frozen=True)
class ConvNet:
    """Stages, then linear layers with ReLU between them.

    Attributes:
        size: height and width of an image.
        stages: at least one.
        widths: inputs of the first linear layer, then units of each, ``(K + 1,)``.
        has_bias: for each layer, stages first.
    """

    size: tuple[int, int]
    stages: tuple[Stage, ...]
    widths: tuple[int, ...]
    has_bias: tuple[bool, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """Outputs of each layer, ``(L,)``."""
        return (*(stage.outputs for stage in self.stages), *self.widths[1:])


def convnet_of(network: nn.Module, shape: tuple[int, ...]) -> ConvNet | None:
    """The network that the kernels train, or ``None``.

    Args:
        network: a Sequential of (Conv2d, ReLU[, MaxPool2d])+, Flatten, Linear, (ReLU, Linear)*, perhaps nested, with
            convolutions of stride 1 that keep the size of the image.
        shape: of an example, ``(C, H, W)``.
    """
    modules = chain_of(network)
    if len(shape) != 3 or modules is None:
        return None
    flatten = next((i for i, module in enumerate(modules) if type(module) is nn.Flatten), 0)
    stages = _stages(modules[:flatten])
    head = modules[flatten + 1 :]
    if not stages or not is_flatten(modules[flatten]) or not alternate(head, nn.Linear, {nn.ReLU}):
        return None
    linears = [module for module in head if isinstance(module, nn.Linear)]
    channels, (height, width) = shape[0], shape[1:]
    for stage in stages:
        if stage.inputs != channels:
            return None
        channels = stage.outputs
        height, width = (side // max(1, stage.pool) for side in (height, width))
    widths = (channels * height * width, *(linear.out_features for linear in linears))
    if height * width == 0 or widths[0] != linears[0].in_features or not fit_together(linears):
        return None
    layers = [module for module in modules if isinstance(module, nn.Conv2d | nn.Linear)]
    return ConvNet((shape[1], shape[2]), stages, widths, tuple(layer.bias is not None for layer in layers))


def _stages(modules: list[nn.Module]) -> tuple[Stage, ...]:
    """Empty unless the modules are stages and nothing else."""
    stages: list[Stage] = []
    while modules:
        convolution, modules = modules[0], modules[1:]
        if type(convolution) is not nn.Conv2d or not _keeps_size(convolution) or not modules:
            return ()
        relu, modules = modules[0], modules[1:]
        if type(relu) is not nn.ReLU:
            return ()
        pool = 0
        if modules and type(modules[0]) is nn.MaxPool2d:
            pool, modules = _side(modules[0]), modules[1:]
            if pool == 0:
                return ()
        height, width = convolution.kernel_size
        stages.append(
            Stage(convolution.in_channels, convolution.out_channels, (height, width), convolution.groups, pool)
        )
    return tuple(stages)


def _keeps_size(module: nn.Conv2d) -> bool:
    half = tuple(side // 2 for side in module.kernel_size)
    channels = module.out_channels, module.in_channels // module.groups
    return (
        tuple(module.weight.shape) == (*channels, *module.kernel_size)
        and (module.bias is None or tuple(module.bias.shape) == channels[:1])
        and all(side % 2 for side in module.kernel_size)
        and set(module.stride) | set(module.dilation) == {1}
        and module.padding_mode == "zeros"
        and (module.padding == "same" or module.padding == half)
    )


def _side(module: nn.MaxPool2d) -> int:
    """Side of square windows side by side; 0 if they are others."""

    def pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return (value, value) if isinstance(value, int) else tuple(value)

    kernel = pair(module.kernel_size)
    plain = pair(module.stride) == kernel and pair(module.padding) == (0, 0) and pair(module.dilation) == (1, 1)
    return kernel[0] if plain and kernel[0] == kernel[1] and not module.ceil_mode and not module.return_indices else 0


@dataclass(frozen=True)
class Plan:
    """Where everything lies.

    Attributes:
        layers: of type :data:`LAYER`, ``(L,)``.
        taps: for the weights of one output of each layer, the distance in lines of what they are multiplied with.
        outputs: of each layer, with the inputs of the first before them, ``(L + 1,)``.
        with_bias: which outputs have a bias, ``(F,)``.
        lines: size of the arena.
    """

    layers: Records
    taps: npt.NDArray[np.int32]
    outputs: IntArray
    with_bias: BoolArray
    lines: int


@dataclass(frozen=True)
class _Planes:
    """Planes of a layer's inputs or outputs: bordered for a convolution, tight for a linear layer."""

    height: int
    width: int
    border: int

    @property
    def pitch(self) -> int:
        return self.width + self.border

    @property
    def plane(self) -> int:
        """Rows, the border below them, which is also that above the next plane, and room for the last run."""
        if self.border == 0:
            return self.height * self.width
        covered = -(-self.height * self.pitch // RUN) * RUN
        return max((self.height + self.border) * self.pitch, covered)

    @property
    def margin(self) -> int:
        """Zeros before the first plane and behind the last."""
        return self.border * (self.pitch + 1) + RUN


def plan_of(network: ConvNet) -> Plan:
    """Lay a network out."""
    layers = np.zeros(len(network.outputs), dtype=LAYER)
    taps: list[npt.NDArray[np.int32]] = []
    free = 0

    def allot(channels: int, planes: _Planes) -> int:
        nonlocal free
        first = free + planes.margin
        free = first + channels * planes.plane + planes.margin
        return first

    border = max(1, *(side // 2 for stage in network.stages for side in stage.kernel))
    planes = _Planes(*network.size, border)
    source = allot(network.stages[0].inputs, planes)
    for index, stage in enumerate(network.stages):
        layer = layers[index]
        last = index == len(network.stages) - 1
        layer["inputs"], layer["outputs"], layer["groups"] = stage.inputs, stage.outputs, stage.groups
        layer["rectify"], layer["height"], layer["width"], layer["pitch"] = 1, planes.height, planes.width, planes.pitch
        layer["source"], layer["source_plane"] = source, planes.plane
        layer["target"], layer["target_plane"] = allot(stage.outputs, planes), planes.plane
        layer["area"] = stage.kernel[0] * stage.kernel[1]
        across = stage.inputs // stage.groups
        layer["fan_in"], layer["taps"] = across * layer["area"], sum(map(len, taps))
        channel, dy, dx = np.indices((across, *stage.kernel)).reshape(3, -1)
        dy, dx = dy - stage.kernel[0] // 2, dx - stage.kernel[1] // 2
        taps.append((channel * planes.plane + dy * planes.pitch + dx).astype(np.int32))
        layer["pool"] = stage.pool or (1 if last else 0)  # pooling windows of one strip the borders off
        if layer["pool"]:
            side = int(layer["pool"])
            planes = _Planes(planes.height // side, planes.width // side, 0 if last else border)
            layer["pooled"] = allot(stage.outputs, planes)
            layer["pooled_plane"], layer["pooled_pitch"] = planes.plane, planes.pitch
        source = int(layer["pooled"] if layer["pool"] else layer["target"])
    for index, (inputs, outputs) in enumerate(pairwise(network.widths), start=len(network.stages)):
        layer = layers[index]
        layer["inputs"], layer["outputs"], layer["fan_in"], layer["area"], layer["groups"] = (
            inputs,
            outputs,
            inputs,
            1,
            1,
        )
        layer["linear"], layer["rectify"] = 1, index < len(layers) - 1
        layer["height"] = layer["width"] = layer["pitch"] = layer["source_plane"] = layer["target_plane"] = 1
        layer["source"], layer["target"] = source, allot(outputs, _Planes(1, 1, 0))
        layer["taps"] = sum(map(len, taps))
        taps.append(np.arange(inputs, dtype=np.int32))
        source = int(layer["target"])
    outputs_of = np.array([network.stages[0].inputs, *network.outputs], dtype=np.int64)
    return Plan(layers, np.concatenate(taps), outputs_of, np.repeat(network.has_bias, network.outputs), free)
