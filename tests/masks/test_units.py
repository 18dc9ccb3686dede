"""Channels and blocks: what a unit is, and that every strategy and encoding keeps exactly as many as asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import tiny
from ticketsearch import MaskProblem, Task, Ticket, Weights
from ticketsearch.arrays import BoolArray
from ticketsearch.engine import Job, batch_indices
from ticketsearch.errors import BudgetExhausted, InvalidValue, StrategyError
from ticketsearch.masks import MaskSpace, random_like, random_per_layer, top_n, top_per_layer
from ticketsearch.masks.controls import control_of
from ticketsearch.masks.criteria import CriterionScores
from ticketsearch.masks.units import Units, block_units, default_sparsity, parse_granularity
from ticketsearch.runner.confirm import population
from ticketsearch.strategies.base import make_strategy
from ticketsearch.tasks.channels import make_units, ties_of
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import mlp

CHANNELS, BLOCKS = "channel", "2:4"
SPARSITY = {CHANNELS: 0.5, BLOCKS: 0.5}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def units_of(granularity: str, task: Task | None = None) -> Units:
    task = task or tiny.residual()
    layout = tiny.dense_engine(task).layout
    return make_units(granularity, layout, task.build(seed=0), task.train.inputs[:1])


def problem_of(granularity: str, budget: float = 12.0, **options: Any) -> MaskProblem:
    return tiny.make_problem(
        budget, task=tiny.residual(), granularity=granularity, sparsity=SPARSITY[granularity], **options
    )


def by_layer(units: Units, mask: BoolArray) -> dict[str, np.ndarray]:
    """Weights by layer, in their shapes."""
    return {layer.name: part for layer, part in units.weights.split(units.expand(mask))}


def check_mask(units: Units, mask: BoolArray, n_kept: int) -> None:
    """A mask of units, and what it makes of the weights, by counting one by one."""
    assert np.count_nonzero(mask) == n_kept
    for name, part in by_layer(units, mask).items():
        if units.granularity == CHANNELS:
            rows = part.reshape(len(part), -1)
            assert (rows.all(1) | ~rows.any(1)).all()
            assert rows.any()
            assert name != "fc.weight" or rows.all()
        elif part.shape[1] % 4 == 0:
            blocks = np.moveaxis(part, 1, -1).reshape(-1, 4)
            assert (blocks.sum(1) == 2).all()
        else:
            assert part.all()


def test_channels_are_rows_of_every_layer_but_the_last() -> None:
    units = units_of(CHANNELS)
    assert [(layer.name, layer.shape) for layer in units.space.layers] == [
        ("conv1.weight", (8,)),
        ("conv2.weight", (6,)),
        ("conv3.weight", (8,)),
    ]
    mask = np.ones(22, dtype=bool)
    mask[[0, 9, 21]] = False
    parts = by_layer(units, mask)
    assert [np.flatnonzero(~parts[name].any((1, 2, 3))).tolist() for name in list(parts)[:3]] == [[0], [1], [7]]
    assert parts["fc.weight"].all()
    np.testing.assert_array_equal(units.collapse(units.expand(mask)), mask)


def test_bias_and_normalisation_go_with_their_channel() -> None:
    task = tiny.residual()
    units, layout = units_of(CHANNELS), tiny.dense_engine(task).layout
    mask = np.ones(22, dtype=bool)
    mask[9] = False  # the second channel of conv2
    left = units.rest_mask(mask)
    assert left is not None
    offset, gone = 0, {}
    for name, shape in layout.rest_shapes.items():
        size = int(np.prod(shape))
        gone[name] = np.flatnonzero(~left[offset : offset + size]).tolist()
        offset += size
    assert {name: places for name, places in gone.items() if places} == {
        "bn2.weight": [1],
        "bn2.bias": [1],
        "bn2.running_mean": [1],
        "bn2.running_var": [1],
    }


def test_a_convolution_s_bias_is_its_channel_s_also_without_normalisation() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    ties = ties_of(network, torch.zeros(1, 1, 4, 4))
    assert ties.owned["0.weight"] == ("0.bias",)  # the normalisation is behind the ReLU: it is not the convolution's
    assert (ties.output, dict(ties.scale)) == ("4.weight", {})


def test_blocks_run_along_the_inputs() -> None:
    space = MaskSpace.from_shapes({"conv": (2, 4, 1, 3), "odd": (5, 3), "fc": (2, 8)})
    units = block_units(space, 1, 4)
    assert [layer.name for layer in units.space.layers] == ["conv", "fc"]
    chosen = np.zeros((10, 4), dtype=bool)
    chosen[:, 1] = True
    conv, odd, fc = (part for _, part in space.split(units.expand(chosen.reshape(-1))))
    assert conv[:, 1].all()
    assert conv.sum() == 6
    assert odd.all()  # 3 inputs: kept whole
    assert np.flatnonzero(fc[0]).tolist() == [1, 5]


def test_a_channel_s_score_is_the_mean_over_its_weights() -> None:
    units = units_of(CHANNELS, tiny.make_task(lambda: mlp(8, 4, 2, 3)))
    scores = rng().normal(size=units.weights.size)
    expected = [*scores[:32].reshape(4, 8).mean(1), *scores[32:40].reshape(2, 4).mean(1)]
    np.testing.assert_allclose(units.reduce(scores), expected)


@pytest.mark.parametrize("text", ["channels", "4:2", "2:2", "0:4", "2:4:8", "a:b", ""])
def test_an_unknown_granularity_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=f"granularity '{text}' is not weight, channel or N:M"):
        parse_granularity(text)


def test_blocks_have_one_sparsity() -> None:
    assert [default_sparsity(text) for text in ("weight", "channel", "1:4", "2:4")] == [0.9, 0.9, 0.75, 0.5]
    with pytest.raises(InvalidValue, match=r"sparsity 0.9 is not that of blocks 1:4, which is 0.75"):
        block_units(MaskSpace.from_shapes({"fc": (2, 8)}), 1, 4).space.n_kept(0.9)


def test_channels_keep_at_least_one_in_each_layer() -> None:
    space = units_of(CHANNELS).space
    assert space.n_kept(1 - 3 / 22) == 3
    with pytest.raises(InvalidValue, match=r"keeps 2 of 22 channels, fewer than one in each of 3 layers; at most 0.86"):
        space.n_kept(1 - 2 / 22)
    scores = np.arange(22.0)  # the last layer's are the highest
    assert np.flatnonzero(space.top(scores, 5)).tolist() == [7, 13, 19, 20, 21]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(8, 3)), "no layer has channels to prune"),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (2, 4)), nn.ConvTranspose1d(2, 2, 1), nn.Flatten(), nn.Linear(8, 3)),
            "'1' is a transposed convolution",
        ),
        (lambda: nn.Sequential(*[nn.Linear(8, 8)] * 2, nn.Linear(8, 3)), "'0' is used more than once"),
    ],
)
def test_networks_without_channels_are_refused(network: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        units_of(CHANNELS, tiny.make_task(network))


def test_blocks_that_fit_nowhere_are_refused() -> None:
    with pytest.raises(InvalidValue, match=r"no layer has inputs in blocks of 7: .*fc.weight 32; choose an M"):
        units_of("3:7")


@pytest.mark.parametrize("granularity", [CHANNELS, BLOCKS])
def test_what_chooses_and_changes_masks_respects_counts_and_floors(granularity: str) -> None:
    units = units_of(granularity)
    space, draws = units.space, rng(1)
    for n in (space.n_kept(0.5), space.least) if granularity == CHANNELS else (space.n_kept(0.5),):
        a, b = space.random(n, draws), space.random(n, draws)
        children = [space.swap(a, swaps, draws) for swaps in (1, 3, 10_000)]
        assert not any(np.array_equal(a, child) for child in children[:2])
        others = [
            space.cross(a, b, draws),
            random_like(a, space, draws),
            top_per_layer(-1.0 * a, space.counts(a), space),
        ]
        for mask in (a, b, *children, *others):
            check_mask(units, mask, n)
        assert space.counts(random_per_layer(space, space.counts(a), draws)).tolist() == space.counts(a).tolist()
        both = space.cross(a, b, draws)
        if n > space.least or granularity == BLOCKS:
            assert both[a & b].all()
            assert not both[~a & ~b].any()


def test_ties_go_to_the_lower_index_in_every_group() -> None:
    assert np.flatnonzero(units_of(CHANNELS).space.top(np.zeros(22), 6)).tolist() == [0, 1, 2, 3, 8, 14]
    chosen = units_of(BLOCKS).space.top(np.zeros(units_of(BLOCKS).space.size), units_of(BLOCKS).space.n_kept(0.5))
    assert (chosen.reshape(-1, 4) == [True, True, False, False]).all()


SEARCHES = [
    *[(name, {"encoding": encoding}) for name in ("ga", "sa") for encoding in ("swap", "layer-density", "seeded")],
    *[("cma-es", {"encoding": encoding, "population": 6}) for encoding in ("neurons", "degrees", "low-rank")],
    ("eda", {"population": 6}),
    ("hyperband", {}),
    ("ga", {"encoding": 'criterion-mixture(criteria=["large_init", "random"])'}),
    ("optuna", {"encoding": "layer-density"}),
    ("optuna", {"encoding": "seeded"}),
    ("random", {}),
    ("random", {"densities": "uniform"}),
]


@pytest.mark.parametrize("granularity", [CHANNELS, BLOCKS])
@pytest.mark.parametrize(("name", "settings"), SEARCHES)
def test_searchers_and_encodings_keep_exact_counts_of_units(
    name: str, settings: dict[str, Any], granularity: str
) -> None:
    problem = problem_of(granularity)
    if settings.get("encoding") == "layer-density" and granularity == BLOCKS:
        with pytest.raises(InvalidValue, match="in blocks of 4 every layer has one density; use swap"):
            make_strategy(name, settings).search(problem)
        return
    asked: list[BoolArray] = []
    evaluate = problem.evaluate

    def watched(masks: Any, fidelity: int | None = None, **options: Any) -> Any:
        asked.extend(np.array(masks))
        return evaluate(masks, fidelity, **options)

    tiny.watch(problem, "evaluate", watched)
    with pytest.raises(BudgetExhausted):
        make_strategy(name, settings).search(problem)
    assert len({mask.tobytes() for mask in asked}) > 3
    for mask in asked:
        check_mask(problem.units, mask, problem.n_kept)


PRUNERS = [
    ("magnitude", {}),
    ("magnitude", {"scope": "layer"}),
    ("imp", {"rounds": 3}),
    ("imp", {"scope": "layer"}),
    ("imp", {"rounds": 2, "mask_1": "constant"}),
    ("early-bird", {"criterion": "movement"}),
    ("snip", {}),
    ("grasp", {}),
    ("synflow", {"rounds": 5}),
]


@pytest.mark.parametrize("granularity", [CHANNELS, BLOCKS])
@pytest.mark.parametrize(("name", "settings"), PRUNERS)
def test_pruning_strategies_do_too(name: str, settings: dict[str, Any], granularity: str) -> None:
    problem = problem_of(granularity)
    ticket = make_strategy(name, settings).search(problem)
    assert isinstance(ticket, Ticket)
    check_mask(problem.units, ticket.mask, problem.n_kept)
    assert ticket.scores is not None
    assert ticket.scores.shape == ticket.mask.shape


@pytest.mark.parametrize("name", ["edge-popup", "supermask", "hard-concrete", "continuous-sparsification"])
def test_masks_of_weights_trained_as_such_are_refused_for_other_units(name: str) -> None:
    problem = problem_of(CHANNELS)
    with pytest.raises(InvalidValue, match="trains a mask of weights"):
        make_strategy(name, {}).search(problem)
    assert problem.spent.thirds == 0


def test_magnitude_keeps_the_channels_of_the_largest_mean() -> None:
    problem, other = problem_of(CHANNELS), problem_of(CHANNELS)
    ticket = make_strategy("magnitude", {}).search(problem)
    final = next(iter(other.train())).weights.vector
    means = [np.abs(part).reshape(len(part), -1).mean(1) for layer, part in other.units.weights.split(final)][:3]
    assert isinstance(ticket, Ticket)
    assert all(
        part.argmax() in np.flatnonzero(mask)
        for part, (_, mask) in zip(means, problem.space.split(ticket.mask), strict=True)
    )
    np.testing.assert_array_equal(ticket.mask, top_n(np.concatenate(means), 11))  # no layer needed its floor


def test_a_criterion_of_scales_is_gamma() -> None:
    problem, other = problem_of(CHANNELS), problem_of(CHANNELS)
    final = next(iter(other.train())).weights
    gammas, offset = [], 0
    for name, shape in tiny.dense_engine(tiny.residual()).layout.rest_shapes.items():
        if name.startswith("bn") and name.endswith("weight"):
            gammas += np.abs(final.rest[offset : offset + shape[0]]).tolist()
        offset += int(np.prod(shape))
    assert CriterionScores(problem)("bn_scale").tolist() == gammas
    assert len(set(gammas)) > 10


def test_scales_that_are_not_there_are_refused_before_anything_is_paid_for() -> None:
    task = tiny.make_task()
    for granularity, message in ((CHANNELS, "layer 'hidden1.weight' has no BatchNorm"), ("weight", "is of channels")):
        problem = tiny.make_problem(task=task, granularity=granularity, sparsity=0.5)
        for strategy in ("magnitude", "early-bird"):
            with pytest.raises(InvalidValue, match=message):
                make_strategy(strategy, {"criterion": "bn_scale"}).search(problem)
        assert problem.spent.thirds == 0


@pytest.mark.parametrize("granularity", [CHANNELS, BLOCKS])
def test_masks_that_break_a_floor_are_refused(granularity: str) -> None:
    problem = problem_of(granularity)
    mask = np.arange(problem.space.size) >= problem.space.size - problem.n_kept
    with pytest.raises(StrategyError, match=r"mask 0 keeps 0 (channels in layer 'conv1|weights in block 0 of 4)"):
        problem.evaluate([mask])


@pytest.mark.parametrize("name", ["shuffle-mask", "invert", "reinitialise", "shuffle-weights"])
def test_controls_keep_units_whole(name: str) -> None:
    task, problem = tiny.residual(), problem_of(CHANNELS)
    layout = tiny.dense_engine(task).layout
    own = make_strategy("magnitude", {}).search(problem)
    assert isinstance(own, Ticket)
    units, ticket = problem.units, problem.units.ticket(own)
    found = control_of(
        name, ticket, problem.initial_weights(), units, rng(), lambda s: read_weights(task.build(s), layout)
    )
    kept = units.collapse(found.mask)
    check_mask(units, kept, problem.n_kept)
    assert units.space.counts(kept).tolist() == units.space.counts(own.mask).tolist()
    np.testing.assert_array_equal(found.rest_mask, units.rest_mask(kept))
    started = found.started(problem.initial_weights()).weights
    assert started is not None
    scales = units.scales(started.rest)
    assert (scales[kept] == 1).all()  # also of channels that the ticket had pruned
    assert (scales[~kept] == 0).all()


RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
    "adam": {"optimizer": "adam", "momentum": 0.0, "weight_decay": 0.1, "nesterov": False},
}


@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize(
    ("kind", "task"), [("dense", tiny.residual()), ("dense", tiny.make_task()), ("sparse", tiny.make_task())]
)
def test_nothing_of_a_pruned_channel_regrows(kind: str, task: Task, optimizer: str) -> None:
    from dataclasses import replace

    engine, units = tiny.ENGINES[kind](task, 1), units_of(CHANNELS, task)
    start = read_weights(task.build(0), engine.layout)
    start = Weights(start.vector, start.rest + 0.5)  # nothing is zero by accident
    masks = np.stack([units.space.random(units.space.n_kept(0.5), rng(seed)) for seed in range(3)])
    recipe = replace(task.recipe, **RECIPES[optimizer])
    batches = batch_indices(300, 30, 6, rng())
    rest_mask = units.rest_mask(masks)
    assert rest_mask is not None
    job = Job(units.expand(masks), start, recipe, batches, rest_mask=rest_mask)
    for weights, _ in engine.train(job, tuple(range(1, 7))):
        assert (weights.vector[~job.masks] == 0).all()
        assert (weights.rest[~rest_mask] == 0).all()
        assert (weights.rest[rest_mask] != 0).all()
    alone = Job(job.masks[1:2], start, recipe, batches, rest_mask=rest_mask[1:2])
    together, by_itself = (engine.evaluate(one, task.validation).loss for one in (job, alone))
    assert together[1] == pytest.approx(by_itself[0], rel=1e-5)


def test_both_engines_train_pruned_neurons_alike() -> None:
    task, units = tiny.make_task(), units_of(CHANNELS, tiny.make_task())
    start = read_weights(task.build(0), tiny.dense_engine(task).layout)
    start = Weights(start.vector, start.rest + 0.3)
    mask = units.space.random(units.space.n_kept(0.5), rng())[None]
    job = Job(
        units.expand(mask), start, task.recipe, batch_indices(300, 30, 20, rng()), rest_mask=units.rest_mask(mask)
    )
    found = [list(tiny.ENGINES[kind](task, 1).train(job, (20,)))[-1][0] for kind in ("dense", "sparse")]
    np.testing.assert_allclose(found[0].vector, found[1].vector, atol=2e-5)
    np.testing.assert_allclose(found[0].rest, found[1].rest, atol=2e-5)


def test_a_pruned_channel_makes_no_difference_whatever_it_was() -> None:
    """Of a masked network, what the pruned channels started from leaves no trace."""
    task, units = tiny.residual(), units_of(CHANNELS)
    engine = tiny.dense_engine(task)
    start = read_weights(task.build(0), engine.layout)
    mask = units.space.random(11, rng())
    ticket = units.ticket(Ticket(mask))
    assert ticket.rest_mask is not None
    other = Weights(np.where(ticket.mask, start.vector, 7), np.where(ticket.rest_mask, start.rest, 7))
    batches = batch_indices(300, 30, 12, rng())
    jobs = [population([ticket], weights, task.recipe, batches) for weights in (start, other)]
    outcomes = [engine.evaluate(job, task.test) for job in jobs]
    assert outcomes[0].loss == outcomes[1].loss
    bare = population([Ticket(ticket.mask)], start, task.recipe, batches)
    assert engine.evaluate(bare, task.test).loss != outcomes[0].loss  # a bias of a channel that is gone is not nothing
