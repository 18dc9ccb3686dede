"""What of a problem is free: what a strategy may know, and what it may report."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import Cost, at_least
from ticketsearch.digests import digest_of
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units
from ticketsearch.problem.scores import Belief, Incumbent, Snapshot, TrainedRound
from ticketsearch.problem.session import Session
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream


class KnownProblem:
    """The part of a :class:`ticketsearch.MaskProblem` that costs nothing."""

    def __init__(self, session: Session) -> None:
        self._session, self._units = session, session.units.read_only()
        self._n_kept = session.units.space.n_kept(session.sparsity)
        self._recipe = replace(session.recipe)

    def __setattr__(self, name: str, value: object) -> None:
        """Names of the problem's own are set once, when it is made; all others are not to be set."""
        if not name.startswith("_") or name in self.__dict__:
            raise StrategyError(
                f"problem.{name} was assigned to; a strategy reads its problem, and keeps what it needs in variables "
                "of its own"
            )
        object.__setattr__(self, name, value)

    @property
    def units(self) -> Units:
        """Expands masks of this space to masks of the D weights, and reduces scores of weights to scores in it."""
        return self._units

    @property
    def space(self) -> MaskSpace:
        """The mask space: layers, shapes, offsets, ``size``. Its bits are weights, or other units."""
        return self._units.space

    @property
    def sparsity(self) -> float:
        """Fraction to prune."""
        return self._session.sparsity

    @property
    def n_kept(self) -> int:
        """Units a ticket keeps, exactly."""
        return self._n_kept

    @property
    def recipe(self) -> Recipe:
        """The task's full training."""
        return self._recipe

    @property
    def fidelity(self) -> int:
        """Steps of the evaluator's short training; under a rising fidelity, what they are now.

        It then doubles from level to level, and each level has an equal share of the budget.
        """
        levels = self._session.fidelities
        return levels[min(len(levels) - 1, int(self.spent_fraction * len(levels)))]

    @property
    def train_size(self) -> int:
        """Examples in the training split: one epoch."""
        return self._session.meter.train_size

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return self._session.steps_per_epoch

    @property
    def notes(self) -> dict[str, Any]:
        """What :meth:`note` was told: a copy."""
        return copy.deepcopy(self._session.notes)

    @property
    def incumbent(self) -> Incumbent | None:
        """The best mask evaluated so far: a copy, and read-only."""
        return self._session.incumbents[-1].read_only() if self._session.incumbents else None

    @property
    def incumbents(self) -> tuple[Incumbent, ...]:
        """The best mask evaluated so far, last, and those that were before it, first to last: copies, read-only."""
        return tuple(one.read_only() for one in self._session.incumbents)

    @property
    def remaining(self) -> float:
        """What is left of the budget, in epochs of the dense network."""
        return self._session.meter.remaining_epochs

    @property
    def spent(self) -> Cost:
        """What was spent so far."""
        return self._session.meter.spent

    @property
    def spent_fraction(self) -> float:
        """Spent / budget, in [0, 1]: the clock of a cooling schedule."""
        limit = self._session.meter.limit_thirds
        return self._session.meter.spent.thirds / limit if limit else 0.0

    @property
    def trials(self) -> int:
        """Trials so far."""
        self._session.catch_up()
        return self._session.replay.length

    def initial_weights(self) -> Weights:
        """A copy of the run's initial weights, ``(D,)`` and ``(R,)``."""
        return Weights(self._session.initial.vector.copy(), self._session.initial.rest.copy())

    def note(self, **facts: object) -> None:
        """Report facts about this search, shown with its result: numbers, texts, lists of them, arrays.

        Raises:
            StrategyError: a fact that JSON cannot hold.
        """

        def plain(value: object) -> object:
            if isinstance(value, np.ndarray | np.generic):
                return value.tolist()
            raise TypeError(f"{type(value).__name__} is none of these")

        try:
            text = json.dumps(facts, default=plain, ensure_ascii=False)
            text.encode()
            self._session.notes.update(json.loads(text))
        except (TypeError, ValueError) as error:
            raise StrategyError(f"note: {', '.join(facts)}: {error}; give numbers, texts or lists") from error

    def record_round(self, mask: BoolArray, snapshot: Snapshot) -> None:
        """Report the end of a round of an iterative search: a network as :meth:`train` left it, before it is pruned.

        The host measures it when the search has ended, also on the test split, and shows it with the result. It is
        free, and answers nothing.

        Args:
            mask: ``(size,)``, under which it was trained.
            snapshot: the last one of its training.

        Raises:
            StrategyError: the weights are none that a training of this search gave.
        """
        own = Weights(np.array(snapshot.weights.vector), np.array(snapshot.weights.rest))
        if digest_of(own.vector, own.rest) not in self._session.handed_out:
            raise StrategyError("record_round: these weights are none that problem.train gave in this search")
        one = TrainedRound(self._one_mask(mask), int(snapshot.step), own, float(snapshot.train_loss))
        self._session.record_round(one)

    def believe(self, mask: BoolArray) -> None:
        """Report the mask that the search would return if it ended now; free.

        For a search that learns a distribution: the best mask that was evaluated is the luckiest one, and its own mean
        is the better guess. If the budget or the time ends the search, the last mask reported is its ticket; without
        any report, the best mask evaluated is.

        Args:
            mask: ``(size,)``, keeps exactly ``n_kept`` units.

        Raises:
            StrategyError: it does not.
        """
        own = self._population([mask])[0]
        last = self._session.beliefs[-1] if self._session.beliefs else None
        if last is None or not np.array_equal(last.mask, own):
            self._session.beliefs.append(Belief(own, self._session.meter.spent))

    def rng(self, name: str) -> np.random.Generator:
        """The run's random stream of that name, from its beginning: ask once and hold on to it."""
        return stream(self._session.seed, "strategy", name)

    def steps_for(self, trainings: int, *, reserve: float = 0.0, length: float = 1.0) -> int:
        """Steps each of several equal trainings may take: the full recipe, or less if the budget says so.

        Args:
            trainings: how many are planned.
            reserve: fraction of what is left to be kept for other uses.
            length: of a training, in full recipes.

        Raises:
            InvalidValue: not even one step each is affordable.
        """
        batch = self.recipe.batch_size
        thirds = (
            int(self._session.meter.remaining_thirds * (1 - reserve))
            if self._session.meter.limit_thirds is not None
            else None
        )
        wanted = max(1, round(length * self.recipe.steps)) if length != 1 else self.recipe.steps
        steps = wanted if thirds is None else min(wanted, thirds // (3 * batch * trainings))
        if steps < 1:
            need = trainings * batch / self._session.meter.train_size / (1 - reserve)
            raise InvalidValue(
                f"{self.remaining:.4g}ep are too little for {trainings} trainings of at least one step; "
                f"they need {at_least(need)}"
            )
        return steps

    def _population(self, masks: object, *, exact: bool = True) -> BoolArray:
        """``(P, U)`` booleans with the right count, or a StrategyError that says what is wrong."""
        try:
            population: npt.NDArray[np.generic] = np.array(masks)  # a copy: its owner may go on changing it
        except ValueError as error:
            raise StrategyError(f"masks must be booleans of shape (P, {self.space.size}): {error}") from error
        if population.dtype != np.bool_ or population.ndim != 2 or population.shape[1] != self.space.size:
            raise StrategyError(
                f"masks must be booleans of shape (P, {self.space.size}), got {population.dtype} {population.shape}"
            )
        for row, mask in enumerate(population if exact else ()):
            if (kept := int(np.count_nonzero(mask))) != self.n_kept:
                raise StrategyError(
                    f"mask {row} keeps {kept} of {self.space.size} {self.space.unit}s; "
                    f"sparsity {self.sparsity} keeps {self.n_kept}"
                )
            self.space.check_floor(mask, f"mask {row}")
        return population.astype(bool, copy=False)

    def _one_mask(self, mask: BoolArray | None) -> BoolArray:
        """A mask of any number of units ``(U,)``, or the dense network's."""
        return np.ones(self.space.size, dtype=bool) if mask is None else self._population([mask], exact=False)[0]
