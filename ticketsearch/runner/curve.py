"""What a search would have returned had it ended earlier, and how well its short scores foretold it.

Accuracy against cost needs *confirmed* accuracy: the score a search climbs is the one it may be exploiting. So masks
it held on the way are trained in full as the ticket is. None of this is charged to the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.cost import Cost
from ticketsearch.digests import digest_of
from ticketsearch.engine import Job, batch_indices
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem.scores import Belief, Incumbent
from ticketsearch.records.results import Checkpoint, Confirmation, CostRecord
from ticketsearch.records.resume import ResumeStore
from ticketsearch.records.spec import Spec
from ticketsearch.runner.confirm import data_order, population
from ticketsearch.runner.progress import Tick
from ticketsearch.runner.search import Searched
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import stream

Held: TypeAlias = Incumbent | Belief
"""What a search held at some cost."""
FIDELITIES = (0.25, 0.5, 1, 2, 4, 8)
"""Lengths of the evaluator's training, as multiples of the run's, at which a ticket's mask is scored afterwards."""


def confirmed_curve(
    setup: Setup,
    spec: Spec,
    found: Searched,
    confirmed: Confirmation,
    tick: Tick,
    resume: ResumeStore | None = None,
) -> list[Checkpoint]:
    """Checkpoints of a search by ascending cost, the ticket last.

    Args:
        setup: the run's.
        spec: the run's: data orders, number of checkpoints.
        found: what the search ended with: its beliefs, or else its incumbents, and a ticket that is the last of them,
            without weights of its own, or one that the strategy returned, which was there to be had only at the end.
        confirmed: of the ticket.
        tick: progress.
        resume: keeps each data order's trainings for a resumed run.
    """
    units, incumbents, ticket = setup.units, found.incumbents, found.ticket
    held_then: Sequence[Held] = found.beliefs or incumbents
    size, last = len(setup.task.train.labels), digest(units.collapse(ticket.mask))
    earlier = [one for one in milestones(held_then, spec.checkpoints) if digest(one.mask) != last]
    masks = np.array([one.mask for one in earlier], dtype=bool).reshape(len(earlier), units.space.size)
    accuracies = confirm_masks(setup, masks, spec.orders, tick, resume)
    best = held_then[-1] if held_then else None
    own = best if best and ticket.weights is None and digest(best.mask) == last else None

    def checkpoint(cost: Cost, then: Held | None, test: float, validation: float, mask: BoolArray) -> Checkpoint:
        scored = then if isinstance(then, Incumbent) else None
        return Checkpoint(
            cost=CostRecord.model_validate(cost.as_dict(size)),
            search_score=scored.score.value if scored else None,
            fidelity=scored.fidelity if scored else None,
            test_accuracy=test,
            validation_accuracy=validation,
            mask_digest=digest(mask),
        )

    wholes = units.expand(masks)
    held = [checkpoint(one.cost, one, *both, mask) for one, both, mask in zip(earlier, accuracies, wholes, strict=True)]
    accuracy = confirmed.test_accuracy, confirmed.validation_accuracy
    return [*held, checkpoint(own.cost if own else found.spent, own, *accuracy, ticket.mask)]


def milestones(incumbents: Sequence[Held], count: int) -> list[Held]:
    """What a search held at ``count`` costs, each twice the one before, the last that at which it found its best.

    Fewer where nothing new was found in between.
    """
    if not incumbents or not count:
        return []
    last = incumbents[-1].cost.thirds
    costs = [last / 2**back for back in range(count - 1, -1, -1)]
    affordable = [[one for one in incumbents if one.cost.thirds <= cost] for cost in costs]
    return list({digest(found[-1].mask): found[-1] for found in affordable if found}.values())


def confirm_masks(
    setup: Setup, masks: BoolArray, orders: int, tick: Tick, resume: ResumeStore | None = None
) -> list[tuple[float, float]]:
    """Test and validation accuracy of each of ``(P, U)`` masks of units over the initial weights.

    They are means over data orders: those of the ticket's confirmation, one after another, each shared by all masks.
    """
    if not len(masks):
        return []
    table = confirmed_table(setup, masks, orders, tick, resume)
    return [(float(test), float(validation)) for test, validation in table.mean(0).T]


def confirmed_table(
    setup: Setup, masks: BoolArray, orders: int, tick: Tick, resume: ResumeStore | None = None
) -> ScoreArray:
    """Test and validation accuracies of ``(P, U)`` masks on each data order, ``(orders, 2, P)``."""
    task, engine, resume = setup.task, setup.engine, resume or ResumeStore()
    accuracies, identity = np.zeros((orders, 2, len(masks))), digest_of(masks)
    for index in range(orders):
        if kept := resume.load(f"curve-{index}", identity):
            accuracies[index] = kept.arrays["accuracies"]
            continue
        order = data_order(task, setup.seed, index)
        job = population([setup.units.ticket(Ticket(mask)) for mask in masks], setup.initial, task.recipe, order)
        trained = [weights for weights, _ in engine.train(job, (job.steps,))][-1]
        accuracies[index] = [engine.measure(trained, split).accuracy for split in (task.test, task.validation)]
        resume.save(f"curve-{index}", identity, {"accuracies": accuracies[index]})
        tick("checkpoints", (index + 1) / orders)
    return accuracies


def short_scores(setup: Setup, masks: BoolArray, fidelity: int) -> dict[int, ScoreArray]:
    """Scores ``(P,)`` that the run's evaluator would give masks of units ``(P, U)``, by its steps.

    These are a quarter to eight times ``fidelity``; the batches are the evaluator's
    (:class:`ticketsearch.problem.evaluator.Evaluator`).
    """
    task, units, scores = setup.task, setup.units, {}
    for steps in sorted({min(int(fidelity * factor), task.recipe.steps) for factor in FIDELITIES}):
        rng = stream(setup.seed, "evaluate")
        batches = batch_indices(len(task.train.labels), task.recipe.batch_size, steps, rng)
        recipe = task.recipe.lasting(steps)
        job = Job(units.expand(masks), setup.initial, recipe, batches, rest_mask=units.rest_mask(masks))
        scores[steps] = setup.engine.evaluate(job, task.validation).accuracy
    return scores
