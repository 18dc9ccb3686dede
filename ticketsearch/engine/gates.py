"""Gates: one number s for each weight, and how much of the weight it lets through, ``weights = base * g(s)``.

What most relaxations are. Written as numbers, not as code, so that an engine can compute gates and their derivatives
in one pass over memory; the formulas here, over PyTorch, say what that has to give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ticketsearch.arrays import BoolArray, FloatArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GATES, WEIGHTS = "gates", "weights"
"""Names of what is trained."""
TEMPERATURE = 2 / 3
"""Of concrete gates: what Maddison et al. (arXiv:1611.00712) recommend, and all methods here use."""
Tensors: TypeAlias = "Mapping[str, Tensor]"
Schedule: TypeAlias = Callable[[int], float]
"""From the step to a number."""
Choice: TypeAlias = "Callable[[Mapping[str, FloatArray], int], tuple[BoolArray, FloatArray]]"
"""From what is trained, by name, and the step to the gates that are open and the slopes of all, ``(D,)`` each."""


def constant(_step: int) -> float:
    """A steepness of one."""
    return 1.0


def keys(generator: torch.Generator) -> tuple[int, int]:
    """Two draws of 32 bits, which stand for a sequence of uniform numbers."""
    import torch

    first, second = torch.randint(2**32, (2,), generator=generator, device=generator.device).tolist()
    return int(first), int(second)


def uniform(of: tuple[int, int], size: int, device: torch.device) -> Tensor:
    """The first numbers in (0, 1), ``(size,)``, of the sequence that two keys stand for.

    Number k is a hash of ``0x9E3779B9 * k + key`` and the other key, its upper 23 bits and a half; so each can be
    computed where it is needed, and is the same on every device.
    """
    import torch

    low = 0xFFFFFFFF
    bits = (torch.arange(size, device=device) * 0x9E3779B9 + of[0]) & low
    for before in (0, of[1]):
        bits = bits ^ before
        for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
            bits = ((bits ^ (bits >> shift)) * factor) & low
        bits = bits ^ (bits >> 15)
    return ((bits >> 9).float() + 0.5) * 2.0**-23


@dataclass(frozen=True, eq=False)
class Soft:
    """``g = low + (high - low) * sigmoid(steepness * s)``.

    Attributes:
        steepness: by the step.
        low: where g ends as s falls.
        high: where g ends as s rises.
    """

    steepness: Schedule = constant
    low: float = 0.0
    high: float = 1.0

    def open(self, trained: Tensors, step: int, _generator: torch.Generator) -> Tensor:
        """Gates ``(D,)``, differentiable."""
        import torch

        return self.low + (self.high - self.low) * torch.sigmoid(self.steepness(step) * trained[GATES])


@dataclass(frozen=True, eq=False)
class Concrete:
    """``g = low + (high - low) * sigmoid((s + logit(u)) / temperature)``, cut to [0, 1]; u is uniform.

    The binary concrete distribution, stretched.

    Attributes:
        low: where g ends as s falls, before it is cut.
        high: where g ends as s rises.
        noisy_until: steps with noise; from then on it is zero.
    """

    low: float = 0.0
    high: float = 1.0
    noisy_until: int = 2**62

    def open(self, trained: Tensors, step: int, generator: torch.Generator) -> Tensor:
        """Gates ``(D,)``, differentiable."""
        import torch

        inner = trained[GATES]
        if step < self.noisy_until:
            inner = inner + uniform(keys(generator), inner.numel(), inner.device).logit()
        return (self.low + (self.high - self.low) * torch.sigmoid(inner / TEMPERATURE)).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Drawn:
    """g is 1 with the probability ``sigmoid(steepness * s)``, else 0; its derivative is the probability's.

    Attributes:
        steepness: by the step.
        rescaled: spans of layers whose gates are multiplied by their number over that of the open ones; none = none.
    """

    steepness: Schedule = constant
    rescaled: tuple[slice, ...] = ()

    def open(self, trained: Tensors, step: int, generator: torch.Generator) -> Tensor:
        """Gates ``(D,)``, differentiable."""
        import torch

        probability = torch.sigmoid(self.steepness(step) * trained[GATES])
        with torch.no_grad():
            kept = (uniform(keys(generator), probability.numel(), probability.device) < probability).float()
            factor = torch.ones_like(kept)
            for span in self.rescaled:
                factor[span] = kept[span].numel() / kept[span].sum().clamp(min=1)
        return factor * (kept + probability - probability.detach())


@dataclass(frozen=True, eq=False)
class Chosen:
    """g is 1 where it is chosen, else 0; its derivative is what is said: gradients go straight through.

    Attributes:
        choose: who is chosen; may change what is trained, in place.
    """

    choose: Choice

    def open(self, trained: Tensors, step: int, _generator: torch.Generator) -> Tensor:
        """Gates ``(D,)``, differentiable."""
        import torch

        scores = trained[GATES]
        arrays = {name: value.detach().cpu().numpy() for name, value in trained.items()}
        chosen, slopes = (torch.from_numpy(one).to(scores.device) for one in self.choose(arrays, step))
        with torch.no_grad():
            for name, value in trained.items():
                value.copy_(torch.from_numpy(arrays[name]))
        return chosen + slopes * (scores - scores.detach())


Form: TypeAlias = Soft | Concrete | Drawn | Chosen


@dataclass(frozen=True, eq=False)
class Pull:
    """A penalty on the density that is expected of gates: the mean of ``sigmoid(steepness * s + shift)``.

    It is the mean over groups of ``strength * (expected / density - 1)``. Published relaxations end at whatever
    sparsity a coefficient leads to; this takes the density itself.

    Attributes:
        groups: spans of weights, and the density asked for in each.
        strength: of the pull.
        shift: added to what the sigmoid is of.
        both_ways: whether a density below the one asked for pays; else there it is zero.
    """

    groups: tuple[tuple[slice, float], ...]
    strength: float = 1.0
    shift: float = 0.0
    both_ways: bool = False

    def penalty(self, scores: Tensor, steepness: float) -> Tensor:
        """The penalty by scores ``(D,)``, differentiable."""
        import torch

        open_ = torch.sigmoid(steepness * scores + self.shift)
        excess = torch.stack([open_[span].mean() / density - 1 for span, density in self.groups])
        return self.strength * (excess if self.both_ways else excess.clamp(min=0)).mean()


@dataclass(frozen=True, eq=False)
class Gated:
    """Weights behind gates.

    Attributes:
        form: what a gate does.
        base: weights that are not trained, ``(D,)``; ``None`` = they are, under the name ``weights``.
        pull: on the density; ``None`` = none.
    """

    form: Form
    base: FloatArray | None = None
    pull: Pull | None = None

    def weights(self, trained: Tensors, step: int, generator: torch.Generator) -> Tensor:
        """Weights ``(D,)``, differentiable."""
        import torch

        gates = self.form.open(trained, step, generator)
        base = trained[WEIGHTS] if self.base is None else torch.from_numpy(self.base).to(gates.device)
        return base * gates

    def penalty(self, trained: Tensors, step: int) -> Tensor:
        """The pull, differentiable."""
        assert self.pull is not None
        return self.pull.penalty(trained[GATES], self.steepness(step))

    @property
    def steepness(self) -> Schedule:
        """Of the gates that have one; of the others it is one."""
        return self.form.steepness if isinstance(self.form, Soft | Drawn) else constant
