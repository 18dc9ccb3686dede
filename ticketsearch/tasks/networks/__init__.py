"""The built-in networks, each a factory of its sizes, and finding one by name."""

from ticketsearch.tasks.networks.catalogue import NETWORKS, network_factory, scaled_factory
from ticketsearch.tasks.networks.conv import conv_2, conv_4, conv_6
from ticketsearch.tasks.networks.mlp import mlp, scaled_mlp
from ticketsearch.tasks.networks.resnet import PaddedShortcut, ResidualBlock, resnet_20
from ticketsearch.tasks.networks.vgg import vgg_11_bn

__all__ = [
    "NETWORKS",
    "PaddedShortcut",
    "ResidualBlock",
    "conv_2",
    "conv_4",
    "conv_6",
    "mlp",
    "network_factory",
    "resnet_20",
    "scaled_factory",
    "scaled_mlp",
    "vgg_11_bn",
]
