"""Every parameter of a user's network has a place, or the network is refused in a line that says what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import ticketsearch
from tests.helpers import tiny
from ticketsearch import Split, Task
from ticketsearch.errors import InvalidValue

SEQUENCES = (4, 8)


def task_of(make: Callable[[], nn.Module], shape: tuple[int, ...] = (8,), *, words: bool = False) -> Task:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(180) % 3
    inputs = (
        torch.randint(0, 12, (180, *shape), generator=random) if words else torch.randn(180, *shape, generator=random)
    )
    train, validation, test = (Split(inputs[a : a + 60], labels[a : a + 60]) for a in (0, 60, 120))
    recipe = replace(tiny.RECIPE, steps=12, batch_size=20)
    return Task("own", make, train, validation, test, recipe, fidelity=2)


def chain(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), *layers, nn.Linear(16, 3))


# -- refused ----------------------------------------------------------------------------------------------------------


def scripted() -> nn.Module:
    return nn.Sequential(torch.jit.script(nn.Linear(8, 16)), nn.Linear(16, 3))


def weight_normed() -> nn.Module:
    network = chain()
    parametrizations.weight_norm(network[0])
    return network


def spectral_normed() -> nn.Module:
    network = chain()
    parametrizations.spectral_norm(network[2])
    return network


def old_spectral_normed() -> nn.Module:
    network = chain()
    nn.utils.spectral_norm(network[0])
    return network


def pruned() -> nn.Module:
    network = chain()
    prune.random_unstructured(network[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    return network


def meta() -> nn.Module:
    with torch.device("meta"):
        return chain()


def gradient_hook() -> nn.Module:
    network = chain()
    network.get_parameter("0.weight").register_hook(lambda grad: 2 * grad)  # type: ignore[no-untyped-call]
    return network


def one_memory() -> nn.Module:
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    network[1].weight = nn.Parameter(network[0].weight.detach())  # type: ignore[operator]
    return network


def average_of_all() -> nn.Module:
    return chain(nn.BatchNorm1d(16, momentum=None))


class InPlace(nn.Module):
    """Changes its inputs, which are the task's data."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chain()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.mul_(2))  # type: ignore[no-any-return]


class Counts(nn.Module):
    """An integer buffer that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chain()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.get_buffer("calls").add_(1)
        return self.body(x)  # type: ignore[no-any-return]


class Two(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chain()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(x), x


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "scripted": (scripted, "scripted module.*give the module it was scripted from"),
    "weight_norm": (weight_normed, "remove_parametrizations"),
    "spectral_norm": (spectral_normed, "remove_parametrizations"),
    "old_spectral_norm": (old_spectral_normed, "remove_spectral_norm"),
    "pruned": (pruned, r"torch\.nn\.utils\.prune\.remove"),
    "meta": (meta, "meta device.*on the CPU"),
    "gradient_hook": (gradient_hook, "gradient hook"),
    "one_memory": (one_memory, "share memory.*assign one Parameter"),
    "average_of_all": (average_of_all, "give it a momentum"),
    "in_place": (InPlace, r"changes its inputs in place.*x\.clone\(\)"),
    "counts": (Counts, "buffer 'calls'.*changes in training"),
    "two_outputs": (Two, "must map"),
    "no_weights": (nn.Identity, "nothing can be pruned"),
}


@pytest.mark.filterwarnings("ignore")  # of scripting, and of old normalisations
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_trained_otherwise_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    task = task_of(make)
    before = copy.deepcopy(task.validation.inputs)
    with pytest.raises(InvalidValue, match=words) as caught:
        ticketsearch.run("magnitude", task, sparsity=0.5, budget="20ep", out=tmp_path)
    assert "\n" not in str(caught.value)
    assert "task 'own':" in str(caught.value)
    assert torch.equal(before, task.validation.inputs)


def test_a_batch_of_one_is_told_before_a_normalisation() -> None:
    task = task_of(lambda: chain(nn.BatchNorm1d(16)))
    with pytest.raises(InvalidValue, match="batch_size is 1, and a normalisation over a batch needs 2 or more"):
        replace(task, recipe=replace(task.recipe, batch_size=1)).layout  # noqa: B018


# -- places -----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """With one input projection, or with one for each of query, key and value."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.size, self.head = size, nn.Linear(8, 3)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True, kdim=size, vdim=size)

    def forward(self, x: Tensor) -> Tensor:
        other = x[..., : self.size]
        return self.head(self.mix(x, other, other, need_weights=False)[0].mean(1))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])  # type: ignore[no-any-return]


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 16)
        for position in range(x.shape[1]):
            state = self.cell(x[:, position], state)
        return self.head(state)  # type: ignore[no-any-return]


