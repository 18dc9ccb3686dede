"""Image networks by name: the built-in ones, and any classifier of ``torchvision.models``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.tasks.networks.conv import conv_2, conv_4, conv_6
from ticketsearch.tasks.networks.resnet import resnet_20
from ticketsearch.tasks.networks.vgg import vgg_11_bn

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "conv-2": conv_2,
    "conv-4": conv_4,
    "conv-6": conv_6,
    "resnet-20": resnet_20,
    "vgg-11-bn": vgg_11_bn,
}
"""Name -> factory of (channels, size, classes, width=1.0)."""
TORCHVISION = "torchvision:"


def network_factory(name: str, channels: int, size: int, classes: int) -> Callable[[], nn.Module]:
    """What makes fresh networks of that name for images ``(channels, size, size)``: the ``network`` of a task.

    Args:
        name: a key of :data:`NETWORKS`, or ``torchvision:NAME`` for a classifier of ``torchvision.models``, with its
            own initial weights.
        channels: of an image.
        size: its height and width.
        classes: outputs.

    Raises:
        UnknownName: no such network.
        InvalidValue: torchvision's take three channels.
    """
    if not name.startswith(TORCHVISION):
        if name not in NETWORKS:
            raise UnknownName("network", name, [*NETWORKS, f"{TORCHVISION}NAME"])
        return partial(NETWORKS[name], channels, size, classes)
    from torchvision import models

    known = models.list_models(module=models)
    own = name.removeprefix(TORCHVISION)
    if own not in known:
        raise UnknownName("network of torchvision.models", own, known)
    if channels != 3:
        raise InvalidValue(f"network {name!r} takes images of 3 channels, these have {channels}")
    return partial(models.get_model, own, weights=None, num_classes=classes)


def scaled_factory(name: str, channels: int, size: int, classes: int) -> Callable[[float], nn.Module] | None:
    """What makes the same network with all hidden widths times a factor; ``None`` for torchvision's.

    The arguments are those of :func:`network_factory`.
    """
    return partial(_scaled, name, channels, size, classes) if name in NETWORKS else None


def _scaled(name: str, channels: int, size: int, classes: int, factor: float) -> nn.Module:
    return NETWORKS[name](channels, size, classes, width=factor)
