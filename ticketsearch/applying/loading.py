"""Values put into a module of the same network: every tensor has its place on both sides, or the module is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ticketsearch.applying.holding import hold
from ticketsearch.applying.names import aliases, unwrapped
from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import InvalidValue

_LISTED = 5
"""Names of tensors that an error lists."""


def apply_masks(module: nn.Module, masks: Mapping[str, BoolArray], state: Mapping[str, FloatArray]) -> nn.Module:
    """Load tensors into a module and hold at zero what masks prune; see :meth:`ticketsearch.SavedTicket.apply`.

    Args:
        module: changed in place.
        masks: parameter name -> boolean array of its shape, True = kept.
        state: name -> array, as of :func:`load_state`.
    """
    network = unwrapped(module)
    for name in masks:
        owner = _owner(network, name)
        if isinstance(owner, torch.jit.ScriptModule):
            raise InvalidValue(f"{name!r} is in a scripted module, which cannot be pruned; apply the ticket before")
    load_state(network, state)
    for name, mask in masks.items():
        _hold_everywhere(network, name, mask)
    return module


def load_state(module: nn.Module, state: Mapping[str, FloatArray]) -> None:
    """Load a ticket's tensors into a network, which is changed in place, or left alone if it is refused.

    Args:
        module: the network, unwrapped, of any dtype and device.
        state: name -> array, for all parameters and for what buffers there are; a tensor of several names has one.

    Raises:
        InvalidValue: a tensor of either side is missing on the other, or has another shape.
    """
    groups = aliases(module)
    tensors: dict[str, Tensor] = {**dict(module.named_buffers(remove_duplicate=False))}
    tensors |= {name: parameter for parameter, names in groups for name in names}
    _check_present(state, tensors)
    _check_parameters(state, groups)
    for name, array in state.items():
        if not is_lazy(tensors[name]) and tuple(tensors[name].shape) != array.shape:
            raise InvalidValue(
                f"the ticket's {name!r} has shape {array.shape}, the module has {tuple(tensors[name].shape)}; "
                "build the network as the run's task does"
            )
    named = {name: names for _, names in groups for name in names}
    own = module.state_dict()
    for name, array in state.items():
        for alias in named.get(name, [name]):
            if alias in own:
                own[alias] = torch.from_numpy(np.array(array))
    try:
        module.load_state_dict(own)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InvalidValue(f"the module refuses its state: {str(error).strip().splitlines()[0]}") from error
    with torch.no_grad():
        for name in state.keys() - own.keys():  # buffers that are in no state dict
            tensors[name].copy_(torch.from_numpy(np.array(state[name])))


def _check_present(state: Mapping[str, FloatArray], tensors: Mapping[str, Tensor]) -> None:
    missing = [name for name in state if name not in tensors]
    pruned = [name for name in missing if f"{name}_orig" in tensors]
    if pruned:
        raise InvalidValue(f"the module's {_listed(pruned)} is pruned already; torch.nn.utils.prune.remove undoes that")
    if missing:
        raise InvalidValue(
            f"the module has nothing by the name of {_listed(missing)}, which the ticket has; "
            "build the network as the run's task does"
        )


def _check_parameters(state: Mapping[str, FloatArray], groups: Iterable[tuple[Tensor, list[str]]]) -> None:
    extra = []
    for _, names in groups:
        given = [name for name in names if name in state]
        if not given:
            extra.append(names[0])
        elif len(given) > 1:
            raise InvalidValue(
                f"the ticket's {_listed(given)} are one tensor in the module; build the network without sharing it"
            )
    if extra:
        raise InvalidValue(
            f"the ticket has nothing for the module's {_listed(extra)}; build the network as the run's task does, "
            "or apply the ticket to the part that is its network"
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_LISTED]))
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def _hold_everywhere(network: nn.Module, name: str, mask: BoolArray) -> None:
    """Hold a parameter at each of its names: one free copy, and the weights regrow."""
    [names] = [names for _, names in aliases(network) if name in names]
    held: set[tuple[int, str]] = set()
    for alias in names:
        owner, key = network.get_submodule(alias.rpartition(".")[0]), alias.rpartition(".")[2]
        if (id(owner), key) not in held:  # a module may be registered twice
            held.add((id(owner), key))
            hold(owner, key, mask)


def _owner(network: nn.Module, name: str) -> nn.Module | None:
    """The module that has a parameter, ``None`` if there is none of that name."""
    try:
        return network.get_submodule(name.rpartition(".")[0])
    except AttributeError:
        return None
