"""The one handle a strategy receives: the metered verbs, and what is free to know.

Everything here charges before it computes. A call that does not fit into what is left raises
:class:`~ticketsearch.errors.BudgetExhausted`; strategies need not catch it, because the host does and keeps
the best mask evaluated so far.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.cost import Cost, at_least, parse_steps
from ticketsearch.digests import digest_of
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units
from ticketsearch.problem.evaluator import Evaluator
from ticketsearch.problem.scores import (
    ORDERS,
    ORIGINS,
    SCORES,
    Belief,
    Incumbent,
    Orders,
    Origin,
    Score,
    ScoreName,
    Snapshot,
    TrainedRound,
)
from ticketsearch.problem.session import Session
from ticketsearch.problem.trainer import Trainer
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream


class MaskProblem:
    """What a strategy searches on. Made by the host, one for each run.

    All that it hands out is a copy or cannot be changed: a strategy can bend nothing of the host's.
    """

    evaluator_type: ClassVar[type[Evaluator]] = Evaluator

    def __init__(self, session: Session) -> None:
        self._session, self._units = session, session.units.read_only()
        self._n_kept = session.units.space.n_kept(session.sparsity)
        self._recipe = replace(session.recipe)
        self._evaluator, self._trainer = self.evaluator_type(session), Trainer(session)

    def __setattr__(self, name: str, value: object) -> None:
        """Names of the problem's own are set once, when it is made; all others are not to be set."""
        if not name.startswith("_") or name in self.__dict__:
            raise StrategyError(
                f"problem.{name} was assigned to; a strategy reads its problem, and keeps what it needs in variables "
                "of its own"
            )
        object.__setattr__(self, name, value)

    # -- free ---------------------------------------------------------------------------------------------------------

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
        self._session.rounds.append(TrainedRound(self._one_mask(mask), int(snapshot.step), own))

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

    def evaluation_cost(self, fidelity: int | None = None) -> float:
        """Epochs one evaluation costs."""
        return self._evaluator.epochs(self._steps(fidelity))

    def worth_drawing(self, count: int, fidelity: int | None = None, repeats: int = 1) -> int:
        """``count`` masks, or as many as the budget still pays for and one more: the others would never be scored."""
        return int(min(count, self._evaluator.affordable(self._steps(fidelity), repeats) + 1))

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

    # -- metered ------------------------------------------------------------------------------------------------------

    def evaluate(
        self,
        masks: BoolArray | Sequence[BoolArray],
        fidelity: int | None = None,
        *,
        score: ScoreName = "accuracy",
        orders: Orders = "common",
        repeats: int = 1,
        weights: Origin = "initial",
    ) -> list[Score]:
        """Score masks: a short training of each from the initial weights, then validation.

        All masks of a run see the same batches from the same start. A mask scored before in the same way is
        answered from memory, free. If the budget covers only some of them, those are trained and recorded before
        the error is raised.

        Args:
            masks: ``(P, size)``, or a sequence of ``(size,)``; each keeps exactly ``n_kept`` units.
            fidelity: steps; default :attr:`fidelity`. 0 scores the untrained masked network.
            score: ``accuracy`` or ``loss`` on the validation split, or the mean training loss of all steps
                (``train-loss``), of the last tenth (``train-loss-last``), or weighted exponentially
                (``train-loss-ema``). Training and price are the same.
            orders: ``common``, or ``fresh``: a data order of this call's own, the same for all its masks. Then nothing
                is answered from memory.
            repeats: trainings of each mask, on as many data orders, each paid for; their mean is the score.
            weights: what the trainings start from. ``inherited``: the trained weights of a parent where both keep a
                weight, else the initial ones. The parent is, of the last 64 networks so trained in calls before, the
                one with the most units in common. A score is then one of a network with a past, and another one in each
                call; the ticket starts from the initial weights all the same, and is confirmed from there.

        Returns:
            P scores, in order.

        Raises:
            BudgetExhausted: not all of the masks are affordable.
            SearchStalled: a thousand masks in a row were known.
            StrategyError: wrong shape, type or number of kept units, or fewer in a group than its floor.
        """
        with self._session.verb():
            steps = self._steps(fidelity)
            for what, value, known in (
                ("score", score, SCORES),
                ("orders", orders, ORDERS),
                ("weights", weights, ORIGINS),
            ):
                if value not in known:
                    raise StrategyError(f"evaluate: {what} {value!r} is none of {', '.join(known)}")
            if isinstance(repeats, bool) or not isinstance(repeats, int | np.integer) or repeats < 1:
                raise StrategyError(f"evaluate: repeats {repeats!r} is not a number of trainings from 1")
            return self._evaluator.evaluate(self._population(masks), steps, score, orders, int(repeats), weights)

    def train(
        self,
        mask: BoolArray | None = None,
        *,
        start: Weights | None = None,
        recipe: Recipe | None = None,
        first_step: int = 0,
        every: int | str | None = None,
        at: Sequence[int] = (),
        held: FloatArray | None = None,
    ) -> Generator[Snapshot]:
        """Train one masked network; a generator: ``break`` and the rest is neither run nor paid.

        The optimiser's state (momentum, Adam's moments) lives as long as the generator: it is kept from snapshot to
        snapshot, and a new call begins with none. So a training that changes its mask on the way, as dynamic sparse
        training does, is a chain of calls: each with the weights of the last snapshot as ``start`` and its step as
        ``first_step``, and with moments that begin at zero.

        Args:
            mask: ``(size,)``, any number of kept units; ``None`` = the dense network.
            start: start weights; default the initial ones.
            recipe: default the task's; ``problem.recipe.lasting(n)`` is the same over n steps.
            first_step: step of the recipe to begin at: the position in its schedule.
            every: a snapshot every so often: ``"1ep"``, ``"50step"`` or a number of steps.
            at: further steps to take snapshots at. The last step always gives one.
            held: what pruned weights are held at, ``(D,)``; default zero. See :mod:`ticketsearch.masks.actions`.

        Yields:
            Snapshots. Each call draws its own data order.

        Raises:
            BudgetExhausted: when the next stretch is not affordable.
            StrategyError: the network diverged, or arguments do not fit.
        """
        recipe = self._trainable(recipe)
        if not 0 <= first_step <= recipe.steps:
            raise StrategyError(f"train: first_step {first_step} is outside the recipe's {recipe.steps} steps")
        if held is not None:
            held = np.array(held, dtype=np.float32)
            if self.units.of_rest is not None:
                raise InvalidValue("pruned channels are zero; mask_0 other than zero needs --granularity weight")
            if held.shape != (self.space.size,):
                raise StrategyError(f"train: held values of shape {held.shape}; needed: ({self.space.size},)")
        stops = self._stops(recipe, first_step, every, at)
        kept, begin = self._one_mask(mask), self._start(start)
        return self._trainer.train(kept, begin, recipe, first_step, stops, held=held, relaxation=None)

    def train_relaxed(
        self,
        relaxation: Relaxation,
        *,
        start: Weights | None = None,
        recipe: Recipe | None = None,
        every: int | str | None = None,
        at: Sequence[int] = (),
    ) -> Generator[Snapshot]:
        """Train other vectors, from which the weights follow: scores, gates. Priced as the dense network.

        Args:
            relaxation: the vectors, and the weights as a function of them; it decides which weights are zero.
            start: weights that are not relaxed; default the initial ones.
            recipe: as in :meth:`train`; so are ``every`` and ``at``.
            every: a snapshot every so often.
            at: further steps to take snapshots at.

        Yields:
            Snapshots; their ``trained`` has the vectors.

        Raises:
            BudgetExhausted: when the next stretch is not affordable.
            InvalidValue: units are not weights.
            StrategyError: the network diverged, or arguments do not fit.
        """
        if self.units.granularity != "weight":
            raise InvalidValue(
                f"this strategy trains a mask of weights (a relaxation); --granularity {self.units.granularity} needs "
                "one that ranks or evaluates masks, like imp, magnitude, snip or ga"
            )
        recipe = self._trainable(recipe)
        stops = self._stops(recipe, 0, every, at)
        own = {name: replace(one, start=np.array(one.start)) for name, one in relaxation.trainables.items()}
        relaxation = replace(relaxation, trainables=own)
        begin = self._start(start)
        return self._trainer.train(self._one_mask(None), begin, recipe, 0, stops, held=None, relaxation=relaxation)

    def validate(self, mask: BoolArray | None, weights: Weights) -> Score:
        """Measure a network on the validation split: forward passes only, a third of its examples.

        Args:
            mask: ``(size,)``, where the weights are zero; ``None`` = nowhere.
            weights: ``(D,)`` and ``(R,)``: a snapshot's, or any others.

        Raises:
            BudgetExhausted: it is not affordable.
        """
        return self._trainer.validate(self._one_mask(mask), self._start(weights))

    def gradients(self, mask: BoolArray | None, examples: int, *, start: Weights | None = None) -> FloatArray:
        """Loss gradient ``(D,)`` with respect to every prunable weight, pruned ones included.

        Args:
            mask: ``(size,)``, where the weights are zero; ``None`` = nowhere.
            examples: how many training examples, drawn without replacement; each call draws its own.
            start: the weights; default the initial ones.
        """
        compute = self._session.engine.gradients
        point = self._one_mask(mask), self._start(start)
        return self._trainer.derivative("gradients", *point, self._examples(examples), 1, compute)

    def hessian_gradient(
        self, mask: BoolArray | None, examples: int, *, temperature: float = 200.0, start: Weights | None = None
    ) -> FloatArray:
        """Hessian times gradient of the loss, ``(D,)``, the logits divided by ``temperature``; twice the price.

        The arguments are those of :meth:`gradients`.
        """

        def compute(weights: Weights, chosen: IntArray) -> FloatArray:
            return self._session.engine.hessian_gradient(weights, chosen, temperature)

        point = self._one_mask(mask), self._start(start)
        return self._trainer.derivative("hessian_gradient", *point, self._examples(examples), 2, compute)

    def synaptic_flow(self, mask: BoolArray | None, *, start: Weights | None = None) -> ScoreArray:
        """SynFlow's scores of all weights, ``(D,)``: no data, the price of one training example."""

        def compute(weights: Weights, _chosen: IntArray) -> ScoreArray:
            return self._session.engine.synaptic_flow(weights)

        return self._trainer.derivative("synaptic_flow", self._one_mask(mask), self._start(start), 1, 1, compute)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _steps(self, fidelity: int | None) -> int:
        steps = self.fidelity if fidelity is None else fidelity
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
            raise StrategyError(f"evaluate: fidelity {fidelity!r} is not a number of steps")
        return int(steps)

    def _trainable(self, recipe: Recipe | None) -> Recipe:
        """A recipe, by default the task's, whose batches there are examples for."""
        recipe = recipe or self.recipe
        if recipe.batch_size > self.train_size:
            raise StrategyError(f"train: batch_size {recipe.batch_size} of {self.train_size} examples")
        return recipe

    def _stops(self, recipe: Recipe, first_step: int, every: int | str | None, at: Sequence[int]) -> list[int]:
        """Steps to take snapshots at, in order, the last step among them."""
        wanted = {recipe.steps, *at}
        if every is not None:
            stride = parse_steps(every, self.steps_per_epoch, "every")
            if stride < 1:
                raise StrategyError(f"train: every={every!r} is less than one step")
            wanted |= set(range(first_step + stride, recipe.steps + 1, stride))
        return sorted(step for step in wanted if first_step < step <= recipe.steps)

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

    def _examples(self, examples: int) -> int:
        if not 1 <= examples <= self.train_size:
            raise StrategyError(f"{examples} examples of {self.train_size}: give 1 to {self.train_size}")
        return examples
