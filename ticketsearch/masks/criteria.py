"""A score per weight, or per channel; a mask keeps the highest.

The nine criteria are those of Zhou et al., "Deconstructing lottery tickets" (arXiv:1905.01067, section 3), with
w_i the initial and w_f the final weight; their alpha is 1. ``large_final_same_sign`` is the one of their supermasks
(section 5.1): large final weights of the sign they began with. SNIP (arXiv:1810.02340) needs a gradient instead
of a training. ``bn_scale`` is of channels: |gamma| of the batch normalisation behind each (Liu et al.,
arXiv:1708.06519; You et al., arXiv:1909.11957). All others are of weights, and a unit's score is the mean over its
weights. What a criterion needs is asked of the problem, metered, and asked only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.errors import UnknownName
from ticketsearch.masks.space import MaskSpace
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units
from ticketsearch.recipe import Recipe

Formula = Callable[[FloatArray, FloatArray], FloatArray]

FORMULAS: dict[str, Formula] = {
    "large_final": lambda _, w_f: np.abs(w_f),
    "small_final": lambda _, w_f: -np.abs(w_f),
    "large_init": lambda w_i, _: np.abs(w_i),
    "small_init": lambda w_i, _: -np.abs(w_i),
    "large_init_large_final": lambda w_i, w_f: np.minimum(np.abs(w_f), np.abs(w_i)),
    "small_init_small_final": lambda w_i, w_f: -np.maximum(np.abs(w_f), np.abs(w_i)),
    "magnitude_increase": lambda w_i, w_f: np.abs(w_f) - np.abs(w_i),
    "movement": lambda w_i, w_f: np.abs(w_f - w_i),
    "large_final_same_sign": lambda w_i, w_f: w_f * np.sign(w_i),
}
NAMES = (*FORMULAS, "bn_scale", "random", "snip")
"""Every criterion by name."""
OF_TRAINED = (*FORMULAS, "bn_scale")
"""Criteria that need nothing but initial and trained weights."""
UNTRAINED = frozenset({"large_init", "small_init", "random", "snip"})
"""Criteria that need no trained weights."""


def check_criterion(name: str) -> str:
    """The name itself.

    Raises:
        UnknownName: no criterion of that name.
    """
    if name not in NAMES:
        raise UnknownName("criterion", name, NAMES)
    return name


def trained_scores(name: str, units: Units, initial: Weights, final: Weights) -> npt.NDArray[np.floating]:
    """Scores of units ``(U,)`` by a criterion that compares the initial weights with trained ones.

    Raises:
        UnknownName: it is none of :data:`OF_TRAINED`.
        InvalidValue: ``bn_scale``, and there are no scales.
    """
    if name not in OF_TRAINED:
        raise UnknownName("criterion of trained weights", name, OF_TRAINED)
    if name == "bn_scale":
        return units.scales(final.rest)
    return units.reduce(FORMULAS[name](initial.vector, final.vector))


class _Snapshot(Protocol):
    @property
    def weights(self) -> Weights: ...


class Source(Protocol):
    """What criteria ask of a problem; :class:`ticketsearch.MaskProblem` has it."""

    @property
    def space(self) -> MaskSpace: ...  # noqa: D102
    @property
    def units(self) -> Units: ...  # noqa: D102
    @property
    def recipe(self) -> Recipe: ...  # noqa: D102
    def initial_weights(self) -> Weights: ...  # noqa: D102
    def rng(self, name: str) -> np.random.Generator: ...  # noqa: D102
    def steps_for(self, trainings: int, *, reserve: float = 0.0) -> int: ...  # noqa: D102
    def train(self, *, recipe: Recipe | None = None) -> Iterator[_Snapshot]: ...  # noqa: D102
    def gradients(self, mask: BoolArray | None, examples: int) -> FloatArray: ...  # noqa: D102


@dataclass
class CriterionScores:
    """Scores of one problem's weights under any criterion; trains the dense network once if one needs it.

    Attributes:
        problem: pays for the training and the gradient.
        recipe: of the dense training; default the problem's.
        reserve: fraction of the budget a dense training must leave; the full recipe is used if it fits.
        snip_examples: training examples of SNIP's gradient; SNIP's own choice is one mini-batch.
    """

    problem: Source
    recipe: Recipe | None = None
    reserve: float = 0.5
    snip_examples: int = 1000
    _final: Weights | None = field(default=None, init=False)

    def __call__(self, name: str) -> npt.NDArray[np.floating]:
        """``(U,)`` scores of one criterion.

        Raises:
            UnknownName: no such criterion.
        """
        check_criterion(name)
        initial, units = self.problem.initial_weights(), self.problem.units
        if name == "random":
            return self.problem.rng("criterion").random(units.space.size, dtype=np.float32)
        if name == "snip":
            examples = min(self.snip_examples, self.problem.recipe.batch_size * 10)
            return units.reduce(np.abs(self.problem.gradients(None, examples) * initial.vector))
        if name == "bn_scale":
            units.scales(initial.rest)  # refuse what has none before anything is paid for
        return trained_scores(name, units, initial, initial if name in UNTRAINED else self._trained())

    def _trained(self) -> Weights:
        if self._final is None:
            recipe = (self.recipe or self.problem.recipe).lasting(self.problem.steps_for(1, reserve=self.reserve))
            for snapshot in self.problem.train(recipe=recipe):
                self._final = snapshot.weights
        assert self._final is not None
        return self._final

    @property
    def final(self) -> FloatArray | None:
        """Trained weights ``(D,)``, if a criterion needed them."""
        return None if self._final is None else self._final.vector

    def ranks(self, names: Sequence[str]) -> ScoreArray:
        """``(C, U)`` scores as ranks in [0, 1], so that criteria of different units can be mixed."""
        ranks = np.empty((len(names), self.problem.space.size))
        for row, name in enumerate(names):
            order: IntArray = np.argsort(self(name), kind="stable")
            ranks[row, order] = np.linspace(0, 1, order.size)
        return ranks
