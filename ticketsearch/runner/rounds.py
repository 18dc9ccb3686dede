"""Accuracies of the networks that an iterative search trained on its way: one run, a curve over sparsity.

IMP trains a network in each round, prunes it and goes on. Those networks are there, so they are measured as well: on
the validation and the test split, once the search has ended. It is not charged, and it never sees the test split. The
last point is the ticket, which no round trained: it is the confirmation's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import Meter
from ticketsearch.masks import digest
from ticketsearch.masks.ticket import Weights
from ticketsearch.masks.units import Units
from ticketsearch.problem.scores import TrainedRound
from ticketsearch.records.results import Confirmation, CostRecord, RoundRecord
from ticketsearch.runner.setup import Setup


def measured_rounds(
    setup: Setup, rounds: Sequence[TrainedRound], ticket: BoolArray, confirmed: Confirmation
) -> list[RoundRecord]:
    """One record for each round that a search reported, and one for its ticket; none if it reported none.

    Args:
        setup: the run's.
        rounds: as the strategy reported them, in order.
        ticket: its mask of weights, ``(D,)``.
        confirmed: of the ticket.
    """
    found = [_measured(setup, number, one) for number, one in enumerate(rounds)]
    if not found:
        return []
    kept = _Kept.of(ticket, setup.units)
    last = RoundRecord(
        round=len(found),
        **vars(kept),
        step=setup.task.recipe.steps,
        validation_accuracy=confirmed.validation_accuracy,
        test_accuracy=confirmed.test_accuracy,
        trainings=len(confirmed.test_accuracies),
        cost=confirmed.cost,
    )
    return [*found, last]


@dataclass(frozen=True)
class _Kept:
    """What a mask ``(D,)`` of weights keeps."""

    n_kept: int
    n_units_kept: int
    sparsity: float
    mask_digest: str

    @classmethod
    def of(cls, mask: BoolArray, units: Units) -> _Kept:
        own = int(np.count_nonzero(units.collapse(mask)))
        return cls(int(np.count_nonzero(mask)), own, 1 - own / units.space.size, digest(mask))


def _measured(setup: Setup, number: int, one: TrainedRound) -> RoundRecord:
    engine, task, units = setup.engine, setup.task, setup.units
    meter, mask = Meter(len(task.train.labels)), units.expand(one.mask)
    meter.charge(setup.pricing.forward(mask, len(task.validation.labels) + len(task.test.labels)))
    weights = Weights(one.weights.vector[None], one.weights.rest[None])
    with meter.engine():
        validation, test = (float(engine.measure(weights, split).accuracy[0]) for split in (task.validation, task.test))
    meter.lap(strategy=False)
    return RoundRecord(
        round=number,
        **vars(_Kept.of(mask, units)),
        step=one.step,
        validation_accuracy=validation,
        test_accuracy=test,
        trainings=1,
        cost=CostRecord.model_validate(meter.spent.as_dict(meter.train_size)),
    )
