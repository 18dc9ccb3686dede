"""How a network is trained: optimiser, learning-rate schedule, batch size, number of steps.

The definitions are PyTorch's (``torch.optim.SGD``, ``Adam`` and ``AdamW``), so that every engine can be checked against
``torch.optim``. A schedule is a pure function of the step.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias, get_args

from ticketsearch.errors import InvalidValue

LARGEST_RATE = 1e30
"""A learning rate beyond it is soon no float32."""
OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw"]
ScheduleName: TypeAlias = Literal["constant", "cosine", "linear", "step", "late-step"]
LATE = 0.88


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule, batch and steps.

    Attributes:
        steps: optimiser steps of a full training.
        batch_size: examples per step.
        learning_rate: peak learning rate, at most :data:`LARGEST_RATE`.
        optimizer: ``"sgd"``, ``"adam"``, or ``"adamw"``, which is Adam with weight decay apart from the gradient
            (Loshchilov & Hutter, arXiv:1711.05101).
        momentum: of SGD.
        nesterov: Nesterov's momentum, of SGD.
        weight_decay: L2 coefficient, added to the gradient; of AdamW, the share of each weight that a step takes away,
            times the learning rate.
        betas: of Adam and AdamW.
        epsilon: of Adam and AdamW.
        schedule: ``"constant"``, ``"cosine"`` (to zero at the last step), ``"linear"`` (to zero), ``"step"`` (times
            0.1 at 1/2 and at 3/4 of the steps) or ``"late-step"`` (times 0.1 at 88 % of them).
        warmup_steps: linear rise from zero at the beginning.
        l1: coefficient of the sum of absolute prunable weights, added to the loss.
        hoyer: coefficient of DeepHoyer's ``(sum |w|)^2 / sum w^2`` of each layer (Yang, Wen & Li, arXiv:1908.09979,
            eq. 3), added to the loss. Neither acts on biases, nor on pruned weights.
        scale_l1: coefficient of the sum of absolute scales of batch normalisations, added to the loss (Liu et al.,
            arXiv:1708.06519, eq. 1).
        precision: bits that weights and activations of linear and convolution layers are rounded to in training passes,
            simulated, gradients passing straight through; ``None`` = float32.
    """

    steps: int
    batch_size: int
    learning_rate: float
    optimizer: OptimizerName = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    schedule: ScheduleName = "constant"
    warmup_steps: int = 0
    l1: float = 0.0
    hoyer: float = 0.0
    scale_l1: float = 0.0
    precision: int | None = None

    def __post_init__(self) -> None:
        checks = {
            "steps": _is_whole(self.steps) and 0 <= self.steps <= 1e12,
            "batch_size": _is_whole(self.batch_size) and self.batch_size >= 1,
            "learning_rate": 0 < self.learning_rate <= LARGEST_RATE,
            "optimizer": self.optimizer in ("sgd", "adam", "adamw"),
            "momentum": 0 <= self.momentum < 1,
            "nesterov": not self.nesterov or self.momentum > 0,
            "weight_decay": math.isfinite(self.weight_decay) and self.weight_decay >= 0,
            "betas": len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "epsilon": math.isfinite(self.epsilon) and self.epsilon > 0,
            "schedule": self.schedule in get_args(ScheduleName),
            "warmup_steps": _is_whole(self.warmup_steps) and self.warmup_steps >= 0,
            "l1": math.isfinite(self.l1) and self.l1 >= 0,
            "hoyer": math.isfinite(self.hoyer) and self.hoyer >= 0,
            "scale_l1": math.isfinite(self.scale_l1) and self.scale_l1 >= 0,
            "precision": self.precision is None or 2 <= self.precision <= 16,
        }
        for name, good in checks.items():
            if not good:
                raise InvalidValue(f"recipe: {name} = {getattr(self, name)!r} is out of range")

    @property
    def sparsifies(self) -> bool:
        """Whether the loss has a term that favours sparse weights."""
        return self.l1 > 0 or self.hoyer > 0

    @property
    def identity(self) -> list[tuple[str, object]]:
        """Fields and values, sorted; what came later is left out where it says nothing."""
        unsaid = {"scale_l1": 0.0, "precision": None}
        return [(name, value) for name, value in sorted(asdict(self).items()) if (name, value) not in unsaid.items()]

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of the step that follows ``step`` finished ones."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        done = step / self.steps if self.steps else 0.0
        factor = {
            "constant": 1.0,
            "cosine": 0.5 * (1 + math.cos(math.pi * done)),
            "linear": 1 - done,
            "late-step": 0.1 if done >= LATE else 1.0,
            "step": 0.1 ** ((done >= 0.5) + (done >= 0.75)),
        }[self.schedule]
        return self.learning_rate * warm * factor

    def lasting(self, steps: int) -> Recipe:
        """The same recipe over another number of steps: the whole schedule, warm-up included, is squeezed into them."""
        warmup = round(self.warmup_steps * steps / self.steps) if self.steps else 0
        return replace(self, steps=steps, warmup_steps=warmup)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
