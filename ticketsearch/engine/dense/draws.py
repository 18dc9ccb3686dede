"""What is drawn while a network trains: augmentation, dropout. A pure function of the step and its examples.

The batch itself comes from the run's seed, so the stream named after a step and its examples is the run's own: the same
for every mask that sees this batch, on any thread, worker or device of one kind, and another one in another run.
PyTorch's own random functions take their numbers from one global generator, which threads would share; here they are
intercepted, call by call, and given the stream's generator instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.overrides import TorchFunctionMode

from ticketsearch.arrays import IntArray
from ticketsearch.digests import digest_of_bytes
from ticketsearch.seeds import derive, fenced_globals, stream, torch_stream
from ticketsearch.tasks import Task

_SPATIAL = {F.dropout: None, F.dropout1d: 1, F.dropout2d: 2, F.dropout3d: 3}
"""Dropout, and how many axes share one draw: none, or those behind the channels."""
_WITH_GENERATOR = (
    torch.rand,
    torch.randn,
    torch.randint,
    torch.randperm,
    torch.normal,
    torch.bernoulli,
    torch.multinomial,
    Tensor.bernoulli,
    Tensor.bernoulli_,
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.random_,
    Tensor.multinomial,
    Tensor.exponential_,
)
"""Random functions that take a generator."""


class Draws(TorchFunctionMode):
    """While entered, random functions called by this thread draw from one generator.

    Args:
        generator: of the device the network is on.

    Attributes:
        count: calls that drew.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator
        self.count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by PyTorch in place of each of its functions."""
        kwargs = dict(kwargs or {})
        if func in _SPATIAL:
            return self._dropout(_SPATIAL[func], *args, **kwargs)
        if func in _WITH_GENERATOR and kwargs.get("generator") is None:
            self.count += 1
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)

    def _dropout(
        self,
        axes: int | None,
        input: Tensor,  # noqa: A002 - PyTorch's own name, by which it may be called
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        """``torch.nn.functional.dropout`` and its kin: zeros with probability p, the rest times 1 / (1 - p)."""
        if not training or p == 0:
            return input
        self.count += 1
        shape = input.shape if axes is None else (*input.shape[: input.ndim - axes], *[1] * axes)
        kept = torch.rand(shape, generator=self._generator, device=input.device, dtype=input.dtype) >= p
        noise = kept.to(input.dtype) / (1 - p) if p < 1 else kept.to(input.dtype)
        return input.mul_(noise) if inplace else input * noise


def draws_at(step: int, examples: IntArray, device: torch.device) -> Draws:
    """The draws of one training step of one network.

    Args:
        step: of the recipe.
        examples: the indices of its batch, ``(B,)``.
        device: where the network is.
    """
    return Draws(torch_stream(derive(step, "draws", _name(examples)) % 2**63, device))


Drawing = Literal["", "streams", "globals"]
"""What a network draws from while it trains: nothing; PyTorch functions that take a generator; global generators."""
_GLOBALS = threading.Lock()
"""Global generators belong to one thread at a time."""


@contextmanager
def drawing(kind: Drawing, step: int, examples: IntArray, device: torch.device) -> Iterator[None]:
    """Around the forward pass of a training step: whatever the network draws is this step's and this batch's.

    Dropout inside attention or a recurrent layer, NumPy and Python draw from global generators. Those start from the
    step's own seed, for one thread at a time, and are left as they were found.
    """
    if not kind:
        yield
        return
    with ExitStack() as stack:
        if kind == "globals":
            stack.enter_context(_GLOBALS)
            stack.enter_context(fenced_globals(derive(step, "draws", _name(examples)) % 2**63))
        stack.enter_context(draws_at(step, examples, device))
        yield


def augmented(task: Task, inputs: Tensor, step: int, examples: IntArray) -> Tensor:
    """A batch ``(B, ...)``, or one for each network ``(P, B, ...)``, as a training step sees it.

    Args:
        task: augments, or not.
        inputs: as they are in the training split.
        step: of the recipe.
        examples: their indices, ``(B,)`` or ``(P, B)``.
    """
    if task.augment is None:
        return inputs
    if examples.ndim == 2:
        return torch.stack([augmented(task, own, step, row) for own, row in zip(inputs, examples, strict=True)])
    return task.augment(inputs, stream(step, "augment", _name(examples)))


def _name(examples: IntArray) -> str:
    return digest_of_bytes(np.ascontiguousarray(examples, dtype=np.int64).tobytes(), 16)
