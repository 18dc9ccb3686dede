"""From what is trained to the network's weights, and back from their gradients: by autograd, or in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ticketsearch.arrays import FloatArray
from ticketsearch.engine.gates import GATES, TEMPERATURE, WEIGHTS, Chosen, Concrete, Drawn, Gated, Soft, keys
from ticketsearch.engine.relaxation import Relaxation, Trainable


class Map(Protocol):
    """State of what is trained; used step by step, weights first, then penalty, then gradients."""

    values: dict[str, Tensor]
    """What is trained, ``(D,)`` each, by name; updated in place by whoever has the gradients."""

    def weights(self, step: int) -> Tensor:
        """Weights ``(D,)`` of a step, to be differentiated by."""
        ...

    def weights_to_look_at(self, step: int) -> Tensor:
        """Weights ``(D,)``; what is drawn for them changes nothing of what is drawn later."""
        ...

    def penalty(self, step: int) -> float:
        """The penalty's value; zero if there is none."""
        ...

    def gradients(self, loss: Tensor, rest: Sequence[Tensor]) -> list[Tensor | None]:
        """Of the loss and the penalty by all values and by ``rest``, to be written to; ``None`` = none."""
        ...


def map_of(relaxation: Relaxation, device: torch.device, generator: torch.Generator) -> Map:
    """The fastest there is: on a CPU, gates in one pass; else as PyTorch records it."""
    if relaxation.gated is not None and device.type == "cpu":
        return InOnePass(relaxation, relaxation.gated, generator)
    return Recorded(relaxation, device, generator)


class Balance:
    """What a penalty is multiplied by: a running mean of how much steeper the loss is.

    Args:
        newest: how much the newest counts; ``None`` = the penalty is added as it is.
    """

    def __init__(self, newest: float | None) -> None:
        self.newest, self._mean = newest, 0.0

    def factor(self, penalty: float, of_loss: Sequence[Tensor | None], of_penalty: Sequence[Tensor | None]) -> float:
        """Of this step, from the gradients of both by what is trained."""
        if self.newest is None:
            return 1.0
        ratio = 0.0
        if penalty >= 0 and (norm := _norm(of_penalty)):
            ratio = _norm(of_loss) / norm
        self._mean = (1 - self.newest) * self._mean + self.newest * ratio
        return self._mean


class Recorded:
    """By PyTorch's autograd: whatever the relaxation does, wherever.

    Args:
        relaxation: what is trained, and how the weights follow.
        device: where to.
        generator: of all randomness.
    """

    def __init__(self, relaxation: Relaxation, device: torch.device, generator: torch.Generator) -> None:
        self.values = {
            name: _tensor(trainable).to(device).requires_grad_() for name, trainable in relaxation.trainables.items()
        }
        self._relaxation, self._generator = relaxation, generator
        self._balance = Balance(relaxation.balance)
        self._penalty: Tensor | None = None

    def weights(self, step: int) -> Tensor:
        """Implements :meth:`Map.weights`; so do the others."""
        return self._relaxation.weights(self.values, step, self._generator)

    def weights_to_look_at(self, step: int) -> Tensor:
        """By the state that the generator is in, and is put back to."""
        drawn = self._generator.get_state()
        with torch.no_grad():
            weights = self.weights(step)
        self._generator.set_state(drawn)
        return weights

    def penalty(self, step: int) -> float:
        """Recorded as well."""
        penalty = self._relaxation.penalty
        self._penalty = None if penalty is None else penalty(self.values, step)
        return 0.0 if self._penalty is None else float(self._penalty.detach())

    def gradients(self, loss: Tensor, rest: Sequence[Tensor]) -> list[Tensor | None]:
        """Of the sum, or of each, if one is to be weighed by the other."""
        penalty, trained = self._penalty, [*self.values.values(), *rest]
        if penalty is None or self._balance.newest is None:
            return _gradients(loss if penalty is None else loss + penalty, trained)
        of_loss, of_penalty = _gradients(loss, trained, keep=True), _gradients(penalty, trained)
        n = len(self.values)
        factor = self._balance.factor(float(penalty.detach()), of_loss[:n], of_penalty[:n])
        return [_sum(*pair, factor) for pair in zip(of_loss, of_penalty, strict=True)]


