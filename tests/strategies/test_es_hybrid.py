"""A mask learnt by evolution over weights trained by SGD: one generation by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from ticketsearch.errors import InvalidValue
from ticketsearch.strategies.es_hybrid import EvolutionHybrid, mean_of_keepers


def test_a_generation_is_a_policy_gradient_and_a_mean_of_what_sgd_made() -> None:
    """The log-probability of draws without replacement is written out, and differentiated by autograd."""
    strategy = EvolutionHybrid(population=3, steps=60, length=3.0, rate=0.7, start="draw")
    ticket = strategy.search(problem := tiny.make_problem(1000.0))
    twin = tiny.make_problem(1000.0)
    rng, n = twin.rng("hybrid"), twin.n_kept
    keys = [(-np.log(rng.standard_exponential(twin.space.size))).astype(np.float32) for _ in range(3)]
    drawn = [torch.from_numpy(one).sort(descending=True).indices[:n] for one in keys]
    losses, vectors = [], []
    for order in drawn:
        mask = np.zeros(twin.space.size, dtype=bool)
        mask[order.numpy()] = True
        [snapshot] = twin.train(mask)
        losses.append(snapshot.train_loss)
        vectors.append(np.where(mask, snapshot.weights.vector, np.nan))
    logits = torch.zeros(twin.space.size, dtype=torch.float64, requires_grad=True)
    scores = -torch.tensor(losses, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for row, order in enumerate(drawn):
        others = torch.cat([scores[:row], scores[row + 1 :]]).mean()
        left = torch.stack([torch.logsumexp(logits[_but(order[:place])], 0) for place in range(n)])
        total = total + (scores[row] - others) / scores.std(correction=0) * (logits[order] - left).sum()
    [gradient] = torch.autograd.grad(total, logits)
    assert ticket.scores is not None
    np.testing.assert_allclose(ticket.scores, (0.7 / 3**0.5 * gradient).numpy(), rtol=1e-5, atol=1e-8)
    assert ticket.weights is not None
    kept_by_some = ~np.isnan(vectors).all(0)
    means = np.nanmean(np.array(vectors)[:, kept_by_some], axis=0)
    np.testing.assert_allclose(ticket.weights.vector[kept_by_some], means, rtol=1e-5, atol=1e-7)
    initial = problem.initial_weights().vector
    np.testing.assert_array_equal(ticket.weights.vector[~kept_by_some], initial[~kept_by_some])
    assert (ticket.step, problem.notes["generations"]) == (60, 1)


def _but(order: torch.Tensor) -> torch.Tensor:
    """What is left after some were drawn."""
    left = torch.ones(tiny.SIZE, dtype=torch.bool)
    left[order] = False
    return left


def test_it_costs_as_many_trainings_as_asked_for_and_learns() -> None:
    problem = tiny.make_problem(1000.0)
    ticket = EvolutionHybrid(population=6, steps=2, length=10.0).search(problem)
    assert problem.spent.train_examples == 10 * 60 * 30
    assert problem.spent.sparse_flops < 0.6 * problem.spent.dense_flops
    assert np.count_nonzero(ticket.mask) == problem.n_kept
    assert ticket.weights is None
    random = tiny.masks_of(tiny.make_problem(1000.0), 20)
    found, *others = (
        float(one) for one in tiny.make_problem(1000.0).evaluate([ticket.mask, *random], 60, score="loss")
    )
    assert found > np.mean(others)


def test_a_budget_too_small_for_a_generation_is_said() -> None:
    with pytest.raises(
        InvalidValue, match="a generation of 900 masks takes as many steps at least, 240 are affordable"
    ):
        EvolutionHybrid(population=900).search(tiny.make_problem(1000.0))


def test_shared_weights_are_means_of_those_that_keep_them() -> None:
    vectors = np.array([[1, 2, 3], [3, 4, 5]], dtype=np.float32)
    masks = np.array([[True, True, False], [True, False, False]])
    before = np.array([9, 9, 9], dtype=np.float32)
    assert mean_of_keepers(vectors, masks, before).tolist() == [2, 2, 9]
