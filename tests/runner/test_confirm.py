from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.engines import torch_training
from ticketsearch import Split, Task, Ticket, Weights
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Job, Measures
from ticketsearch.masks import top_n
from ticketsearch.masks.controls import cycles
from ticketsearch.runner.confirm import confirm, data_order
from ticketsearch.runner.references import Shared, confirm_with_references
from ticketsearch.runner.setup import Setup
from ticketsearch.tasks.layout import read_weights


class Recording(tiny.WrappedEngine):
    """Keeps the jobs it is given and what it is asked to measure on."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.jobs: list[Job] = []
        self.measured: list[tuple[Split, Weights, Measures]] = []

    def train(self, job: Job, stops: tuple[int, ...]) -> Any:
        self.jobs.append(job)
        return super().train(job, stops)

    def measure(self, weights: Weights, split: Split) -> Measures:
        measures = super().measure(weights, split)
        self.measured.append((split, weights, measures))
        return measures


@pytest.fixture
def engine(tiny_task: Task) -> Recording:
    return Recording(tiny_task)


@pytest.fixture
def setup(engine: Recording, tiny_task: Task) -> Setup:
    return Setup.of(tiny_task, engine, seed=0)


def some_mask() -> BoolArray:
    mask: BoolArray = tiny.masks_of(tiny.make_problem(sparsity=0.8), 1)[0]
    return mask


def silent(what: str, fraction: float) -> None:
    pass


def test_every_training_has_an_order_of_its_own_shared_by_all_networks(engine: Recording, setup: Setup) -> None:
    initial = setup.initial
    confirm_with_references(setup, Ticket(some_mask()), 3, silent)
    assert len(engine.jobs) == 4
    orders = engine.jobs[0].batches
    assert orders.shape == (3, 60, 30)
    assert len({order.tobytes() for order in orders}) == 3
    assert all(np.array_equal(job.batches, orders) for job in engine.jobs)
    for job in engine.jobs:
        assert np.array_equal(job.start.vector, np.where(job.masks, initial.vector, 0))


def test_references_are_dense_random_and_magnitude(engine: Recording, setup: Setup) -> None:
    mask = some_mask()
    confirmed, references = confirm_with_references(setup, Ticket(mask), 3, silent)
    ticket, dense, random, magnitude = (job.masks for job in engine.jobs)
    assert (ticket == mask).all()
    assert dense.all()
    counts = engine.layout.space.counts
    assert len({row.tobytes() for row in [*random, mask]}) == 4
    assert all(counts(row).tolist() == counts(mask).tolist() for row in random)
    trained = engine.measured[2][1].vector[0]  # the dense network's first training
    assert (magnitude == top_n(np.abs(trained), int(mask.sum()))).all()
    accuracies = [measures.accuracy.tolist() for split, _, measures in engine.measured if split is setup.task.test]
    records = [confirmed.record, *(references[name] for name in ("dense", "random", "magnitude"))]
    assert [record.test_accuracies for record in records] == [found[:3] for found in accuracies]
    untrained = [record.untrained_test_accuracy for record in records]
    assert untrained == pytest.approx([np.mean(found[3:]) for found in accuracies])


def test_test_and_validation_are_measured_once_after_training(engine: Recording, setup: Setup) -> None:
    ticket, initial = Ticket(some_mask()), setup.initial
    confirmed = confirm(setup, [ticket, ticket], "ticket", silent)
    assert [split for split, _, _ in engine.measured] == [setup.task.test, setup.task.validation]
    assert all(np.array_equal(weights.vector[:2], confirmed.trained.vector) for _, weights, _ in engine.measured)
    untrained = engine.measured[0][1].vector[2:]  # measured in the same pass over the test split
    assert np.array_equal(untrained, np.where(ticket.mask, initial.vector, 0)[None].repeat(2, 0))
    assert np.count_nonzero(confirmed.trained.vector[:, ~ticket.mask]) == 0
    assert "evaluate" not in engine.calls


def test_a_rewound_ticket_goes_on_in_the_schedule_with_the_rest_of_the_order(engine: Recording, setup: Setup) -> None:
    initial = setup.initial
    start = Weights(initial.vector + 1, initial.rest + 1)
    confirm(setup, [Ticket(some_mask())], "ticket", silent)
    confirmed = confirm(setup, [Ticket(some_mask(), start, 20)], "ticket", silent)
    whole, rest = engine.jobs
    assert rest.first_step == 20
    assert np.array_equal(rest.batches[0], whole.batches[0, 20:])
    assert np.array_equal(rest.start.vector[0], np.where(some_mask(), start.vector, 0))
    assert confirmed.record.steps == 40


def test_a_ticket_of_the_last_step_is_measured_as_it_is(engine: Recording, setup: Setup) -> None:
    initial, mask = setup.initial, some_mask()
    confirmed = confirm(setup, [Ticket(mask, initial, 60)], "ticket", silent)
    assert np.array_equal(confirmed.trained.vector[0], np.where(mask, initial.vector, 0))
    assert confirmed.record.cost.train_examples == 0


def test_pruned_weights_are_confirmed_where_the_ticket_holds_them(engine: Recording, setup: Setup) -> None:
    mask = some_mask()
    held = np.linspace(0, 1, mask.size, dtype=np.float32)
    confirmed = confirm(setup, [Ticket(mask, held=held)], "ticket", silent)
    plain = confirm(setup, [Ticket(mask)], "ticket", silent)
    assert np.array_equal(confirmed.trained.vector[0][~mask], held[~mask])
    assert confirmed.record.cost.sparse_flops > 3 * plain.record.cost.sparse_flops  # every product is computed
    assert confirmed.record.cost.dense_flops == plain.record.cost.dense_flops


def test_progress_is_told_to_the_end(engine: Recording, setup: Setup) -> None:
    told: list[tuple[str, float]] = []
    confirm(
        setup,
        [Ticket(some_mask())],
        "ticket",
        lambda what, fraction: told.append((what, fraction)),
    )
    assert [what for what, _ in told] == ["ticket"] * 6
    assert [fraction for _, fraction in told] == pytest.approx([epoch / 6 for epoch in range(1, 7)])


def test_runs_of_a_study_share_the_dense_reference_and_nothing_changes(engine: Recording, setup: Setup) -> None:
    shared, arguments = Shared(), (Ticket(some_mask()), 2, silent)
    first = confirm_with_references(setup, *arguments, shared=shared)[1]
    again = confirm_with_references(setup, *arguments, shared=shared)[1]
    alone = confirm_with_references(setup, *arguments)[1]
    assert [bool(job.masks.all()) for job in engine.jobs] == [False, True, False, False] + [False] * 3 + [
        *(False, True, False, False)
    ]
    for other in (again, alone):
        assert {name: record.test_accuracies for name, record in other.items()} == {
            name: record.test_accuracies for name, record in first.items()
        }
    other_seed = confirm_with_references(Setup.of(setup.task, engine, seed=1), *arguments, shared=shared)[1]
    assert other_seed["dense"].test_accuracies != first["dense"].test_accuracies


def test_a_cyclic_control_goes_on_with_its_weights_as_often_as_imp_trains(engine: Recording, setup: Setup) -> None:
    """Beside ``torch.optim``: three trainings in a row, each with a data order and moments of its own."""
    mask, orders = some_mask(), 2
    record = confirm(setup, [Ticket(mask)] * orders, "cyclic", silent, 3)
    weights = setup.initial
    for cycle in range(3):
        batches = data_order(setup.task, 0, cycle * orders)
        network = torch_training(setup.task, engine, Job(mask[None], weights, setup.task.recipe, batches), 0)
        weights = read_weights(network, engine.layout)
    np.testing.assert_allclose(record.trained.vector[0], weights.vector, atol=1e-4)
    assert record.record.steps == 180
    once = confirm(setup, [Ticket(mask)] * orders, "ticket", silent).record
    assert record.record.cost.train_examples == 3 * once.cost.train_examples
    assert record.record.cost.forward_examples == once.cost.forward_examples
    assert record.record.untrained_test_accuracy == once.untrained_test_accuracy
    _, references = confirm_with_references(setup, Ticket(mask), orders, silent, ("cyclic",))
    assert references["cyclic"].steps == 8 * 60  # 0.8 ** 8 <= 1 / 5 < 0.8 ** 7


@pytest.mark.parametrize(("kept", "rounds"), [(10_000, 1), (8_000, 1), (6_400, 2), (1_000, 11), (200, 18), (50, 24)])
def test_cycles_are_imps_rounds_of_a_fifth(kept: int, rounds: int) -> None:
    assert cycles("cyclic", kept, 10_000) == rounds
    assert cycles("invert", kept, 10_000) == 1
