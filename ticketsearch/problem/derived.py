"""Verbs that look at a network at one point: derivatives of its loss, and what else predictors ask for."""

from __future__ import annotations

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.engine import Kept
from ticketsearch.errors import StrategyError
from ticketsearch.masks.ticket import Weights
from ticketsearch.problem.drawing import one_of_each_in_turn
from ticketsearch.problem.known import KnownProblem
from ticketsearch.problem.session import Session
from ticketsearch.problem.trainer import Asked, Trainer


class DerivedProblem(KnownProblem):
    """The part of a :class:`ticketsearch.MaskProblem` that trains nothing."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._trainer = Trainer(session)

    def gradients(
        self,
        mask: BoolArray | None,
        examples: int,
        *,
        start: Weights | None = None,
        balanced: bool = False,
        common: bool = False,
    ) -> FloatArray:
        """Loss gradient ``(D,)`` with respect to every prunable weight, pruned ones included.

        Args:
            mask: ``(size,)``, where the weights are zero; ``None`` = nowhere.
            examples: how many training examples, drawn without replacement; each call draws its own.
            start: the weights; default the initial ones.
            balanced: as many of each class, as far as their number and the training split allow.
            common: the same examples in every such call, so that masks are compared on them.
        """
        count = self._examples(examples)

        def compute(weights: Weights, rng: np.random.Generator) -> FloatArray:
            return self._session.engine.gradients(weights, self._drawn(count, balanced, rng))

        own, begin = self._one_mask(mask), self._start(start)
        return self._trainer.derivative(Asked("gradients", count, 1, common=common), own, begin, compute)

    def hessian_gradient(
        self,
        mask: BoolArray | None,
        examples: int,
        *,
        temperature: float = 200.0,
        start: Weights | None = None,
        balanced: bool = False,
        common: bool = False,
    ) -> FloatArray:
        """Hessian times gradient of the loss, ``(D,)``, the logits divided by ``temperature``; twice the price.

        The arguments are those of :meth:`gradients`.
        """
        count = self._examples(examples)

        def compute(weights: Weights, rng: np.random.Generator) -> FloatArray:
            return self._session.engine.hessian_gradient(weights, self._drawn(count, balanced, rng), temperature)

        own, begin = self._one_mask(mask), self._start(start)
        return self._trainer.derivative(Asked("hessian_gradient", count, 2, common=common), own, begin, compute)

    def synaptic_flow(self, mask: BoolArray | None, *, start: Weights | None = None) -> ScoreArray:
        """SynFlow's scores of all weights, ``(D,)``: no data, the price of one training example."""

        def compute(weights: Weights, _rng: np.random.Generator) -> ScoreArray:
            return self._session.engine.synaptic_flow(weights)

        own, begin = self._one_mask(mask), self._start(start)
        return self._trainer.derivative(Asked("synaptic_flow", 1, 1), own, begin, compute)

    def ntk_sensitivity(self, mask: BoolArray | None, examples: int, *, scale: float = 0.01) -> ScoreArray:
        """NTK-SAP's scores of all weights, ``(D,)``: no data, but two forward and backward passes of each example.

        ``|d/dm sum |f(x, w * m) - f(x, (w + scale z) * m)|^2|``: weights w drawn anew in each call, as the network
        draws its initial ones, inputs x and perturbation z standard normal.

        Args:
            mask: ``(size,)``; ``None`` = the dense network.
            examples: inputs made up.
            scale: of the perturbation.
        """
        own = self._one_mask(mask)
        bits, count = self.units.expand(own), self._examples(examples)

        def compute(_weights: Weights, rng: np.random.Generator) -> ScoreArray:
            return self._session.engine.ntk_sensitivity(bits, int(rng.integers(2**62)), count, scale)

        return self._trainer.derivative(Asked("ntk_sensitivity", count, 2), own, self._session.initial, compute)

    def hessian_product(
        self, mask: BoolArray | None, direction: FloatArray, examples: int, *, start: Weights | None = None
    ) -> FloatArray:
        """Hessian of the loss times a direction, ``(D,)``; twice the price of a gradient.

        The Hessian is by all prunable weights. Every such call has the same examples, so that products follow each
        other, as power iteration and Lanczos' method need it.

        Args:
            mask: ``(size,)``, where the weights are zero; ``None`` = nowhere.
            direction: ``(D,)``.
            examples: how many training examples, drawn without replacement.
            start: the weights; default the initial ones.
        """
        count, direction = self._examples(examples), np.array(direction, dtype=np.float32)
        if direction.shape != (self.units.weights.size,):
            raise StrategyError(
                f"hessian_product: a direction of shape {direction.shape}; needed: ({self.units.weights.size},)"
            )

        def compute(weights: Weights, rng: np.random.Generator) -> FloatArray:
            return self._session.engine.hessian_product(weights, self._drawn(count, False, rng), direction)

        own, begin = self._one_mask(mask), self._start(start)
        asked = Asked("hessian_product", count, 2, common=True, of=direction)
        return self._trainer.derivative(asked, own, begin, compute)

    def tangent_kernel(self, mask: BoolArray | None, examples: int, *, start: Weights | None = None) -> ScoreArray:
        """Neural tangent kernel of the summed outputs, ``(N, N)``, by the weights and biases that are trained.

        Every such call has the same N examples. Each costs a pass through all of them: N times N training examples.
        """
        count, own, begin = self._examples(examples), self._one_mask(mask), self._start(start)
        rest = self.units.rest_mask(own[None])
        kept = Kept(self.units.expand(own), np.ones(begin.rest.size, dtype=bool) if rest is None else rest[0])

        def compute(weights: Weights, rng: np.random.Generator) -> ScoreArray:
            return self._session.engine.tangent_kernel(weights, kept, self._drawn(count, False, rng))

        asked = Asked("tangent_kernel", count * count, 1, common=True)
        return self._trainer.derivative(asked, own, begin, compute)

    def activation_patterns(self, mask: BoolArray | None, examples: int, *, start: Weights | None = None) -> BoolArray:
        """Which rectifiers (ReLU and its like) are at work on which examples, ``(N, A)``: a forward pass of each.

        Every such call has the same examples.

        Raises:
            InvalidValue: the network has no rectifiers.
        """
        count = self._examples(examples)

        def compute(weights: Weights, rng: np.random.Generator) -> BoolArray:
            return self._session.engine.activation_patterns(weights, self._drawn(count, False, rng))

        own, begin = self._one_mask(mask), self._start(start)
        asked = Asked("activation_patterns", count, 1, forward=True, common=True)
        return self._trainer.derivative(asked, own, begin, compute)

    def ntk_change(
        self, mask: BoolArray | None, examples: int, *, scale: float = 0.01, start: Weights | None = None
    ) -> float:
        """NTK-SAP's norm: ``sum |f(x, w * m) - f(x, (w + scale z) * m)|^2``; two forward passes of each example.

        Every such call has the same standard normal inputs x and perturbation z; the weights w are ``start``, by
        default the initial ones.
        """
        own, begin, count = self._one_mask(mask), self._start(start), self._examples(examples)
        bits = self.units.expand(own)

        def compute(weights: Weights, rng: np.random.Generator) -> ScoreArray:
            return self._session.engine.ntk_change(weights, bits, int(rng.integers(2**62)), count, scale)

        asked = Asked("ntk_change", count, 2, forward=True, common=True, of=repr(scale))
        return float(self._trainer.derivative(asked, own, begin, compute)[0])

    # -- inside -------------------------------------------------------------------------------------------------------

    def _start(self, start: Weights | None) -> Weights:
        """Start weights that fit, by default the initial ones."""
        if start is None:
            return self._session.initial
        if not isinstance(start, Weights):
            raise StrategyError(f"start weights of type {type(start).__name__}; needed: ticketsearch.Weights")
        start = Weights(*(np.array(part, dtype=np.float32) for part in (start.vector, start.rest)))
        shapes = start.vector.shape, start.rest.shape
        needed = self._session.initial.vector.shape, self._session.initial.rest.shape
        if shapes != needed:
            raise StrategyError(f"start weights have shapes {shapes}; needed: {needed}")
        return start

    def _drawn(self, count: int, balanced: bool, rng: np.random.Generator) -> IntArray:
        """So many training examples, without replacement."""
        if not balanced:
            return rng.choice(self.train_size, count, replace=False).astype(np.int64)
        return one_of_each_in_turn(self._session.labels, rng)[:count]

    def _examples(self, examples: int) -> int:
        if not 1 <= examples <= self.train_size:
            raise StrategyError(f"{examples} examples of {self.train_size}: give 1 to {self.train_size}")
        return examples
