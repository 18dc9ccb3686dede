"""SGD, Adam and AdamW on parameters of one or several networks, as ``torch.optim`` defines them, updated in place.

A weight whose gradient, state and value are zero stays zero under all of them: SGD adds
``weight_decay * 0 + momentum * 0``, Adam moves by ``0 / (0 + epsilon)``, and AdamW multiplies it. So masking the
gradient is enough.

Not by ``torch.optim`` itself: to make one of its optimisers imports PyTorch's compiler, seconds in each process.
The kernels behind ``fused=True`` are used where they fit: one pass over memory in place of ten. They round the last
few numbers of what they are given otherwise than the rest, so they are given each network apart: what becomes of one
must not depend on how many are beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ticketsearch.recipe import Recipe


class Optimizer(Protocol):
    """Holds state; changes parameters in place."""

    def step(self, parameters: Sequence[Tensor], grads: Sequence[Tensor | None], learning_rate: float) -> None:
        """One update; ``grads`` may be overwritten. A parameter without a gradient stays as it is."""
        ...


def _apart(tensors: Sequence[Tensor], *, stacked: bool) -> list[list[Tensor]]:
    """Of each tensor its networks' parts."""
    return [list(one.unbind(0)) if stacked else [one] for one in tensors]


def _in_one_pass(parameter: Tensor, grad: Tensor) -> bool:
    """Whether PyTorch's fused kernels fit: they go through the memory of both side by side."""
    plain = parameter.is_contiguous() and grad.is_contiguous() and parameter.dtype == grad.dtype == torch.float32
    return plain and parameter.device.type == "cpu"


@dataclass(frozen=True)
class Setting:
    """How one parameter differs from the others.

    Attributes:
        rate: its learning rate, as a multiple of theirs.
        decay: its weight decay.
    """

    rate: float
    decay: float


class SGD:
    """``torch.optim.SGD``: momentum without dampening, Nesterov, coupled weight decay."""

    def __init__(
        self, recipe: Recipe, parameters: Sequence[Tensor], settings: Sequence[Setting], *, stacked: bool
    ) -> None:
        self._recipe, self._settings, self._stacked = recipe, settings, stacked
        self._velocity = [torch.zeros_like(p) for p in parameters] if recipe.momentum else []

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], grads: Sequence[Tensor | None], learning_rate: float) -> None:
        """Implements :meth:`Optimizer.step`."""
        recipe = self._recipe
        for index, (parameter, grad, own) in enumerate(zip(parameters, grads, self._settings, strict=True)):
            if grad is None:
                continue
            if recipe.momentum and _in_one_pass(parameter, grad):
                torch._fused_sgd_(
                    *_apart([parameter, grad, self._velocity[index]], stacked=self._stacked),
                    weight_decay=own.decay,
                    momentum=recipe.momentum,
                    lr=own.rate * learning_rate,
                    dampening=0.0,
                    nesterov=recipe.nesterov,
                    maximize=False,
                    is_first_step=False,
                )
                continue
            if own.decay:
                grad.add_(parameter, alpha=own.decay)
            update = grad
            if recipe.momentum:
                velocity = self._velocity[index].mul_(recipe.momentum).add_(grad)
                update = grad.add_(velocity, alpha=recipe.momentum) if recipe.nesterov else velocity
            parameter.sub_(update, alpha=own.rate * learning_rate)


class Adam:
    """``torch.optim.Adam`` (Kingma & Ba, arXiv:1412.6980) with coupled weight decay, or ``torch.optim.AdamW``."""

    def __init__(
        self, recipe: Recipe, parameters: Sequence[Tensor], settings: Sequence[Setting], *, stacked: bool
    ) -> None:
        self._recipe, self._settings, self._stacked = recipe, settings, stacked
        self._steps = [0] * len(parameters)
        self._mean = [torch.zeros_like(p) for p in parameters]
        self._square = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor], grads: Sequence[Tensor | None], learning_rate: float) -> None:
        """Implements :meth:`Optimizer.step`."""
        beta1, beta2 = self._recipe.betas
        decoupled = self._recipe.optimizer == "adamw"
        for index, (parameter, grad, own) in enumerate(zip(parameters, grads, self._settings, strict=True)):
            if grad is None:
                continue
            decay, rate = own.decay, own.rate * learning_rate
            self._steps[index] += 1
            mean, square = self._mean[index], self._square[index]
            if _in_one_pass(parameter, grad):
                fused = torch._fused_adamw_ if decoupled else torch._fused_adam_
                parts, slopes, means, squares = _apart([parameter, grad, mean, square], stacked=self._stacked)
                fused(
                    parts,
                    slopes,
                    means,
                    squares,
                    [],
                    [torch.tensor(float(self._steps[index]))] * len(means),
                    lr=rate,
                    beta1=beta1,
                    beta2=beta2,
                    weight_decay=decay,
                    eps=self._recipe.epsilon,
                    amsgrad=False,
                    maximize=False,
                )
                continue
            correction1, correction2 = 1 - beta1 ** self._steps[index], 1 - beta2 ** self._steps[index]
            if decay and decoupled:
                parameter.mul_(1 - rate * decay)
            elif decay:
                grad.add_(parameter, alpha=decay)
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            denominator = square.sqrt().div_(correction2**0.5).add_(self._recipe.epsilon)
            parameter.addcdiv_(mean, denominator, value=-rate / correction1)


def make_optimizer(
    recipe: Recipe, parameters: Sequence[Tensor], settings: Sequence[Setting] | None = None, *, stacked: bool = True
) -> Optimizer:
    """The optimiser a recipe names; all parameters as it says, or each by a setting of its own.

    Args:
        recipe: names it.
        parameters: of one network, or of several, which are the first axis of each.
        settings: one for each parameter.
        stacked: whether the first axis is networks.
    """
    settings = settings or [Setting(1.0, recipe.weight_decay)] * len(parameters)
    return (SGD if recipe.optimizer == "sgd" else Adam)(recipe, parameters, settings, stacked=stacked)
