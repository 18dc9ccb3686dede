"""What of a user's module can be pruned, and which modules are refused because a training would not be theirs.

Training replaces a module's parameters by vectors of its own. So a module is refused if its parameters are more than
tensors: if they are made from other tensors at every pass, share memory, or have hooks that only they would call.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from ticketsearch.errors import InvalidValue

PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd)
"""Layers that a forward hook sees at work."""
NORM = nn.modules.batchnorm._BatchNorm
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Of ``nn.MultiheadAttention``; its output projection is a linear layer of its own."""


def prunable_in(module: nn.Module) -> list[str]:
    """Names of a module's own parameters that are weights of products: those that can be pruned."""
    if isinstance(module, (*PRUNABLE, nn.Bilinear)):
        names = ["weight"]
    elif isinstance(module, nn.MultiheadAttention):
        names = list(ATTENTION)
    elif isinstance(module, RECURRENT):
        names = [name for name in module._parameters if name.startswith("weight_")]
    else:
        return []
    return [name for name in names if module._parameters.get(name) is not None]


def owners(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Parameter]]:
    """Every place of every parameter: its full name, the module that holds it, its name there, and itself.

    A parameter with several names comes several times.
    """
    for place, module in network.named_modules(remove_duplicate=False):
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield (f"{place}.{name}" if place else name), module, name, parameter


def is_kept(name: str, patterns: tuple[str, ...]) -> str | None:
    """The first pattern that leaves a parameter dense: its own name, its layer's, or that of a module around it.

    Args:
        name: of the parameter, like ``features.0.weight``.
        patterns: names, or patterns with ``*``, ``?`` and ``[...]``.
    """
    parts = name.split(".")
    places = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((pattern for pattern in patterns if any(fnmatchcase(place, pattern) for place in places)), None)


def check_module(network: nn.Module, where: str) -> None:
    """Refuse a module whose training by other means would be another one.

    Args:
        network: the module.
        where: whose it is, for messages.

    Raises:
        InvalidValue: names the layer and the remedy.
    """
    for place, module in network.named_modules():
        if (reason := _refusal(module)) is not None:
            raise InvalidValue(f"{where} layer {place or type(module).__name__!r} {reason}")
    for name, parameter in network.named_parameters():
        if (reason := _refused_parameter(parameter)) is not None:
            raise InvalidValue(f"{where} parameter {name!r} {reason}")
    _check_memory(network, where)


def _refusal(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "is a scripted module, whose weights cannot be replaced; give the module it was scripted from"
    if parametrize.is_parametrized(module):
        [name, *_] = module.parametrizations.keys()  # type: ignore[union-attr,operator]
        return (
            f"has a parametrization of {name!r} (weight_norm, spectral_norm, ...), so a zero would not stay one; call "
            f"torch.nn.utils.parametrize.remove_parametrizations(layer, {name!r}) in the network's factory"
        )
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod):
            return "was pruned by torch.nn.utils.prune; call torch.nn.utils.prune.remove(layer, name) first"
        kind = type(hook).__name__
        if kind in ("WeightNorm", "SpectralNorm"):
            call = "remove_weight_norm" if kind == "WeightNorm" else "remove_spectral_norm"
            return f"makes its weight anew at every pass ({kind}); call torch.nn.utils.{call}(layer) first"
    if isinstance(module, NORM) and module.track_running_stats and module.momentum is None:
        return "averages its statistics over all batches ever seen; give it a momentum"
    return None


def _refused_parameter(parameter: nn.Parameter) -> str | None:
    if parameter.is_meta:
        return "is on the meta device and has no values; make the network on the CPU"
    if not parameter.is_floating_point():
        return f"is of {parameter.dtype}; ticketsearch trains floating-point parameters"
    if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
        return "has a gradient hook, which would not be called; change the gradient in forward, or freeze it"
    return None


def _check_memory(network: nn.Module, where: str) -> None:
    """Refuse two tensors in one place of memory: an update of one would change the other."""
    named: dict[str, Tensor] = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    spans = []
    for name, tensor in named.items():
        if tensor.numel() and tensor.layout is torch.strided:
            reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
            begin = tensor.data_ptr()
            spans.append((str(tensor.device), begin, begin + (reach + 1) * tensor.element_size(), name))
    reached: dict[str, tuple[int, str]] = {}
    for device, begin, end, name in sorted(spans):
        before, other = reached.get(device, (begin, ""))
        if begin < before:
            raise InvalidValue(
                f"{where} {other!r} and {name!r} share memory but are two tensors; to tie them, assign one Parameter "
                "to both, or else clone one"
            )
        reached[device] = max((before, other), (end, name))
