"""Pruned weights held at zero while a module is trained, by ``torch.nn.utils.prune``.

PyTorch's pruning stores a product, weight times mask, as an attribute of the layer, and computes it anew when the layer
is called. That product cannot be copied by ``copy.deepcopy``, and it is out of date wherever a weight is read without
its layer being called: by ``nn.MultiheadAttention``, by ``F.linear(x, self.layer.weight)``, by a recurrent layer's list
of weights. Here the attribute is a property: whoever reads it gets the product of that moment. All else is as PyTorch
does it: ``weight_orig``, ``weight_mask`` and the hook by which ``is_pruned`` and ``remove`` know a pruned layer.
"""

from __future__ import annotations

import copyreg
import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from ticketsearch.arrays import BoolArray

_MADE_OF = "_ticketsearch_made_of"
"""Attribute of a made class: the class it was made of and the names of its held parameters."""
_FLAT = "_flat_weights"
"""The list from which recurrent layers read their weights."""
_CLASSES: dict[tuple[type[nn.Module], frozenset[str]], type[nn.Module]] = {}


class HeldByMask(prune.CustomFromMask):
    """The pruning method of held parameters; there is nothing to compute before a layer is called."""

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        """Do nothing: the property computes."""


def hold(owner: nn.Module, key: str, mask: BoolArray) -> None:
    """Hold a parameter of a module at zero where the mask is False.

    Args:
        owner: the module that has the parameter; its class becomes one made of its class.
        key: the parameter's name in it.
        mask: of the parameter's shape.
    """
    device = getattr(owner, key).device
    HeldByMask.apply(owner, key, torch.from_numpy(mask.copy()).to(device))  # type: ignore[no-untyped-call]
    owner.__dict__.pop(key, None)  # the product of now; it would be in the way of the property
    owner.__dict__.pop(_FLAT, None)
    base, keys = _made_of(type(owner))
    owner.__class__ = _class_of(base, keys | {key})


def _made_of(kind: type[nn.Module]) -> tuple[type[nn.Module], frozenset[str]]:
    found: tuple[type[nn.Module], frozenset[str]] = kind.__dict__.get(_MADE_OF, (kind, frozenset()))
    return found


def _class_of(base: type[nn.Module], keys: frozenset[str]) -> type[nn.Module]:
    """A class like ``base``, by the same name, in which the keys are properties; always the same one."""
    if (base, keys) not in _CLASSES:
        _CLASSES[base, keys] = _make_class(base, keys)
    return _CLASSES[base, keys]


def _make_class(base: type[nn.Module], keys: frozenset[str]) -> type[nn.Module]:
    own: dict[str, Any] = {key: _property_of(key) for key in keys}
    own |= {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    own |= {_MADE_OF: (base, keys), "__reduce_ex__": _reduce}
    if issubclass(base, nn.RNNBase):
        own[_FLAT] = property(_flat_weights, _ignore)
    if (become := getattr(base, "cls_to_become", None)) is not None:  # of lazy modules, once they have run
        own["cls_to_become"] = _class_of(become, keys)
    return types.new_class(base.__name__, (base,), {}, lambda namespace: namespace.update(own))


def _property_of(key: str) -> property:
    def product(self: nn.Module) -> Tensor:
        original: Tensor | None = getattr(self, f"{key}_orig", None)
        if original is None:
            raise AttributeError(key)  # nn.Module then looks among its parameters
        mask: Tensor = getattr(self, f"{key}_mask")
        return mask.to(original.dtype) * original

    return property(product, _ignore, lambda self: _release(self, key))


def _ignore(self: nn.Module, value: Any) -> None:
    """What PyTorch's own pruning hooks set is the product, which is computed anyway."""


def _release(owner: nn.Module, key: str) -> None:
    """Make the parameter an ordinary one again: ``prune.remove`` deletes the attribute, then sets the parameter."""
    base, keys = _made_of(type(owner))
    left = keys - {key}
    owner.__class__ = _class_of(base, left) if left else base
    if not left and isinstance(owner, nn.RNNBase):
        owner._flat_weights = _flat_weights(owner)


def _flat_weights(self: nn.Module) -> list[Any]:
    names: Any = self._flat_weights_names
    return [getattr(self, name, None) for name in names]


def _reduce(self: nn.Module, protocol: Any) -> Any:
    """For copies and pickles, which cannot find a made class by its name."""
    base, keys = _made_of(type(self))
    found: Any = base.__reduce_ex__(self, protocol)
    usual = found[0] is copyreg.__newobj__  # type: ignore[attr-defined]
    return (_blank, (base, keys), *found[2:]) if usual else found


def _blank(base: type[nn.Module], keys: frozenset[str]) -> nn.Module:
    kind = _class_of(base, keys)
    return kind.__new__(kind)
