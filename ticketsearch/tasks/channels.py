"""What belongs to which output channel of a network: read off one forward pass of an example."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ticketsearch.errors import InvalidValue
from ticketsearch.masks.units import ChannelTies, Units, block_units, channel_units, parse_granularity, weight_units
from ticketsearch.tasks.layout import Layout
from ticketsearch.tasks.modules import NORM, PRUNABLE


def make_units(granularity: str, layout: Layout, network: nn.Module, example: Tensor) -> Units:
    """The units of a network at a granularity.

    Args:
        granularity: ``weight``, ``channel`` or ``N:M``.
        layout: the network's.
        network: is run once, in evaluation mode.
        example: one input with its batch dimension, ``(1, ...)``.

    Raises:
        InvalidValue: no such granularity, or the network has no such units.
    """
    block = parse_granularity(granularity)
    if block is not None:
        return block_units(layout.space, *block)
    if granularity == "weight":
        return weight_units(layout.space)
    return channel_units(layout.space, layout.rest_shapes, ties_of(network, example))


def ties_of(network: nn.Module, example: Tensor) -> ChannelTies:
    """Biases, and the batch normalisations that take a layer's output as it is, belong to the layer's channels.

    The output layer is the last one that the example passes through.

    Raises:
        InvalidValue: a transposed convolution, or a layer that is used more than once: its channels are not its own.
    """
    owned: dict[str, tuple[str, ...]] = {}
    scale: dict[str, str] = {}
    outputs: list[tuple[Tensor, str]] = []  # held on to, so that no two have one identity
    hooks = []

    def after_layer(name: str, module: nn.Module, output: Tensor) -> None:
        weight = f"{name}.weight" if name else "weight"
        if isinstance(module, nn.modules.conv._ConvTransposeNd):
            raise InvalidValue(f"layer {name!r} is a transposed convolution; --granularity channel cannot prune it")
        if weight in owned:
            raise InvalidValue(f"layer {name!r} is used more than once; --granularity channel cannot prune it")
        owned[weight] = (f"{name}.bias" if name else "bias",) if module.bias is not None else ()
        outputs.append((output, weight))

    def before_norm(name: str, module: nn.Module, source: Tensor) -> None:
        for output, weight in outputs:
            if output is source:
                names = [
                    key for key in ("weight", "bias", "running_mean", "running_var") if getattr(module, key) is not None
                ]
                owned[weight] += tuple(f"{name}.{key}" for key in names)
                if "weight" in names:
                    scale[weight] = f"{name}.weight"

    for name, module in network.named_modules():
        if isinstance(module, PRUNABLE):
            hooks.append(module.register_forward_hook(lambda m, _i, out, n=name: after_layer(n, m, out)))
        elif isinstance(module, NORM):
            hooks.append(module.register_forward_pre_hook(lambda m, args, n=name: before_norm(n, m, args[0])))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return ChannelTies(outputs[-1][1], owned, scale)
