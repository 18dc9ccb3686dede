"""Iterative magnitude pruning: train, prune the smallest survivors, rewind, repeat.

Source: Frankle & Carbin (arXiv:1803.03635); rewinding to step k > 0: Frankle et al. (arXiv:1912.05671). The last
round's cut is solved so that the ticket keeps exactly the number asked for; the papers stop near it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.arrays import BoolArray, IntArray, ScoreArray
from ticketsearch.cost import parse_steps
from ticketsearch.errors import InvalidValue
from ticketsearch.masks import MaskSpace, apportion, ranked_within, top_per_layer
from ticketsearch.masks.criteria import OF_TRAINED, CriterionScores, trained_scores
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.masks.units import Units
from ticketsearch.problem import KnownProblem, MaskProblem
from ticketsearch.problem.scores import Snapshot
from ticketsearch.strategies.options import Fraction, PruningOptions
from ticketsearch.strategies.stability import Stability

MAX_ROUNDS = 10_000


@dataclass(frozen=True)
class Round:
    """One of several rounds.

    Attributes:
        number: from 0.
        rounds: how many there are.
        steps: of its schedule.
        rewind: the step that survivors return to.
        last: the step that it ends at.
    """

    number: int
    rounds: int
    steps: int
    rewind: int
    last: int


@dataclass(frozen=True)
class IterativeMagnitudePruning(PruningOptions):
    """Prune a little in each of several trainings.

    Attributes:
        criterion: what survives: ``large_final`` is magnitude; see :mod:`ticketsearch.masks.criteria`.
        l1: coefficient of an L1 term in the loss while searching.
        hoyer: coefficient of DeepHoyer's term.
        rounds: number of trainings, all pruning the same fraction of the survivors; by default what ``rate`` needs.
        rate: fraction of the survivors pruned in a round, when ``rounds`` is not given.
        schedule: ``geometric``: each round prunes the same fraction of the survivors; ``linear``: the same number of
            weights.
        sparsities: fractions pruned after each round but the last, in place of ``rounds``, ``rate`` and ``schedule``.
        scope: ``global``: one threshold for all layers; ``layer``: the same rate in each.
        output_rate: under ``scope=layer``, the output layer's rate as a fraction of the others'.
        rewind: the step survivors return to: 0, ``"500step"``, ``"1ep"``. It is a step of the round, and confirmation
            goes on at the same step of the full recipe: the same place if rounds are as long as that.
        round_steps: length of a round, ``"10ep"``, or ``"20%"`` of the full recipe; by default the full recipe, or an
            equal share of the budget.
        prune_at: step of a round at which survivors are chosen, and the round ends; by default its last.
        restart: what each round goes back to: ``weights``: survivors and schedule return to step ``rewind``; or
            ``learning-rate``: the schedule does, survivors keep what they were trained to (Renda et al.,
            arXiv:2003.02389).
        lr_restart: begin each round at the schedule's learning rate of step ``rewind``; switched off, one schedule
            spans all rounds and the rate goes on falling.
        stop: end a round once the mask it would give has settled, by ``normalised`` or ``raw`` distance over the last
            ``queue`` epochs; ``never`` trains every round to its end.
        queue: masks compared.
        threshold: largest distance that counts as unchanged; default 0.1 ``raw``, as published, 0.2 ``normalised``.
        mask_1: what kept weights start from, in each round and in the ticket; see :mod:`ticketsearch.masks.actions`.
        mask_0: what pruned weights are held at.
    """

    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] | None = None
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.2
    schedule: Literal["geometric", "linear"] = "geometric"
    sparsities: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    scope: Literal["global", "layer"] = "layer"
    output_rate: Fraction = 0.5
    rewind: int | str = 0
    round_steps: int | str | None = None
    prune_at: int | str | None = None
    restart: Literal["weights", "learning-rate"] = "weights"
    lr_restart: bool = True
    stop: Literal["never", "normalised", "raw"] = "never"
    queue: Annotated[int, Field(ge=2)] = 5
    threshold: Fraction | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restart == "learning-rate" and (self.mask_1, self.mask_0) != ("rewind", "zero"):
            raise InvalidValue("restart=learning-rate keeps trained weights; mask_1 and mask_0 act on initial ones")
        if any(after <= before for before, after in pairwise(self.sparsities)):
            raise InvalidValue(f"sparsities {list(self.sparsities)} do not rise from round to round")
        if self.prune_at is not None and not self.lr_restart:
            raise InvalidValue("prune_at ends rounds early; lr_restart=false spans one schedule over whole rounds")

    def trainings(self, problem: KnownProblem) -> float:
        """A round's length for each round."""
        rounds = len(self.plan(problem.space, problem.n_kept))
        steps = problem.recipe.steps if self.round_steps is None else self._length(problem)
        return rounds * steps / problem.recipe.steps

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one training for each round."""
        plan = self.plan(problem.space, problem.n_kept)
        steps = self._round_steps(problem, len(plan))
        rewind = parse_steps(self.rewind, problem.steps_per_epoch, "rewind")
        if rewind >= steps:
            raise InvalidValue(f"rewind {self.rewind!r} is not before the end of a round of {steps} steps")
        last_step = steps if self.prune_at is None else parse_steps(self.prune_at, problem.steps_per_epoch, "prune_at")
        if not rewind < last_step <= steps:
            raise InvalidValue(
                f"prune_at {self.prune_at!r} is not after step {rewind}, within a round of {steps} steps"
            )
        origin = problem.initial_weights()
        ticket, trained, lengths = Ticket(np.ones(problem.space.size, dtype=bool), origin), origin, []
        for number, counts in enumerate(plan):
            mask, last = ticket.mask, None
            stability = Stability(self.queue, self.threshold, self.stop == "normalised")
            for snapshot in self._round(problem, ticket, Round(number, len(plan), steps, rewind, last_step)):
                if number == 0 and snapshot.step == rewind:
                    origin = snapshot.weights
                last = snapshot
                if self.stop == "never" or (number == 0 and snapshot.step < rewind):
                    continue
                scores = self._scores(problem, snapshot.weights)
                if stability.settled(self._prune(problem.space, mask, scores, counts)[mask]):  # of survivors only:
                    break  # what was pruned before agrees in any two masks
            assert last is not None  # a round has at least one step
            lengths.append(last.step)
            problem.record_round(mask, last)
            trained = self._last_alive(problem.units, mask, last.weights, trained)
            scores = self._scores(problem, trained)
            order = ranked_within(mask, scores, ticket.scores)
            mask = self._prune(problem.space, mask, scores, counts)
            if self.restart == "weights":
                ticket = self.ticket(problem, mask, origin, trained.vector)
            else:
                ticket = Ticket(mask, last.weights)
            ticket = replace(ticket, scores=order)
        if self.stop != "never":
            problem.note(stopped_at_steps=lengths, full_steps=steps)
        return replace(ticket, step=rewind if plan else 0)

    def _round(self, problem: MaskProblem, ticket: Ticket, plan: Round) -> Iterator[Snapshot]:
        """Snapshots of one round: at the step to rewind to, each epoch if the round may stop early, and at the end."""
        first = plan.rewind if plan.number else 0
        shift = 0 if self.lr_restart else plan.number * plan.steps
        recipe = self.recipe(problem).lasting(plan.steps if self.lr_restart else plan.rounds * plan.steps)
        every = None if self.stop == "never" else "1ep"
        end = shift + plan.last
        for snapshot in problem.train(
            ticket.mask,
            start=ticket.weights,
            held=ticket.held,
            recipe=recipe,
            first_step=shift + first,
            every=every,
            at=(plan.rewind, end),
        ):
            yield snapshot
            if snapshot.step == end < recipe.steps:
                break

    def _round_steps(self, problem: MaskProblem, rounds: int) -> int:
        if self.round_steps is None:
            return problem.steps_for(max(1, rounds))
        steps = self._length(problem)
        need = rounds * steps / problem.steps_per_epoch
        if steps < 1 or need > problem.remaining:
            raise InvalidValue(
                f"{rounds} rounds of round_steps {self.round_steps!r} need {need:.4g}ep; "
                f"the budget is {problem.remaining:.4g}ep"
            )
        return steps

    def _length(self, problem: KnownProblem) -> int:
        """Steps of a round, as they are set: a share of the recipe, or a number."""
        if match := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", str(self.round_steps), re.ASCII):
            return round(problem.recipe.steps * float(match[1]) / 100)
        assert self.round_steps is not None
        return parse_steps(self.round_steps, problem.steps_per_epoch, "round_steps")

    @staticmethod
    def _last_alive(units: Units, mask: BoolArray, now: Weights, before: Weights) -> Weights:
        """Final weights; a pruned weight keeps its value from the round that pruned it."""
        rest_mask = units.rest_mask(mask)
        rest = now.rest if rest_mask is None else np.where(rest_mask, now.rest, before.rest)
        return Weights(np.where(units.expand(mask), now.vector, before.vector), rest)

    def _scores(self, problem: MaskProblem, trained: Weights) -> npt.NDArray[np.floating]:
        if self.criterion in OF_TRAINED:
            return trained_scores(self.criterion, problem.units, problem.initial_weights(), trained)
        return CriterionScores(problem)(self.criterion)

    def _prune(
        self, space: MaskSpace, mask: BoolArray, scores: npt.NDArray[np.floating], counts: IntArray
    ) -> BoolArray:
        surviving = np.where(mask, scores, -np.inf)
        if self.scope == "global":
            return space.top(surviving, int(counts.sum()))
        return top_per_layer(surviving, counts, space)

    def plan(self, space: MaskSpace, n_kept: int) -> list[IntArray]:
        """Kept units per layer after each round, ``(L,)`` each; under ``global`` only their sum is used."""
        if n_kept == space.size:
            return []
        relative = np.ones(len(space.layers))  # a layer's rate, relative to the rate
        if self.scope == "layer" and space.output and len(relative) > 1:
            relative[-1] = self.output_rate
        if self.sparsities:
            densities = _rounds_through(space, n_kept, relative, [1 - sparsity for sparsity in self.sparsities])
        elif self.schedule == "linear":
            rounds = self.rounds or len(_rounds_at_rate(space, n_kept, relative, self.rate))
            pruned = 1 - n_kept / space.size
            means = [1 - pruned * done / rounds for done in range(1, rounds)]
            densities = _rounds_through(space, n_kept, relative, means)
        elif self.rounds is not None:
            densities = _equal_rounds(space, n_kept, relative, self.rounds)
        else:
            densities = _rounds_at_rate(space, n_kept, relative, self.rate)
        totals = [round(float((space.sizes * density).sum())) for density in densities[:-1]] + [n_kept]
        plan, alive = [], space.sizes
        for density, total in zip(densities, totals, strict=True):
            alive = apportion(space.sizes * density, max(total, n_kept), alive, space.floors)  # no layer may regrow
            plan.append(alive)
        return plan


def _equal_rounds(space: MaskSpace, n_kept: int, relative: ScoreArray, rounds: int) -> list[ScoreArray]:
    """Densities after 1..rounds rounds at the one rate that ends at ``n_kept`` weights."""

    def excess(rate: float) -> float:
        return float((space.sizes * (1 - rate * relative) ** rounds).sum()) - n_kept

    from scipy.optimize import brentq

    rate = brentq(excess, 0.0, 1.0, xtol=1e-15) if excess(1.0) < 0 else 1.0
    return [(1 - rate * relative) ** done for done in range(1, rounds + 1)]


def _rounds_at_rate(space: MaskSpace, n_kept: int, relative: ScoreArray, rate: float) -> list[ScoreArray]:
    """Densities after each round at a fixed rate; the last round's rate is lowered to end at ``n_kept`` weights."""
    densities: list[ScoreArray] = []
    density = np.ones(relative.size)
    while True:
        following = density * (1 - rate * relative)
        if float((space.sizes * following).sum()) <= n_kept + 0.5:
            alive = space.sizes * density
            last = (float(alive.sum()) - n_kept) / float((alive * relative).sum())
            return [*densities, density * (1 - last * relative)]
        densities.append(following)
        density = following
        if len(densities) >= MAX_ROUNDS:
            raise InvalidValue(f"rate {rate} needs more than {MAX_ROUNDS} rounds to reach {n_kept} weights")


def _rounds_through(
    space: MaskSpace, n_kept: int, relative: ScoreArray, densities: Sequence[float]
) -> list[ScoreArray]:
    """Densities after rounds that go through these mean densities, and end at ``n_kept`` weights.

    Raises:
        InvalidValue: one of them is below the end.
    """
    found, density = [], np.ones(relative.size)
    for mean in [*densities, n_kept / space.size]:
        alive = space.sizes * density
        if mean * space.size < n_kept - 0.5:
            raise InvalidValue(f"sparsities: {1 - mean:g} is beyond the run's, {1 - n_kept / space.size:g}")
        excess = float(alive.sum()) - mean * space.size
        if excess >= 0.5:  # else the round would prune nothing
            density = density * (1 - excess / float((alive * relative).sum()) * relative)
            found.append(density)
    return found
