"""The tensors of a module under all of their names.

One tensor can have several names: two layers share a weight, or a module is registered twice. Names are those of the
network itself; what PyTorch wraps around a network adds none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside ``DataParallel``, ``DistributedDataParallel`` or ``torch.compile``; any other module as is."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def aliases(module: nn.Module) -> list[tuple[Tensor, list[str]]]:
    """Each parameter of a module once, in order, with all of its names."""
    found: dict[int, tuple[Tensor, list[str]]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), (parameter, []))[1].append(name)
    return list(found.values())


def state_like(module: nn.Module, state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """A state dict with the version numbers that a module's own state dict carries.

    ``load_state_dict`` hands these numbers (``_metadata``) to the module's layers, some of which demand them.
    """
    result = OrderedDict(state)
    result._metadata = getattr(module.state_dict(), "_metadata", {})  # type: ignore[attr-defined]
    return result