class Functional(nn.Module):
    """A layer that is never called: its weight is used by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.linear(self.a(x).relu(), self.b.weight, self.b.bias).relu())  # type: ignore[no-any-return]


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pairs, self.own = nn.Bilinear(8, 8, 3), nn.Parameter(torch.ones(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.pairs(x, x) @ self.own  # type: ignore[no-any-return]


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(12, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x).mean(1))  # type: ignore[no-any-return]


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.other = chain(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


def frozen() -> nn.Module:
    network = chain(nn.Linear(16, 16))
    network[0].weight.requires_grad_(False)
    return network


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))
    network[2].weight = network[0].weight
    return network


class Averaged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(x).mean(1))  # type: ignore[no-any-return]


PLACES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], set[str], dict[str, str]]] = {
    "attention": (Attention, SEQUENCES, {"mix.in_proj_weight", "mix.out_proj.weight", "head.weight"}, {}),
    "attention_apart": (
        lambda: Attention(4),
        SEQUENCES,
        {"mix.q_proj_weight", "mix.k_proj_weight", "mix.v_proj_weight", "mix.out_proj.weight", "head.weight"},
        {},
    ),
    "transformer": (
        Averaged,
        SEQUENCES,
        {
            "mix.self_attn.in_proj_weight",
            "mix.self_attn.out_proj.weight",
            "mix.linear1.weight",
            "mix.linear2.weight",
            "head.weight",
        },
        {},
    ),
    "gru": (
        lambda: Recurrent(nn.GRU(8, 16, batch_first=True)),
        SEQUENCES,
        {"cell.weight_ih_l0", "cell.weight_hh_l0", "head.weight"},
        {},
    ),
    "lstm": (
        lambda: Recurrent(nn.LSTM(8, 32, proj_size=16, batch_first=True)),
        SEQUENCES,
        {"cell.weight_ih_l0", "cell.weight_hh_l0", "cell.weight_hr_l0", "head.weight"},
        {},
    ),
    "cell": (Cell, SEQUENCES, {"cell.weight_ih", "cell.weight_hh", "head.weight"}, {}),
    "functional": (Functional, (8,), {"a.weight", "b.weight", "head.weight"}, {}),
    "bilinear": (Pairs, (8,), {"pairs.weight"}, {"own": "a parameter of Pairs"}),
    "unused": (Unused, (8,), {"body.0.weight", "body.2.weight"}, {"other.weight": "unused in training"}),
    "frozen": (frozen, (8,), {"2.weight", "3.weight"}, {"0.weight": "frozen"}),
    "tied": (tied, (8,), {"0.weight", "3.weight"}, {}),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3)), (8,), {"0.weight", "2.weight"}, {}),
    "wrapped": (lambda: nn.DataParallel(chain()), (8,), {"0.weight", "2.weight"}, {}),
    "text": (Text, (5,), {"head.weight"}, {"embedding.weight": "a parameter of Embedding"}),
    "double": (lambda: Doubled(), (8,), {"body.0.weight", "body.2.weight"}, {}),
}


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = chain().double()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.double()).float()  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:LSTM with projections")
@pytest.mark.parametrize("name", PLACES)
def test_every_parameter_has_one_place_and_comes_back(name: str, tmp_path: Path) -> None:
    make, shape, prunable, left = PLACES[name]
    task = task_of(make, shape, words=name == "text")
    layout, network = task.layout, task.build(0)
    parameters = dict(network.named_parameters())
    places = [layer.name for layer in layout.space.layers]
    assert set(places) == prunable
    assert len(places) == len(set(places))
    assert set(places) | set(layout.rest_shapes) >= set(parameters)
    assert not set(places) & set(layout.rest_shapes)
    assert layout.left_dense == left
    assert layout.parameters == sum(one.numel() for one in parameters.values())

    result = ticketsearch.run("magnitude", task, sparsity=0.5, budget="20ep", orders=1, checkpoints=0, out=tmp_path)
    assert (result.left_dense, result.n_parameters) == (left, layout.parameters)
    assert result.n_weights == sum(parameters[name].numel() for name in prunable)
    ticket = ticketsearch.load_ticket(result.run)
    assert set(ticket.state_dict(trained=True)) >= set(parameters)
    applied = ticket.apply(task.build(1), trained=True).eval()
    with torch.no_grad():
        right = applied(task.test.inputs).argmax(1) == task.test.labels
    assert float(right.double().mean()) == pytest.approx(result.test_accuracy, abs=1e-9)
    for layer, mask in ticket.masks().items():
        owner, _, own = layer.rpartition(".")
        held = getattr(applied.get_submodule(owner), own)
        assert int(torch.count_nonzero(held)) <= int(mask.sum())
    initial, trained = ticket.state_dict(), ticket.state_dict(trained=True)
    for still in left:  # frozen and unused ones are as they were; others are trained
        same = (initial[still] == trained[still]).all()
        assert bool(same) == (left[still] in ("frozen", "unused in training"))


class Looking(nn.Module):
    """What it computes depends on its data: PyTorch has no rule for several networks at once."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x) if x.sum() > 0 else self.head(x) * x.mean().item()  # type: ignore[no-any-return]


class SparseGradients(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(12, 16, sparse=True), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x).mean(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("strategy", ["magnitude", "random"])
@pytest.mark.parametrize(("make", "shape"), [(Looking, (8,)), (SparseGradients, (5,))])
def test_networks_that_cannot_be_trained_together_are_trained_one_after_another(
    make: Callable[[], nn.Module], shape: tuple[int, ...], strategy: str, tmp_path: Path
) -> None:
    task = task_of(make, shape, words=make is SparseGradients)
    result = ticketsearch.run(strategy, task, sparsity=0.5, budget="20ep", orders=2, checkpoints=0, out=tmp_path)
    ticket = ticketsearch.load_ticket(result.run)
    applied = ticket.apply(task.build(1), trained=True).eval()
    with torch.no_grad():
        right = applied(task.test.inputs).argmax(1) == task.test.labels
    assert float(right.double().mean()) == pytest.approx(result.confirmation.test_accuracies[0], abs=0.051)
    if make is SparseGradients:
        embedding = ticket.state_dict()["embedding.weight"], ticket.state_dict(trained=True)["embedding.weight"]
        assert (embedding[0] != embedding[1]).any()
