"""What a search would have returned had it ended earlier, and how well its short scores foretold it.

Accuracy against cost needs *confirmed* accuracy: the score a search climbs is the one it may be exploiting. So masks
it held on the way are trained in full as the ticket is. None of this is charged to the search.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ticketsearch.arrays import BoolArray, ScoreArray
from ticketsearch.checkpoints import Checkpoints, identity_of
from ticketsearch.confirm import Tick, data_order, population
from ticketsearch.cost import Cost
from ticketsearch.engine import Engine, Job, batch_indices
from ticketsearch.masks import digest
from ticketsearch.results import Checkpoint, Confirmation, CostRecord
from ticketsearch.scores import Incumbent
from ticketsearch.seeds import stream
from ticketsearch.spec import Spec
from ticketsearch.tasks import Task
from ticketsearch.tickets import Ticket, Weights
from ticketsearch.units import Units, weight_units

FIDELITIES = (0.25, 0.5, 1, 2, 4, 8)
"""Lengths of the evaluator's training, as multiples of the run's, at which a ticket's mask is scored afterwards."""


def confirmed_curve(
    engine: Engine,
    task: Task,
    spec: Spec,
    initial: Weights,
    incumbents: Sequence[Incumbent],
    ticket: Ticket,
    spent: Cost,
    confirmed: Confirmation,
    tick: Tick,
    checkpoints: Checkpoints | None = None,
    units: Units | None = None,
) -> list[Checkpoint]:
    """Checkpoints of a search by ascending cost, the ticket last.

    Args:
        engine: trains them.
        task: recipe, data, test split.
        spec: the run's: seed, data orders, number of checkpoints.
        initial: the run's initial weights.
        incumbents: best masks of the search, first to last.
        ticket: what it ended with: the last of them, without weights of its own, or one that the strategy returned,
            which was there to be had only at the end.
        spent: the cost of the search.
        confirmed: of the ticket.
        tick: progress.
        checkpoints: keep each data order's trainings for a resumed run.
        units: what the masks of incumbents are of; default the weights.
    """
    units = units or weight_units(engine.layout.space)
    size, last = len(task.train.labels), digest(units.collapse(ticket.mask))
    earlier = [one for one in milestones(incumbents, spec.checkpoints) if digest(one.mask) != last]
    masks = np.array([one.mask for one in earlier], dtype=bool).reshape(len(earlier), units.space.size)
    accuracies = confirm_masks(engine, task, masks, initial, spec.seed, spec.orders, tick, checkpoints, units)
    best = incumbents[-1] if incumbents else None
    own = best if best and ticket.weights is None and digest(best.mask) == last else None

    def checkpoint(cost: Cost, scored: Incumbent | None, test: float, validation: float, mask: BoolArray) -> Checkpoint:
        return Checkpoint(
            cost=CostRecord.model_validate(cost.as_dict(size)),
            search_score=scored.score.value if scored else None,
            fidelity=scored.fidelity if scored else None,
            test_accuracy=test,
            validation_accuracy=validation,
            mask_digest=digest(mask),
        )

    wholes = units.expand(masks)
    found = [
        checkpoint(one.cost, one, *both, mask) for one, both, mask in zip(earlier, accuracies, wholes, strict=True)
    ]
    accuracy = confirmed.test_accuracy, confirmed.validation_accuracy
    return [*found, checkpoint(own.cost if own else spent, own, *accuracy, ticket.mask)]


def milestones(incumbents: Sequence[Incumbent], count: int) -> list[Incumbent]:
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
    engine: Engine,
    task: Task,
    masks: BoolArray,
    initial: Weights,
    seed: int,
    orders: int,
    tick: Tick,
    checkpoints: Checkpoints | None = None,
    units: Units | None = None,
) -> list[tuple[float, float]]:
    """Test and validation accuracy of each of ``(P, U)`` masks of units over the initial weights.

    They are means over data orders: those of the ticket's confirmation, one after another, each shared by all masks.
    """
    if not len(masks):
        return []
    units = units or weight_units(engine.layout.space)
    accuracies = np.zeros((orders, 2, len(masks)))
    checkpoints, identity = checkpoints or Checkpoints(), identity_of(masks)
    for index in range(orders):
        if kept := checkpoints.load(f"curve-{index}", identity):
            accuracies[index] = kept.arrays["accuracies"]
            continue
        order = data_order(task, seed, index)
        job = population([units.ticket(Ticket(mask)) for mask in masks], initial, task.recipe, order)
        trained = [weights for weights, _ in engine.train(job, (job.steps,))][-1]
        accuracies[index] = [engine.measure(trained, split).accuracy for split in (task.test, task.validation)]
        checkpoints.save(f"curve-{index}", identity, {"accuracies": accuracies[index]})
        tick("checkpoints", (index + 1) / orders)
    return [(float(test), float(validation)) for test, validation in accuracies.mean(0).T]


def short_scores(
    engine: Engine,
    task: Task,
    masks: BoolArray,
    initial: Weights,
    seed: int,
    fidelity: int,
    units: Units | None = None,
) -> dict[int, ScoreArray]:
    """Scores ``(P,)`` that the run's evaluator would give masks of units ``(P, U)``, by its steps.

    These are a quarter to eight times ``fidelity``; the batches are the evaluator's
    (:class:`ticketsearch.evaluator.Evaluator`).
    """
    units, scores = units or weight_units(engine.layout.space), {}
    for steps in sorted({min(int(fidelity * factor), task.recipe.steps) for factor in FIDELITIES}):
        rng = stream(seed, "evaluate")
        batches = batch_indices(len(task.train.labels), task.recipe.batch_size, steps, rng)
        recipe = task.recipe.lasting(steps)
        job = Job(units.expand(masks), initial, recipe, batches, rest_mask=units.rest_mask(masks))
        scores[steps] = engine.evaluate(job, task.validation).accuracy
    return scores
