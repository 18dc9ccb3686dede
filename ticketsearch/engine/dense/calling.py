"""Calling a module with other parameters and buffers than its own.

As ``torch.func.functional_call`` does, which unties weights of a layer that is used twice, and drops a buffer that the
module assigns anew in its forward pass. Here every place of a tensor is found once, and what is assigned is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Place = tuple[dict[str, Any], str]
"""A module's dictionary of parameters or buffers, and the name in it."""


class Caller:
    """A module that computes with what it is given; not to be called by two threads at a time.

    Args:
        module: whose own parameters are untouched.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        own = {id(tensor): name for name, tensor in [*module.named_parameters(), *module.named_buffers()]}
        self._places: dict[str, list[Place]] = defaultdict(list)
        for one in module.modules():
            for tensors in (one._parameters, one._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        self._places[own[id(tensor)]].append((tensors, name))
        self._recurrent = [one for one in module.modules() if isinstance(one, nn.RNNBase)]

    def __call__(self, state: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """The module's output.

        Args:
            state: parameters and buffers by the names of ``named_parameters`` and ``named_buffers``; what is not in it
                is the module's own. Buffers in it change as the module changes its own.
            inputs: a batch.
        """
        before = [(place, place[0][place[1]]) for name in state for place in self._places[name]]
        try:
            for name, tensor in state.items():
                for tensors, key in self._places[name]:
                    tensors[key] = tensor
            self._flatten()
            output: Tensor = self.module(inputs)
            self._keep_assigned(state)
            return output
        finally:
            for (tensors, key), tensor in before:
                tensors[key] = tensor
            self._flatten()

    def _flatten(self) -> None:
        """Recurrent layers keep a list of their weights."""
        for one in self._recurrent:
            one._flat_weights = [getattr(one, name, None) for name in one._flat_weights_names]

    def _keep_assigned(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in state.items():
            for tensors, key in self._places[name]:
                assigned = tensors[key]
                if assigned is not tensor:
                    with torch.no_grad():
                        tensor.copy_(assigned)
