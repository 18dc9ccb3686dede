"""Dynamic sparse training: train a sparse network, and every so often drop small weights and grow others.

Sources: SET, Mocanu et al. (arXiv:1707.04780), grows at random; RigL, Evci et al. (arXiv:1911.11134), grows where the
gradient is largest. Both begin with a random mask of Erdos-Renyi densities, keep each layer's number of weights, drop
those closest to zero, and start what they grow at zero. RigL moves the fraction ``move / 2 * (1 + cos(pi t / T))`` of a
layer's weights at step t, until T; SET as published moves the same fraction after each epoch until the end
(``decay=constant``, ``every=1ep``, ``stop=1``). What was just dropped may be grown again.

Neither paper claims a lottery ticket: there the network is what comes out. Here the last mask is rewound to the initial
weights, or goes on with the weights it was trained to (``start=draw``): two claims, both to be confirmed.

Beside the papers: the optimiser's state begins anew after each change of the mask, for all weights; and of blocks N:M
each keeps its N, so that a weight that drops makes room for one of its own block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import parse_steps
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import MaskSpace, random_per_layer, top_n
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.strategies.options import Fraction

CHANGES = 20
"""Parts of a training after which the mask changes, unless ``every`` says otherwise."""
Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DynamicTraining(ABC):
    """For strategies that move weights while they train; a subclass says which are grown.

    Attributes:
        densities: of the layers, ``erk``, ``uniform`` or ``smart-ratio``; default ``erk``, and ``uniform`` in blocks.
        every: steps between two changes of the mask, ``"100step"``, or ``"1ep"``; default a twentieth of the training.
        move: fraction of a layer's weights that the first change moves.
        decay: of that fraction: along a ``cosine`` to zero, or ``constant``.
        stop: fraction of the training after which the mask stays.
        length: of the training, in full recipes.
        start: the ticket starts from the ``init`` weights, or goes on from the ``draw``.
    """

    densities: Literal["erk", "uniform", "smart-ratio"] | None = None
    every: int | str | None = None
    move: Fraction = 0.3
    decay: Literal["cosine", "constant"] = "cosine"
    stop: Fraction = 0.75
    length: Annotated[float, Field(gt=0, le=1000)] = 1.0
    start: Literal["init", "draw"] = "init"

    @abstractmethod
    def growth(self, problem: MaskProblem, mask: BoolArray, weights: Weights, rng: np.random.Generator) -> Scores:
        """Scores ``(U,)`` of all units; of those that are not kept, the highest are grown."""

    @abstractmethod
    def examples_for(self, problem: KnownProblem) -> int:
        """Training examples whose gradients :meth:`growth` asks for."""

    def trainings(self, problem: KnownProblem) -> float:
        """``length``, and the gradients of its changes."""
        steps = self.length * problem.recipe.steps
        stride = steps / CHANGES if self.every is None else parse_steps(self.every, problem.steps_per_epoch, "every")
        growing = self.examples_for(problem) / (max(1, stride) * problem.recipe.batch_size)
        return self.length * (1 + growing)

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training of a sparse network, and what it costs to say what is grown."""
        if problem.units.granularity == "channel":
            raise InvalidValue(
                "a channel that was dropped is zero, and no gradient comes back to it through a ReLU; dynamic sparse "
                "training needs --granularity weight or N:M"
            )
        space, rng = problem.space, problem.rng("dynamic")
        wanted = max(1, round(self.length * problem.recipe.steps))
        every = max(1, wanted // CHANGES) if self.every is None else self.every
        stride = parse_steps(every, problem.steps_per_epoch, "every")
        if stride < 1:
            raise InvalidValue(f"every={self.every!r} is less than one step")
        growing = self.examples_for(problem) / (stride * problem.recipe.batch_size)  # to the examples of a training
        steps = problem.steps_for(1, reserve=growing / (1 + growing), length=self.length)
        recipe = problem.recipe.lasting(steps)
        densities = self.densities or ("uniform" if space.floor else "erk")
        mask = random_per_layer(space, layer_counts(densities, space, problem.n_kept), rng)
        first, weights, step, moved = mask, problem.initial_weights(), 0, 0
        changes = [at for at in range(stride, steps, stride) if at < self.stop * steps]
        for at in [*changes, steps]:
            [snapshot] = problem.train(mask, start=weights, recipe=recipe, first_step=step, at=(at,))
            weights, step = snapshot.weights, at
            if at < steps:
                share = self.move / 2 * (1 + np.cos(np.pi * at / (self.stop * steps)))
                share = self.move if self.decay == "constant" else float(share)
                before = mask
                sizes = problem.units.reduce(np.abs(weights.vector))
                mask = changed(space, mask, sizes, self.growth(problem, mask, weights, rng), share)
                moved += int(np.count_nonzero(mask & ~before))
        problem.note(changes=len(changes), moved=moved, of_the_first=float((mask & first).sum() / problem.n_kept))
        if self.start == "draw":
            return Ticket(mask, weights, min(step, problem.recipe.steps))
        return Ticket(mask)


def changed(space: MaskSpace, mask: BoolArray, sizes: Scores, growth: Scores, share: float) -> BoolArray:
    """The mask with a share of each layer's weights moved: from the smallest kept to the highest growth.

    Args:
        space: of the units.
        mask: ``(U,)``.
        sizes: of the weights, ``(U,)``.
        growth: scores of what may be grown, ``(U,)``.
        share: fraction of a layer's kept weights.
    """
    new = mask.copy()
    for layer in space.layers:
        own, size, wish = mask[layer.span], sizes[layer.span], growth[layer.span]
        if space.block is None:
            new[layer.span] = _moved(own, size, wish, round(share * np.count_nonzero(own)))
        else:
            shape = -1, space.block
            new[layer.span] = _moved_in_blocks(own.reshape(shape), size.reshape(shape), wish.reshape(shape), share)
    return new


def _moved(mask: BoolArray, size: Scores, wish: Scores, count: int) -> BoolArray:
    """A layer: ``count`` dropped, as many of all that are then pruned grown."""
    left = mask.copy()
    kept = np.flatnonzero(mask)
    left[kept[top_n(-size[kept], count)]] = False
    pruned = np.flatnonzero(~left)
    left[pruned[top_n(wish[pruned], count)]] = True
    return left


def _moved_in_blocks(mask: BoolArray, size: Scores, wish: Scores, share: float) -> BoolArray:
    """Blocks ``(G, M)``: in those whose smallest kept weight is smallest, it makes room for another of its block."""
    rows = np.arange(len(mask))
    smallest = np.where(mask, size, np.inf).argmin(1)
    first = top_n(-size[rows, smallest], min(len(mask), round(share * np.count_nonzero(mask))))
    new = mask.copy()
    chosen = rows[first]
    new[chosen, smallest[chosen]] = False
    new[chosen, np.where(new, -np.inf, wish)[chosen].argmax(1)] = True
    return new.reshape(-1)


@dataclass(frozen=True)
class SparseEvolution(DynamicTraining):
    """Move small weights to random places while training (SET)."""

    def examples_for(self, problem: KnownProblem) -> int:
        """None."""
        return 0

    def growth(self, problem: MaskProblem, mask: BoolArray, weights: Weights, rng: np.random.Generator) -> Scores:
        """Random: free."""
        return rng.random(problem.space.size)


@dataclass(frozen=True)
class RigL(DynamicTraining):
    """Move small weights to where the gradient is largest while training.

    Attributes:
        examples: training examples of each gradient; default a batch, as published.
    """

    examples: Annotated[int, Field(ge=1)] | None = None

    def examples_for(self, problem: KnownProblem) -> int:
        """A batch, or as many as asked for."""
        return min(self.examples or problem.recipe.batch_size, problem.train_size)

    def growth(self, problem: MaskProblem, mask: BoolArray, weights: Weights, rng: np.random.Generator) -> Scores:
        """Absolute gradients of all weights, those that are not there among them."""
        return problem.units.reduce(np.abs(problem.gradients(mask, self.examples_for(problem), start=weights)))
