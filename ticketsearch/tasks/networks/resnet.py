"""ResNet-20 for CIFAR (He, Zhang, Ren & Sun, arXiv:1512.03385, section 4.2): three stages of three blocks.

Shortcuts across stages are the paper's option A: every second pixel of the input, padded by channels of zeros, and no
parameters. It suits channel pruning: a padded shortcut only renumbers channels, so that the residual stream can be cut
like any other (:class:`PaddedShortcut` says how it does). Option B, a 1x1 convolution with normalisation, is there on
request. Convolutions are drawn from He's normal distribution (arXiv:1502.01852, eq. 10), without biases.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.tasks.networks.mlp import times

STAGES = (16, 32, 64)
BLOCKS = 3


class PaddedShortcut(nn.Module):
    """Option A: ``(B, C, H, W) -> (B, before + C + after, H / stride, W / stride)``, new channels zero.

    Attributes:
        stride: takes every so many pixels.
        before: channels of zeros in front.
        after: channels of zeros behind.
    """

    def __init__(self, stride: int, before: int, after: int) -> None:
        super().__init__()
        self.stride, self.before, self.after = stride, before, after

    def forward(self, x: Tensor) -> Tensor:
        """Subsample and pad."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """For the network's printed architecture."""
        return f"stride={self.stride}, before={self.before}, after={self.after}"


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation; the input is added before the last rectifier.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the first convolution and of the shortcut.
        shortcut: how the input is fitted where its shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Literal["A", "B"]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            added = outputs - inputs
            if shortcut == "A":
                self.shortcut = PaddedShortcut(stride, added // 2, added - added // 2)
            else:
                convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.shortcut = nn.Sequential(OrderedDict(conv=convolution, bn=nn.BatchNorm2d(outputs)))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)``."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu2(residual + self.shortcut(x))
        return result


def resnet_20(
    channels: int = 3, size: int = 32, classes: int = 10, shortcut: Literal["A", "B"] = "A", width: float = 1.0
) -> nn.Sequential:
    """ResNet-20, 0.27 million weights.

    Args:
        channels: of an image.
        size: its height and width; any will do, the last feature map is averaged.
        classes: outputs.
        shortcut: the paper's option A or B.
        width: factor of all hidden widths.
    """
    del size
    stages = [times(whole, width) for whole in STAGES]
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    modules["conv"] = nn.Conv2d(channels, stages[0], 3, padding=1, bias=False)
    modules["bn"] = nn.BatchNorm2d(stages[0])
    modules["relu"] = nn.ReLU()
    inputs = stages[0]
    for stage, outputs in enumerate(stages, start=1):
        for block in range(1, BLOCKS + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            modules[f"stage{stage}_block{block}"] = ResidualBlock(inputs, outputs, stride, shortcut)
            inputs = outputs
    modules["pool"], modules["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    modules["output"] = nn.Linear(inputs, classes)
    network = nn.Sequential(modules)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
