"""The one handle a strategy receives: the metered verbs, and what is free to know.

Everything here charges before it computes. A call that does not fit into what is left raises
:class:`~ticketsearch.errors.BudgetExhausted`; strategies need not catch it, because the host does and keeps
the best mask evaluated so far.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.cost import parse_steps
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Weights
from ticketsearch.problem.derived import DerivedProblem
from ticketsearch.problem.evaluator import Evaluator
from ticketsearch.problem.prediction import Predictor, predicted_score, values_of_predictor
from ticketsearch.problem.scores import (
    BASIN,
    ORDERS,
    ORIGINS,
    SCORES,
    Incumbent,
    Orders,
    Origin,
    Score,
    ScoreName,
    Snapshot,
)
from ticketsearch.problem.session import Session
from ticketsearch.recipe import Recipe


class MaskProblem(DerivedProblem):
    """What a strategy searches on. Made by the host, one for each run.

    All that it hands out is a copy or cannot be changed: a strategy can bend nothing of the host's.
    """

    evaluator_type: ClassVar[type[Evaluator]] = Evaluator

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._evaluator = self.evaluator_type(session)
        self._predicted: dict[tuple[str, str], Score] = {}

    def evaluation_cost(self, fidelity: int | None = None) -> float:
        """Epochs one evaluation costs."""
        return self._evaluator.epochs(self._steps(fidelity))

    def worth_drawing(self, count: int, fidelity: int | None = None, repeats: int = 1) -> int:
        """``count`` masks, or as many as the budget still pays for and one more: the others would never be scored."""
        return int(min(count, self._evaluator.affordable(self._steps(fidelity), repeats) + 1))

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
                (``train-loss-ema``). Training and price are the same. Or ``basin``: the cosine of the angle between how
                the short training moved the kept weights, and how a training of the dense network did. The first such
                call trains it, and pays for it; a search that asks for this score is a hybrid.
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
        if score == BASIN:
            self._know_the_basin(masks, fidelity, weights)
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
            at: steps to take snapshots at; without ``every``, the training ends with the last of them. Else its last
                step gives one.
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

    def train_alike(self, mask: BoolArray | None, steps: int) -> Snapshot:
        """Train one masked network from the initial weights for a few steps, on the data order of all such calls.

        So networks can be compared as they stand after some steps. The recipe is the task's, shortened to them.

        Args:
            mask: ``(size,)``, any number of kept units; ``None`` = the dense network.
            steps: at least one.

        Raises:
            BudgetExhausted: it is not affordable.
            StrategyError: the network diverged, or arguments do not fit.
        """
        steps = self._steps(steps)
        if not steps:
            raise StrategyError("train_alike: 0 steps train nothing; give at least 1")
        recipe = self._trainable(self.recipe.lasting(steps))
        return self._trainer.train_alike(self._one_mask(mask), self._start(None), recipe)

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

        A relaxation with a teacher pays for the teacher's forward passes as well.

        Args:
            relaxation: the vectors, and the weights as a function of them; it decides which weights are zero.
            start: weights that are not relaxed; default the initial ones.
            recipe: as in :meth:`train`; so are ``every`` and ``at``.
            every: a snapshot every so often.
            at: steps to take snapshots at, as in :meth:`train`.

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
        if relaxation.teacher is not None and relaxation.teacher.shape != (self.space.size,):
            raise StrategyError(
                f"train_relaxed: a teacher of shape {relaxation.teacher.shape}; needed: ({self.space.size},)"
            )
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

    def predict(self, masks: BoolArray | Sequence[BoolArray], predictor: Predictor) -> list[Score]:
        """Score masks by a predictor of :mod:`ticketsearch.predictors`, or one of your own.

        Each mask by itself, so that no score depends on another mask. What the predictor calls is paid for and
        recorded; so is one forward pass of an example for each mask. A mask that was predicted before is answered from
        memory, free.

        Args:
            masks: as for :meth:`evaluate`.
            predictor: an instance.

        Returns:
            P scores, in order, higher is better: the predictor's values times its sign. What is no number is a failure.

        Raises:
            BudgetExhausted: not all of the masks are affordable; those before are recorded.
            SearchStalled: a thousand masks in a row were known.
            StrategyError: wrong masks, or the predictor gives something else than one number.
        """
        population = self._population(masks)
        return [self._prediction(mask, predictor) for mask in population]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _know_the_basin(self, masks: object, fidelity: int | None, weights: Origin) -> None:
        """Train the dense network, if that was not done yet, and there is something to be scored."""
        if not self._steps(fidelity) or weights != "initial":
            raise StrategyError("evaluate: the basin score is of one step at least, from the initial weights")
        if self._evaluator.goal is None and len(self._population(masks)):
            [*_, last] = self.train()
            self._evaluator.goal = last.weights.vector - self._session.initial.vector

    def _prediction(self, mask: BoolArray, predictor: Predictor) -> Score:
        """Of one mask ``(U,)``: remembered, or computed, charged and recorded."""
        session, key = self._session, (digest(mask), f"{type(predictor).__module__} {predictor!r}")
        self._evaluator.count_call(int(key in self._predicted))
        if key not in self._predicted:
            before = len(session.incumbents)
            try:
                [value] = values_of_predictor(predictor, self, mask[None])
            finally:
                del session.incumbents[before:]  # what it evaluated on its way is another score
            with session.verb():
                paid = session.meter.spent
                session.meter.charge(session.pricing.forward(session.units.expand(mask), 1))
                score = self._predicted[key] = predicted_score(predictor, float(value))
                session.record(("predict", key[0], 1), paid, score)
                best = session.incumbents[-1] if session.incumbents else None
                if not score.failed and (best is None or score > best.score):
                    spent = session.meter.spent
                    session.incumbents.append(Incumbent(mask.copy(), score, 1, spent, (score.value,)))
        return self._predicted[key]

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
        """Steps to take snapshots at, in order; the training ends with the last."""
        wanted = {step for step in at if first_step < step <= recipe.steps}
        if every is not None or not wanted:
            wanted.add(recipe.steps)
        if every is not None:
            stride = parse_steps(every, self.steps_per_epoch, "every")
            if stride < 1:
                raise StrategyError(f"train: every={every!r} is less than one step")
            wanted |= set(range(first_step + stride, recipe.steps + 1, stride))
        return sorted(step for step in wanted if first_step < step <= recipe.steps)
