"""The one handle a strategy receives: three metered verbs, and what is free to know.

Everything here charges before it computes. A call that does not fit into what is left raises
:class:`~ticketsearch.errors.BudgetExhausted`; strategies need not catch it, because the host does and keeps
the best mask evaluated so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.cost import Cost, Meter, at_least, parse_steps
from ticketsearch.engine import Engine, Job, Relaxed, batch_indices
from ticketsearch.errors import BudgetExhausted, InvalidValue, SearchStalled, StrategyError, TicketsearchError
from ticketsearch.journal import Journal
from ticketsearch.ledger import Ledger, Question
from ticketsearch.masks import MaskSpace, digest
from ticketsearch.pricing import Pricing
from ticketsearch.recipe import Recipe
from ticketsearch.relaxation import Relaxation
from ticketsearch.scores import Incumbent, Score, Snapshot
from ticketsearch.seeds import stream
from ticketsearch.tickets import Weights

if TYPE_CHECKING:
    from ticketsearch.tasks import Split

SLAB = 64
"""Masks recorded together; what a killed run may lose."""
FREE_CALLS, FREE_MASKS = 20, 1000
"""Calls in a row, and masks in them, that may be answered from memory before the search counts as stalled."""


class MaskProblem:
    """What a strategy searches on. Made by the host, one for each run.

    Attributes:
        space: the mask space: layers, shapes, offsets, ``size`` = D.
        sparsity: fraction to prune.
        n_kept: weights a ticket keeps, exactly.
        recipe: the task's full training.
        fidelity: steps of the evaluator's short training.
        train_size: examples in the training split: one epoch.
        steps_per_epoch: optimiser steps in one epoch.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        validation: Split,
        recipe: Recipe,
        fidelity: int,
        initial: Weights,
        sparsity: float,
        meter: Meter,
        ledger: Ledger,
        seed: int,
        progress: Callable[[MaskProblem], None] | None = None,
    ) -> None:
        self.space: MaskSpace = engine.layout.space
        self.sparsity = sparsity
        self.n_kept = self.space.n_kept(sparsity)
        self.recipe = recipe
        self.fidelity = fidelity
        self.train_size = meter.train_size
        self.steps_per_epoch = meter.train_size // recipe.batch_size
        self.incumbent: Incumbent | None = None
        self._engine, self._validation, self._initial = engine, validation, initial
        self._meter, self._journal, self._seed, self._progress = meter, Journal(ledger), seed, progress
        self._pricing = Pricing(self.space)
        self._known: dict[tuple[str, int], Score] = {}
        self._calls = {"train": 0, "gradients": 0}
        self._batches: dict[int, IntArray] = {}
        self._interrupted = False
        self._free_calls = self._free_masks = 0

    # -- free ---------------------------------------------------------------------------------------------------------

    @property
    def remaining(self) -> float:
        """What is left of the budget, in epochs of the dense network."""
        return self._meter.remaining_epochs

    @property
    def spent(self) -> Cost:
        """What was spent so far."""
        return self._meter.spent

    @property
    def spent_fraction(self) -> float:
        """Spent / budget, in [0, 1]: the clock of a cooling schedule."""
        limit = self._meter.limit_thirds
        return self._meter.spent.thirds / limit if limit else 0.0

    @property
    def trials(self) -> int:
        """Trials so far."""
        return self._journal.length

    def initial_weights(self) -> Weights:
        """A copy of the run's initial weights, ``(D,)`` and ``(R,)``."""
        return Weights(self._initial.vector.copy(), self._initial.rest.copy())

    def rng(self, name: str) -> np.random.Generator:
        """The run's random stream of that name, from its beginning: ask once and hold on to it."""
        return stream(self._seed, "strategy", name)

    def evaluation_cost(self, fidelity: int | None = None) -> float:
        """Epochs one evaluation costs."""
        return self._evaluation_thirds(self._steps(fidelity)) / (3 * self._meter.train_size)

    def steps_for(self, trainings: int, *, reserve: float = 0.0) -> int:
        """Steps each of several equal trainings may take: the full recipe, or less if the budget says so.

        Args:
            trainings: how many are planned.
            reserve: fraction of what is left to be kept for other uses.

        Raises:
            InvalidValue: not even one step each is affordable.
        """
        batch = self.recipe.batch_size
        thirds = int(self._meter.remaining_thirds * (1 - reserve)) if self._meter.limit_thirds is not None else None
        steps = self.recipe.steps if thirds is None else min(self.recipe.steps, thirds // (3 * batch * trainings))
        if steps < 1:
            need = trainings * batch / self._meter.train_size / (1 - reserve)
            raise InvalidValue(
                f"{self.remaining:.4g}ep are too little for {trainings} trainings of at least one step; "
                f"they need {at_least(need)}"
            )
        return steps

    # -- metered ------------------------------------------------------------------------------------------------------

    def evaluate(self, masks: BoolArray | Sequence[BoolArray], fidelity: int | None = None) -> list[Score]:
        """Score masks: a short training of each from the initial weights, then validation.

        All masks of a run see the same batches from the same start. A mask scored before at this fidelity is
        answered from memory, free. If the budget covers only some of them, those are trained and recorded before
        the error is raised.

        Args:
            masks: ``(P, D)``, or a sequence of ``(D,)``; each keeps exactly ``n_kept`` weights.
            fidelity: steps; default the task's. 0 scores the untrained masked network.

        Returns:
            P scores, in order.

        Raises:
            BudgetExhausted: not all of the masks are affordable.
            SearchStalled: a thousand masks in a row were known.
            StrategyError: wrong shape, type or number of kept weights.
        """
        with self._verb():
            steps = self._steps(fidelity)
            population = self._population(masks)
            keys = [(digest(mask), steps) for mask in population]
            new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
            rows = sorted(new.values())
            self._count_call(0 if rows else len(keys))
            unit = self._evaluation_thirds(steps)
            affordable = int(min(len(rows), self._meter.remaining_thirds // unit if unit else len(rows)))
            for first in range(0, affordable, SLAB):
                chosen = rows[first : min(first + SLAB, affordable)]
                self._evaluate_slab(population[chosen], [keys[row] for row in chosen], steps)
            if affordable < len(rows):
                raise BudgetExhausted(
                    f"an evaluation costs {self.evaluation_cost(steps):.4g}ep, {self.remaining:.4g}ep are left"
                )
            return [self._known[key] for key in keys]

    def train(
        self,
        mask: BoolArray | None = None,
        *,
        start: Weights | None = None,
        recipe: Recipe | None = None,
        first_step: int = 0,
        every: int | str | None = None,
        at: Sequence[int] = (),
        validate: bool = False,
        relaxation: Relaxation | None = None,
    ) -> Iterator[Snapshot]:
        """Train one masked network; a generator: ``break`` and the rest is neither run nor paid.

        Args:
            mask: ``(D,)``, any number of kept weights; ``None`` = the dense network.
            start: start weights; default the initial ones.
            recipe: default the task's; ``problem.recipe.lasting(n)`` is the same over n steps.
            first_step: step of the recipe to begin at: the position in its schedule.
            every: a snapshot every so often: ``"1ep"``, ``"50step"`` or a number of steps.
            at: further steps to take snapshots at. The last step always gives one.
            validate: measure each snapshot on the validation split (forward passes, metered).
            relaxation: train other vectors, from which the weights follow; priced as the dense network. No ``mask``.

        Yields:
            Snapshots. Each call draws its own data order.

        Raises:
            BudgetExhausted: when the next stretch is not affordable.
            StrategyError: the network diverged, or arguments do not fit.
        """
        recipe = recipe or self.recipe
        if not 0 <= first_step <= recipe.steps:
            raise StrategyError(f"train: first_step {first_step} is outside the recipe's {recipe.steps} steps")
        if recipe.batch_size > self._meter.train_size:
            raise StrategyError(f"train: batch_size {recipe.batch_size} of {self._meter.train_size} examples")
        kept, begin = self._one_mask(mask), self._start(start)
        wanted = {recipe.steps} | {step for step in at if first_step < step <= recipe.steps}
        if every is not None:
            stride = parse_steps(every, self.steps_per_epoch, "every")
            if stride < 1:
                raise StrategyError(f"train: every={every!r} is less than one step")
            wanted |= set(range(first_step + stride, recipe.steps + 1, stride))
        number = self._calls["train"]
        self._calls["train"] += 1
        order = batch_indices(
            self._meter.train_size, recipe.batch_size, recipe.steps, stream(self._seed, "train", number)
        )[first_step:]
        job = Job(kept[None], begin, recipe, order, first_step)
        stops = sorted(step - first_step for step in wanted if step > first_step)
        if relaxation is None:
            return self._training(
                job, stops, validate, lambda ticks: ((*out, {}) for out in self._engine.train(job, ticks))
            )
        if mask is not None:
            raise StrategyError("train: a relaxation decides which weights are zero; give no mask")
        seed = int(stream(self._seed, "relaxation", number).integers(2**62))
        return self._training(
            job, stops, validate, lambda ticks: self._engine.train_relaxed(job, relaxation, ticks, seed)
        )

    def gradients(self, mask: BoolArray | None, examples: int, *, start: Weights | None = None) -> FloatArray:
        """Loss gradient ``(D,)`` with respect to every prunable weight, pruned ones included.

        Args:
            mask: where the weights are zero; ``None`` = nowhere.
            examples: how many training examples, drawn without replacement; each call draws its own.
            start: the weights; default the initial ones.
        """
        return self._derivative("gradients", mask, start, examples, 1, self._engine.gradients)

    def hessian_gradient(
        self, mask: BoolArray | None, examples: int, *, temperature: float = 200.0, start: Weights | None = None
    ) -> FloatArray:
        """Hessian times gradient of the loss, ``(D,)``, the logits divided by ``temperature``; twice the price.

        The arguments are those of :meth:`gradients`.
        """

        def compute(weights: Weights, chosen: IntArray) -> FloatArray:
            return self._engine.hessian_gradient(weights, chosen, temperature)

        return self._derivative("hessian_gradient", mask, start, examples, 2, compute)

    def synaptic_flow(self, mask: BoolArray | None, *, start: Weights | None = None) -> ScoreArray:
        """SynFlow's scores of all weights, ``(D,)``: no data, the price of one training example."""
        with self._verb():
            kept, weights = self._one_mask(mask), self._start(start)
            before = self._meter.spent
            self._meter.charge(self._pricing.training(kept, 1))
            with self._meter.engine():
                scores = self._engine.synaptic_flow(Weights(np.where(kept, weights.vector, 0), weights.rest))
            self._record(("synaptic_flow", digest(kept), 1), before)
            return scores

    # -- the host's ---------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Let the batch in progress be finished and recorded, then raise KeyboardInterrupt out of the verb."""
        self._interrupted = True

    @property
    def interrupted(self) -> bool:
        """Whether :meth:`interrupt` was called."""
        return self._interrupted

    # -- inside -------------------------------------------------------------------------------------------------------

    def _evaluate_slab(self, masks: BoolArray, keys: list[tuple[str, int]], steps: int) -> None:
        """Charge, run (or replay) and record masks none of which is known."""
        prices = [self._evaluation(mask, steps) for mask in masks]
        questions: list[Question] = [("evaluate", *key) for key in keys]
        before = self._meter.spent
        self._meter.charge(sum(prices, Cost()))
        if self._journal.replaying:
            trials = [self._journal.replay(question) for question in questions]
            scores = [Score.of(trial.score, trial.loss, trial.reason) for trial in trials]
        else:
            scores = self._short_trainings(masks, steps)
            seconds = (self._meter.spent - before).seconds().shared(len(prices))
            self._journal.record(questions, scores, list(accumulate([before, *(price + seconds for price in prices)])))
        for mask, key, score in zip(masks, keys, scores, strict=True):
            self._known[key] = score
            best = self.incumbent
            if not score.failed and (best is None or (steps, score) > (best.fidelity, best.score)):
                self.incumbent = Incumbent(mask.copy(), score, steps)
        self._tell()
        self._stop_if_interrupted()

    def _short_trainings(self, masks: BoolArray, steps: int) -> list[Score]:
        if steps not in self._batches:  # drawn once per fidelity: the same batches for every mask of the run
            rng = stream(self._seed, "evaluate")
            self._batches[steps] = batch_indices(self._meter.train_size, self.recipe.batch_size, steps, rng)
        with self._meter.engine():
            job = Job(masks, self._initial, self.recipe.lasting(steps), self._batches[steps])
            measures = self._engine.evaluate(job, self._validation)
        return [Score.of(a, b) for a, b in zip(measures.accuracy.tolist(), measures.loss.tolist(), strict=True)]

    def _training(
        self, job: Job, stops: list[int], validate: bool, run: Callable[[tuple[int, ...]], Iterator[Relaxed]]
    ) -> Iterator[Snapshot]:
        """The generator behind :meth:`train`; stretches of at most an epoch, each charged before it runs."""
        mask, wanted, last = job.masks[0], set(stops), max(stops, default=0)
        ticks = sorted(wanted | set(range(self.steps_per_epoch, last, self.steps_per_epoch)))
        running = run(tuple(ticks))
        before, done, seen, loss = self._meter.spent, 0, 0, 0.0
        score: Score | None = None
        repeatable = False  # whether a resumed run would end this training at the same step
        try:
            for tick in ticks:
                with self._verb():
                    measuring = validate and tick in wanted
                    self._meter.charge(self._stretch(job, tick - done, first=done == 0, measuring=measuring))
                    with self._meter.engine():
                        weights, losses, trained = next(running)
                    loss += float(losses[0]) * (tick - done)
                    done = tick
                    if not np.isfinite(loss):
                        score = Score.of(None, None, f"training diverged before step {job.first_step + tick}")
                        raise StrategyError(f"{score.reason}; lower the rate")
                    if measuring:
                        score = self._measured(weights)
                    self._tell()
                if tick in wanted:
                    own = Weights(weights.vector[0], weights.rest[0])
                    yield Snapshot(job.first_step + tick, own, loss / (tick - seen), score, trained)
                    seen, loss = tick, 0.0
            repeatable = True
        except (TicketsearchError, GeneratorExit):
            repeatable = True
            raise
        finally:
            if done and repeatable and not self._interrupted:
                self._record(("train", digest(mask), done), before, score)

    def _derivative(
        self,
        kind: Literal["gradients", "hessian_gradient"],
        mask: BoolArray | None,
        start: Weights | None,
        examples: int,
        price: int,
        compute: Callable[[Weights, IntArray], FloatArray],
    ) -> FloatArray:
        """Charge, draw examples, compute, record."""
        with self._verb():
            if not 1 <= examples <= self._meter.train_size:
                raise StrategyError(f"{kind}: {examples} examples of {self._meter.train_size}")
            kept, weights = self._one_mask(mask), self._start(start)
            rng = stream(self._seed, "gradients", self._calls["gradients"])
            self._calls["gradients"] += 1
            before = self._meter.spent
            self._meter.charge(self._pricing.training(kept, price * examples))
            with self._meter.engine():
                chosen: IntArray = rng.choice(self._meter.train_size, examples, replace=False).astype(np.int64)
                result = compute(Weights(np.where(kept, weights.vector, 0), weights.rest), chosen)
            self._record((kind, digest(kept), examples), before)
            return result

    def _stretch(self, job: Job, steps: int, *, first: bool, measuring: bool) -> Cost:
        """The price of some steps of one training, and of a validation after them."""
        mask = job.masks[0]
        cost = self._pricing.training(mask, steps * job.recipe.batch_size) + Cost(trainings=int(first))
        return cost + self._pricing.forward(mask, len(self._validation.labels)) if measuring else cost

    def _measured(self, weights: Weights) -> Score:
        with self._meter.engine():
            measures = self._engine.measure(weights, self._validation)
        return Score.of(float(measures.accuracy[0]), float(measures.loss[0]))

    def _record(self, question: Question, before: Cost, score: Score | None = None) -> None:
        """Record a call that a replay makes anew, because its result is not in the ledger."""
        if self._journal.replaying:
            self._journal.replay(question)
        else:
            self._journal.record([question], [score], [before, self._meter.spent])
            self._tell()

    def _count_call(self, known: int) -> None:
        """Count calls that asked only for known masks, and how many; a call with a new one begins anew."""
        self._free_calls, self._free_masks = (self._free_calls + 1, self._free_masks + known) if known else (0, 0)
        if self._free_calls > FREE_CALLS and self._free_masks > FREE_MASKS:
            raise SearchStalled(f"the last {self._free_masks} masks asked for were scored already: nothing new to find")

    def _steps(self, fidelity: int | None) -> int:
        steps = self.fidelity if fidelity is None else fidelity
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
            raise StrategyError(f"evaluate: fidelity {fidelity!r} is not a number of steps")
        return int(steps)

    def _population(self, masks: object, *, exact: bool = True) -> BoolArray:
        """``(P, D)`` booleans with the right count, or a StrategyError that says what is wrong."""
        try:
            population: npt.NDArray[np.generic] = np.asarray(masks)
        except ValueError as error:
            raise StrategyError(f"masks must be booleans of shape (P, {self.space.size}): {error}") from error
        if population.dtype != np.bool_ or population.ndim != 2 or population.shape[1] != self.space.size:
            raise StrategyError(
                f"masks must be booleans of shape (P, {self.space.size}), got {population.dtype} {population.shape}"
            )
        for row, mask in enumerate(population if exact else ()):
            if (kept := int(np.count_nonzero(mask))) != self.n_kept:
                raise StrategyError(
                    f"mask {row} keeps {kept} of {self.space.size} weights; "
                    f"sparsity {self.sparsity} keeps {self.n_kept}"
                )
        return population.astype(bool, copy=False)

    def _one_mask(self, mask: BoolArray | None) -> BoolArray:
        """A mask of any count, or the dense network's."""
        return np.ones(self.space.size, dtype=bool) if mask is None else self._population([mask], exact=False)[0]

    def _start(self, start: Weights | None) -> Weights:
        """Start weights that fit, by default the initial ones."""
        if start is None:
            return self._initial
        shapes = start.vector.shape, start.rest.shape
        needed = self._initial.vector.shape, self._initial.rest.shape
        if shapes != needed:
            raise StrategyError(f"start weights have shapes {shapes}; needed: {needed}")
        return start

    def _evaluation_thirds(self, steps: int) -> int:
        """Budget units of one evaluation, the same for every mask."""
        return 3 * steps * self.recipe.batch_size + len(self._validation.labels)

    def _evaluation(self, mask: BoolArray, steps: int) -> Cost:
        """The price of one evaluation."""
        training = self._pricing.training(mask, steps * self.recipe.batch_size)
        return training + self._pricing.forward(mask, len(self._validation.labels)) + Cost(trainings=int(steps > 0))

    @contextmanager
    def _verb(self) -> Iterator[None]:
        self._meter.lap(strategy=True)
        try:
            self._stop_if_interrupted()
            yield
            self._stop_if_interrupted()
        finally:
            self._meter.lap(strategy=False)

    def _stop_if_interrupted(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt

    def _tell(self) -> None:
        if self._progress:
            self._progress(self)
