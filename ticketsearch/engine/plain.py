"""Whether a network is nothing but a chain of PyTorch's own layers, so that kernels may stand in for it.

The types of its modules do not say so. A hook, a ``forward`` set on an instance, a subclass, a shared layer, a bias
that is a buffer: each makes another network of the same types. So everything is looked at, and what is not exactly as
PyTorch makes it is a reason to leave the network to PyTorch.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.modules import module as torch_module

PARAMETERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("weight", "bias"),
    nn.Conv2d: ("weight", "bias"),
    nn.Sequential: (),
    nn.Identity: (),
    nn.Flatten: (),
    nn.ReLU: (),
    nn.Tanh: (),
    nn.MaxPool2d: (),
}
"""Modules that a chain may have, and their parameters."""
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)


def looks_plain(network: nn.Module) -> bool:
    """Whether all of its modules are of the types of a chain, or of subclasses: what users expect to be fast."""
    return isinstance(network, nn.Sequential) and all(isinstance(one, tuple(PARAMETERS)) for one in network.modules())


def why_not_plain(network: nn.Module) -> str | None:
    """What makes a network more than a chain of layers; ``None`` if nothing does."""
    for name in _GLOBAL_HOOKS:
        if getattr(torch_module, name, None):
            return "a hook is registered for all modules"
    modules = list(network.named_modules(remove_duplicate=False))
    if len({id(module) for _, module in modules}) < len(modules):
        return "a layer is used more than once"
    for name, module in modules:
        if (reason := _why_not(module)) is not None:
            return f"{f'layer {name!r}' if name else 'the network'} {reason}"
    parameters = [parameter for _, parameter in network.named_parameters(remove_duplicate=False)]
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        return "a parameter is used by more than one layer"
    return None


def _why_not(module: nn.Module) -> str | None:
    kind = type(module)
    if kind not in PARAMETERS:
        bases = [base.__name__ for base in kind.__mro__ if base in PARAMETERS]
        return f"is a {kind.__name__}" + (f", a subclass of {bases[0]}" if bases else "")
    if any(getattr(module, name, None) for name in _HOOKS):
        return "has a hook"
    if module._compiled_call_impl is not None:
        return "was compiled"
    for name in vars(module):
        if callable(getattr(kind, name, None)):
            return f"has a {name} of its own"
    if set(module._parameters) != set(PARAMETERS[kind]) or module._buffers:
        extra = {*module._parameters, *module._buffers} ^ set(PARAMETERS[kind])
        return f"has other parameters or buffers than a {kind.__name__}: {', '.join(sorted(extra))}"
    if module._modules and kind is not nn.Sequential:
        return "has modules inside"
    for name, parameter in module._parameters.items():
        if parameter is None and name == "bias":
            continue
        if type(parameter) is not nn.Parameter or parameter.dtype != torch.float32:
            return f"has a {name} of another type than float32 parameters"
        if not parameter.requires_grad:
            return f"has a frozen {name}"
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            return f"has a hook on its {name}"
    return None


def chain_of(network: nn.Module) -> list[nn.Module] | None:
    """The layers of nested Sequentials in the order they run, without Identities; ``None`` if it is no plain chain."""
    return None if why_not_plain(network) is not None else _flat(network)


def _flat(network: nn.Module) -> list[nn.Module]:
    if type(network) is nn.Sequential:
        return [module for part in network for module in _flat(part)]
    return [] if type(network) is nn.Identity else [network]


def is_flatten(module: nn.Module) -> bool:
    """Whether it makes one vector of each example."""
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


def alternate(modules: list[nn.Module], outer: type[nn.Module], inner: set[type[nn.Module]]) -> bool:
    """Whether they are ``outer, inner, outer, ..., outer``."""
    types = [type(module) for module in modules]
    return len(types) % 2 == 1 and set(types[::2]) == {outer} and set(types[1::2]) <= inner


def perceptron_layers(network: nn.Module) -> tuple[list[nn.Linear], bool] | None:
    """The layers of a plain chain [Flatten,] Linear, (ReLU | Tanh, Linear)*, and whether it is Tanh; else ``None``."""
    modules = chain_of(network) or []
    if modules and is_flatten(modules[0]):
        modules = modules[1:]
    if not modules or not alternate(modules, nn.Linear, {nn.ReLU, nn.Tanh}):
        return None
    layers, activations = [one for one in modules if isinstance(one, nn.Linear)], {type(one) for one in modules[1::2]}
    return (layers, nn.Tanh in activations) if len(activations) < 2 and fit_together(layers) else None


def fit_together(linears: list[nn.Linear]) -> bool:
    """Whether each layer takes what the one before it gives, and has the weights it says."""
    sizes = all(tuple(one.weight.shape) == (one.out_features, one.in_features) for one in linears)
    biases = all(one.bias is None or tuple(one.bias.shape) == (one.out_features,) for one in linears)
    return sizes and biases and all(a.out_features == b.in_features for a, b in pairwise(linears))
