"""Networks to be cut, with statistics and shifts as after training, and masks of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ticketsearch.arrays import BoolArray


def trained(network: nn.Module, seed: int = 0) -> Any:
    """The same with normalisations that are no identities, and biases that are not zero."""
    rng = np.random.Generator(np.random.PCG64(seed))

    def draw(tensor: Tensor, low: float, high: float) -> None:
        tensor.data.copy_(torch.from_numpy(rng.uniform(low, high, tuple(tensor.shape))))

    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            assert part.running_mean is not None
            assert part.running_var is not None
            for tensor, low in ((part.weight, 0.5), (part.bias, -1), (part.running_mean, -1), (part.running_var, 0.5)):
                draw(tensor, low, 1.5)
        elif isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            scale = 1.5 / part.weight[0].numel() ** 0.5
            draw(part.weight, -scale, scale)
            if part.bias is not None:
                draw(part.bias, -1, 1)
    return network.eval()


def silence(part: Any, *channels: int) -> None:
    """Zero what writes the channels; of a normalisation, scale and shift."""
    with torch.no_grad():
        part.weight[list(channels)] = 0
        if part.bias is not None:
            part.bias[list(channels)] = 0


def half_of(count: int, rng: np.random.Generator) -> BoolArray:
    kept: BoolArray = rng.permutation(count) < count // 2
    return kept


class Block(nn.Module):
    """He et al.'s basic block: option A where the shape changes, or a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int, option: str = "A") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs
        if option == "B" and (stride > 1 or self.added):
            self.shortcut: Any = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.option = option

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1 or self.added:
            if self.option == "B":
                x = self.shortcut(x)
            else:
                half = self.added // 2
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.added - half))
        return F.relu(y + x)


class ResNet(nn.Module):
    """ResNet-20 at widths 16, 32, 64 and three blocks a stage."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64), blocks: int = 3, option: str = "A") -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        layers, inputs = [], widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(inputs, width, 2 if stage and not block else 1, option))
                inputs = width
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(F.relu(self.bn(self.conv(x))))
        result: Tensor = self.output(F.avg_pool2d(x, x.size(3)).view(x.size(0), -1))
        return result


def half_masks(network: ResNet, seed: int = 0) -> dict[str, BoolArray]:
    """Half of the inner and of the outer channels: those of a stage's residual stream the same in all its blocks.

    A later stage keeps the channels that come in through the padded shortcut.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    masks: dict[str, BoolArray] = {}

    def add(name: str, part: nn.Conv2d, kept: BoolArray) -> None:
        masks[f"{name}.weight"] = np.broadcast_to(kept[:, None, None, None], tuple(part.weight.shape)).copy()

    stream = half_of(network.conv.out_channels, rng)
    add("conv", network.conv, stream)
    for name, block in network.layers.named_children():
        assert isinstance(block, Block)
        if block.added:
            low, count = block.added // 2, block.conv2.out_channels
            wide = np.zeros(count, dtype=bool)
            wide[low : low + stream.size] = stream
            free = np.flatnonzero(np.pad(np.zeros(stream.size), (low, block.added - low), constant_values=1))
            wide[rng.choice(free, count // 2 - int(stream.sum()), replace=False)] = True
            stream = wide
        add(f"layers.{name}.conv1", block.conv1, half_of(block.conv1.out_channels, rng))
        add(f"layers.{name}.conv2", block.conv2, stream)
        if block.option == "B" and (block.added or block.stride > 1):
            add(f"layers.{name}.shortcut.0", block.shortcut[0], stream)
    return masks


def layer_masks(network: nn.Module, seed: int = 0) -> dict[str, BoolArray]:
    """Half of the channels of every convolution, each drawn by itself: a stream keeps what any of them writes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return {
        f"{name}.weight": np.broadcast_to(
            half_of(part.out_channels, rng)[:, None, None, None], tuple(part.weight.shape)
        ).copy()
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d)
    }


class ByHand(nn.Module):
    """One forward function over named layers."""

    def __init__(self, forward: Any, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.__dict__["by_hand"] = forward

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.__dict__["by_hand"](self, x)
        return result