class InOnePass:
    """Gates by compiled loops: weights, gates and slopes in one pass, gradients in another; on a CPU.

    Args:
        relaxation: what is trained.
        gated: the same in numbers.
        generator: of all randomness.
    """

    def __init__(self, relaxation: Relaxation, gated: Gated, generator: torch.Generator) -> None:
        self.values = {name: _tensor(trainable) for name, trainable in relaxation.trainables.items()}
        self._arrays = {name: value.numpy() for name, value in self.values.items()}
        self._gated, self._form, self._pull, self._generator = gated, gated.form, gated.pull, generator
        self._base = self._arrays[WEIGHTS] if gated.base is None else gated.base
        self._balance = Balance(relaxation.balance)
        size = self._base.size
        self._weights = torch.empty(size).requires_grad_()
        self._vector: FloatArray = self._weights.detach().numpy()
        self._gates, self._slopes, self._pulls = (np.zeros(size, np.float32) for _ in range(3))
        self._by_gates = torch.empty(size)
        whole = [slice(0, size)]
        self._shared = relaxation.balance is None and _pulls_what_is_open(gated, size)
        self._parts = [span for span, _ in gated.pull.groups] if gated.pull is not None and self._shared else whole
        self._open_of_parts = [0.0] * len(self._parts)
        self._penalty, self._factors = 0.0, [0.0]

    def weights(self, step: int) -> Tensor:
        """The same tensor each time, with new values."""
        self._open(step)
        return self._weights

    def weights_to_look_at(self, step: int) -> Tensor:
        """By the state that the generator is in, and is put back to."""
        drawn = self._generator.get_state()
        self._open(step)
        self._generator.set_state(drawn)
        return self._weights

    def _open(self, step: int) -> None:
        """Weights, gates and slopes; and how much of each part is open, if the pull is on that."""
        from ticketsearch.engine.dense import gate_kernels as kernels

        form, scores, base = self._form, self._arrays[GATES], self._base
        into, f32 = (self._vector, self._gates, self._slopes), np.float32
        match form:
            case Chosen():
                chosen, slopes = form.choose(self._arrays, step)
                self._vector.fill(0)
                np.copyto(self._vector, base, where=chosen)
                self._slopes = slopes
                if WEIGHTS in self.values:
                    np.copyto(self._gates, chosen)
            case Concrete():
                if step < form.noisy_until:
                    drawn = (np.uint32(key).astype(np.int32) for key in keys(self._generator))
                    kernels.concrete(scores, base, *drawn, f32(1), f32(form.low), f32(form.high), *into)
                else:
                    kernels.soft(scores, base, f32(1 / TEMPERATURE), f32(form.low), f32(form.high), *into)
                    kernels.cut(base, *into)
            case Soft():
                shape = f32(form.steepness(step)), f32(form.low), f32(form.high)
                for part, span in enumerate(self._parts):
                    own = (one[span] for one in into)
                    self._open_of_parts[part] = kernels.soft(scores[span], base[span], *shape, *own)
            case Drawn():
                first, second = (np.uint32(key).astype(np.int32) for key in keys(self._generator))
                steepness = f32(form.steepness(step))
                for part, span in enumerate(self._parts):
                    own = (one[span] for one in into)
                    self._open_of_parts[part] = kernels.drawn(
                        span.indices(base.size)[0], scores[span], base[span], first, second, steepness, *own
                    )
                for span in form.rescaled:
                    factor = f32(self._gates[span].size / max(1, int(np.count_nonzero(self._gates[span]))))
                    for array in into:
                        array[span] *= factor

    def penalty(self, step: int) -> float:
        """Its slopes are kept for the gradients, where they are not the gates'."""
        from ticketsearch.engine.dense import gate_kernels as kernels

        if (pull := self._pull) is None:
            return 0.0
        steepness, shift = np.float32(self._gated.steepness(step)), np.float32(pull.shift)
        total, self._factors, share = 0.0, [], pull.strength / len(pull.groups)
        for part, (span, density) in enumerate(pull.groups):
            scores = self._arrays[GATES][span]
            if self._shared:
                open_ = self._open_of_parts[part]
            else:
                open_ = kernels.expected(scores, steepness, shift, self._pulls[span])
            excess = float(open_) / scores.size / density - 1
            pays = pull.both_ways or not excess < 0  # what is no number pays as well: so it is seen
            total += share * excess if pays else 0.0
            self._factors.append(share / (density * scores.size) if pays else 0.0)
        self._penalty = total
        return total

    def gradients(self, loss: Tensor, rest: Sequence[Tensor]) -> list[Tensor | None]:
        """The weights' by autograd, or by whoever stands in for it; from there by the chain rule."""
        from ticketsearch.engine.dense import gate_kernels as kernels

        by_weights, *others = _gradients(loss, [self._weights, *rest])
        assert by_weights is not None  # each weight is a product
        array, out, f32 = by_weights.numpy(), self._by_gates.numpy(), np.float32
        form = self._form
        height = form.high - form.low if isinstance(form, Soft) else 1.0
        constants = [factor / height for factor in self._factors] if self._shared else [0.0] * len(self._parts)
        for span, constant in zip(self._parts, constants, strict=True):
            kernels.through(array[span], self._base[span], self._slopes[span], f32(constant), out[span])
        grads = {GATES: self._by_gates}
        if WEIGHTS in self.values:
            array *= self._gates
            grads[WEIGHTS] = by_weights
        if self._pull is not None and not self._shared:
            for (span, _), factor in zip(self._pull.groups, self._factors, strict=True):
                self._pulls[span] *= f32(factor)
            pulls = torch.from_numpy(self._pulls)
            self._by_gates.add_(pulls, alpha=self._balance.factor(self._penalty, list(grads.values()), [pulls]))
        return [*(grads.get(name) for name in self.values), *others]


def _pulls_what_is_open(gated: Gated, size: int) -> bool:
    """Whether the pull is on the sigmoids that make the gates, in parts that are all of them."""
    form, pull = gated.form, gated.pull
    if pull is None or pull.shift or not isinstance(form, Soft | Drawn) or (isinstance(form, Drawn) and form.rescaled):
        return False
    ends = [0, *(span.indices(size)[1] for span, _ in pull.groups)]
    return [span.indices(size)[0] for span, _ in pull.groups] == ends[:-1] and ends[-1] == size


def _tensor(trainable: Trainable) -> Tensor:
    return torch.from_numpy(np.array(trainable.start, dtype=np.float32))


def _gradients(value: Tensor, by: Sequence[Tensor], *, keep: bool = False) -> list[Tensor | None]:
    grads = torch.autograd.grad(value, by, retain_graph=keep, allow_unused=True)
    return [None if grad is None else grad.contiguous() for grad in grads]  # to be written to


def _norm(grads: Sequence[Tensor | None]) -> float:
    return math.sqrt(sum(float(grad.square().sum()) for grad in grads if grad is not None))


def _sum(one: Tensor | None, other: Tensor | None, factor: float) -> Tensor | None:
    """``one + factor * other``, ``None`` standing for nothing."""
    if other is None:
        return one
    return other * factor if one is None else torch.add(one, other, alpha=factor)
