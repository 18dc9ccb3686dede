from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.utils import prune

import ticketsearch
from tests.helpers import tiny
from ticketsearch import Result, SavedTicket, Task, Ticket, Weights, load_ticket
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun
from ticketsearch.masks import digest
from ticketsearch.records.ticket_file import load_mask, save_ticket
from ticketsearch.tasks.networks import mlp


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run whose ticket starts from rewound weights."""
    return ticketsearch.run(
        "imp",
        tiny.make_task(),
        sparsity=0.8,
        budget="30ep",
        out=tmp_path_factory.mktemp("runs"),
        orders=2,
        settings={"rounds": 3, "rewind": "10step"},
    )


def accuracy(module: nn.Module, task: Task) -> float:
    module.eval()
    with torch.no_grad():
        right = module(task.test.inputs).argmax(1) == task.test.labels
    return int(right.sum()) / len(right)


def pruned_of(ticket: SavedTicket, module: nn.Module) -> torch.Tensor:
    """The weights, as the module computes with them, where the ticket is pruned."""
    return torch.cat(
        [
            getattr(module.get_submodule(name.rpartition(".")[0]), "weight")[torch.from_numpy(~mask)]  # noqa: B009
            for name, mask in ticket.masks().items()
        ]
    )


def test_a_ticket_reloads_to_exactly_the_recorded_accuracy(finished: Result, tiny_task: Task) -> None:
    ticket = load_ticket(finished.run)
    module = ticket.apply(tiny_task.build(seed=123), trained=True)
    assert accuracy(module, tiny_task) == finished.confirmation.test_accuracies[0]
    assert ticket.mask_digest == finished.mask_digest
    assert ticket.mask.sum() == finished.n_kept
    assert ticket.sparsity == pytest.approx(0.8, abs=1 / 246)
    assert ticket.step == 10


def test_a_mask_is_read_alone(finished: Result, tmp_path: Path) -> None:
    space, mask = load_mask(finished.run)
    ticket = load_ticket(finished.run)
    assert space == ticket.space
    assert np.array_equal(mask, ticket.mask)
    with pytest.raises(NotARun, match="no ticket at"):
        load_mask(tmp_path)
    (tmp_path / "ticket.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CorruptRun, match="not a readable ticket"):
        load_mask(tmp_path)


def test_training_from_the_ticket_with_torch_keeps_pruned_weights_at_zero(finished: Result, tiny_task: Task) -> None:
    ticket = load_ticket(finished.run)
    module = ticket.apply(tiny_task.build(seed=5))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    before = accuracy(module, tiny_task)
    for first in range(0, 300, 30):
        rows = slice(first, first + 30)
        optimizer.zero_grad()
        loss = F.cross_entropy(module(tiny_task.train.inputs[rows]), tiny_task.train.labels[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        module(tiny_task.test.inputs)  # recomputes the masked weights
        assert torch.count_nonzero(pruned_of(ticket, module)) == 0
    assert accuracy(module, tiny_task) > before
    for name in ticket.masks():
        prune.remove(module.get_submodule(name.rpartition(".")[0]), "weight")  # type: ignore[no-untyped-call]
    assert torch.count_nonzero(pruned_of(ticket, module)) == 0


def test_the_state_is_that_of_the_start_zero_where_pruned(finished: Result) -> None:
    ticket = load_ticket(Path(finished.ticket))
    start, trained = ticket.state_dict(), ticket.state_dict(trained=True)
    assert set(start) == set(tiny.make_task().build(0).state_dict())
    for name, mask in ticket.masks().items():
        assert np.count_nonzero(start[name][~mask]) == np.count_nonzero(trained[name][~mask]) == 0
        assert np.count_nonzero(start[name][mask]) == mask.sum()
        assert not np.array_equal(start[name], trained[name])
    problem = tiny.make_problem(30, sparsity=0.8)
    recipe = problem.recipe.lasting(problem.steps_for(3))
    rewound = next(s for s in problem.train(recipe=recipe, at=(10,)) if s.step == 10).weights.vector
    np.testing.assert_allclose(ticket.start.vector, np.where(ticket.mask, rewound, 0), rtol=1e-3, atol=1e-5)


def test_a_ticket_fits_modules_of_any_dtype(finished: Result, tiny_task: Task) -> None:
    module = load_ticket(finished.run).apply(tiny_task.build(0).double(), trained=True)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
    right = module(tiny_task.test.inputs.double()).argmax(1) == tiny_task.test.labels
    assert float(right.double().mean()) == pytest.approx(finished.confirmation.test_accuracies[0], abs=0.011)


def test_a_module_of_another_architecture_is_refused_and_left_alone(finished: Result) -> None:
    other = tiny.make_task(lambda: nn.Sequential(nn.Linear(8, 3))).build(0)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(InvalidValue, match=r"nothing by the name of 'hidden1.weight', .* and 1 more, which"):
        load_ticket(finished.run).apply(other)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    wide = mlp(8, 13, 10, 3)
    with pytest.raises(InvalidValue, match=r"'hidden1.weight' has shape \(12, 8\), the module has \(13, 8\)"):
        load_ticket(finished.run).apply(wide)


def saved(tmp_path: Path, task: Task, seed: int = 0) -> tuple[Path, Ticket, Weights]:
    problem = tiny.make_problem(task=task, sparsity=0.5)
    rng = np.random.Generator(np.random.PCG64(seed))
    start, mask = problem.initial_weights(), tiny.masks_of(problem, 1, seed)[0]
    trained = Weights(np.where(mask, rng.normal(size=mask.size), 0).astype(np.float32), start.rest + 1)
    path = tmp_path / "ticket.safetensors"
    layout = tiny.dense_engine(task).layout
    save_ticket(path, Ticket(mask, start, 7), layout.space, trained, layout.rest_shapes)
    return path, Ticket(mask, start, 7), trained


def test_tickets_of_normalised_networks_keep_their_statistics(tmp_path: Path) -> None:
    task = tiny.make_task(tiny.batch_norm_network)
    path, ticket, trained = saved(tmp_path, task)
    again = load_ticket(tmp_path)
    assert ticket.weights is not None
    assert np.array_equal(again.mask, ticket.mask)
    assert np.array_equal(again.start.vector, np.where(ticket.mask, ticket.weights.vector, 0))
    assert np.array_equal(again.trained.vector, trained.vector)
    assert np.array_equal(again.trained.rest, trained.rest)
    assert again.step == 7
    assert again.space.layers[0].uses == 4
    module = again.apply(task.build(1), trained=True)
    assert torch.equal(module.state_dict()["2.running_var"], torch.full((4,), 2.0))
    assert path.stat().st_size < 4_000


def test_values_that_pruned_weights_are_held_at_are_kept_and_refused_by_prune(tmp_path: Path, tiny_task: Task) -> None:
    problem = tiny.make_problem(sparsity=0.5)
    mask, initial = tiny.masks_of(problem, 1)[0], problem.initial_weights()
    held = np.linspace(0, 1, mask.size, dtype=np.float32)
    ticket = Ticket(mask, held=held).started(initial)
    assert ticket.weights is not None
    layout = tiny.dense_engine(tiny_task).layout
    save_ticket(tmp_path / "ticket.safetensors", ticket, layout.space, ticket.weights, layout.rest_shapes)
    again = load_ticket(tmp_path)
    for weights in (again.start, again.trained):
        assert np.array_equal(weights.vector, np.where(mask, initial.vector, held))
    assert np.array_equal(again.state_dict()["output.weight"].ravel(), again.start.vector[-30:])
    with pytest.raises(InvalidValue, match="values other than zero"):
        again.apply(tiny_task.build(0))


def test_weights_may_lie_anywhere_in_memory(tmp_path: Path, tiny_task: Task) -> None:
    problem = tiny.make_problem(sparsity=0.5)
    mask, initial = tiny.masks_of(problem, 1)[0], problem.initial_weights()
    rng = np.random.Generator(np.random.PCG64(0))
    columns = [rng.normal(size=(size, 2)).astype(np.float32) for size in (tiny.SIZE, initial.rest.size)]
    strided = Weights(columns[0][:, 0], columns[1][:, 0])  # every other number in memory
    layout = tiny.dense_engine(tiny_task).layout
    save_ticket(tmp_path / "ticket.safetensors", Ticket(mask, strided), layout.space, strided, layout.rest_shapes)
    again = load_ticket(tmp_path)
    for weights in (again.start, again.trained):
        assert np.array_equal(weights.vector, np.where(mask, strided.vector, 0))
        assert np.array_equal(weights.rest, strided.rest)


def test_a_folder_without_a_ticket_is_no_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "none.safetensors"):
        with pytest.raises(NotARun, match="no ticket at"):
            load_ticket(place)


def test_a_damaged_ticket_is_a_corrupt_run(tmp_path: Path, tiny_task: Task) -> None:
    path, _, _ = saved(tmp_path, tiny_task)
    content = path.read_bytes()
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(CorruptRun, match="not a readable ticket"):
            load_ticket(path)
    path.write_bytes(content.replace(b"mask_digest", b"mask_digits"))
    with pytest.raises(CorruptRun):
        load_ticket(path)


def test_a_mask_that_does_not_match_its_digest_is_a_corrupt_run(tmp_path: Path, tiny_task: Task) -> None:
    path, ticket, _ = saved(tmp_path, tiny_task)
    path.write_bytes(path.read_bytes().replace(digest(ticket.mask).encode(), b"0" * 16))
    with pytest.raises(CorruptRun, match="does not match its digest"):
        load_ticket(path)


def test_a_ticket_whose_rest_does_not_fit_its_header_is_a_corrupt_run(tmp_path: Path, tiny_task: Task) -> None:
    problem = tiny.make_problem(task=tiny_task, sparsity=0.5)
    start = problem.initial_weights()
    short = Weights(start.vector, start.rest[:-1])
    layout = tiny.dense_engine(tiny_task).layout
    ticket = Ticket(tiny.masks_of(problem, 1)[0], short)
    save_ticket(tmp_path / "ticket.safetensors", ticket, layout.space, short, layout.rest_shapes)
    with pytest.raises(CorruptRun):
        load_ticket(tmp_path)


def test_a_ticket_is_saved_with_its_weights(tmp_path: Path, tiny_task: Task) -> None:
    layout = tiny.dense_engine(tiny_task).layout
    ticket = Ticket(np.ones(tiny.SIZE, dtype=bool))
    weights = tiny.make_problem().initial_weights()
    with pytest.raises(InvalidValue, match="with its start weights"):
        save_ticket(tmp_path / "t", ticket, layout.space, weights, layout.rest_shapes)
    save_ticket(tmp_path / "t", replace(ticket, weights=weights), layout.space, weights, layout.rest_shapes)
