"""How often each weight is used for one example: what FLOPs are counted by.

One forward pass of an example is watched, operation by operation, so that it does not matter who calls a product:
a layer, ``F.linear`` with the layer's weight, or attention with a part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def uses_of(network: nn.Module, example: Tensor, parameters: Mapping[str, Tensor]) -> tuple[dict[str, int], Tensor]:
    """Uses of each weight per example, and the network's output.

    A linear layer uses its weights once for each vector, a convolution once for each pixel of its output, a recurrent
    layer once for each step. A weight that no product shows counts as used once.

    Args:
        network: is run once, as it is.
        example: one input with its batch dimension, ``(1, ...)``.
        parameters: the weights asked about.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    steps: Counter[str] = Counter()

    def count_steps(module: nn.Module, inputs: tuple[Any, ...], _output: object) -> None:
        data = inputs[0].data if isinstance(inputs[0], nn.utils.rnn.PackedSequence) else inputs[0]
        for parameter in module._parameters.values():
            if id(parameter) in names:
                steps[names[id(parameter)]] += data.numel() // data.shape[-1]

    hooks = [one.register_forward_hook(count_steps) for one in network.modules() if isinstance(one, nn.RNNBase)]
    watch = _Products(parameters)
    try:
        with torch.enable_grad(), watch:
            output = network(example)
    finally:
        for hook in hooks:
            hook.remove()
    uses = {name: round(watch.products[name] / parameters[name].numel()) for name in watch.products}
    return {name: max(1, steps[name] or uses.get(name, 1)) for name in parameters}, output


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call] # PyTorch's own __init_subclass__
    """Counts the multiplications in which each parameter takes part; views of it are known by their memory."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = {one.untyped_storage().data_ptr(): name for name, one in parameters.items() if one.numel()}
        self.products: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Do not import ``torch._dynamo`` to be left out of what it compiles: that takes as long as PyTorch itself."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by PyTorch in place of each operation."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        flops: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if flops is not None:
            memory = {one.untyped_storage().data_ptr() for one in args if isinstance(one, Tensor)}
            for name in {self._names[place] for place in memory if place in self._names}:
                self.products[name] += flops(*args, **kwargs, out_val=output) // 2
        return output
