"""A ticket applied to networks of all kinds: it has a place for every tensor, and what is pruned never regrows."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel

from tests.helpers.tickets import pruned_of, ticket_of
from ticketsearch import SavedTicket
from ticketsearch.errors import InvalidValue


class Mixed(nn.Module):
    """Attention, a recurrent layer, a layer used by its weight alone, and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cell = nn.GRU(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.by_weight, self.head = nn.Linear(12, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h = self.cell(h + self.mix(h, h, h, need_weights=False)[0])[0].mean(1)
        result: Tensor = self.head(F.linear(h, self.by_weight.weight, self.by_weight.bias).tanh())
        return result


MIXED = (
    "mix.in_proj_weight",
    "mix.out_proj.weight",
    "cell.weight_ih_l0",
    "cell.weight_hh_l1_reverse",
    "by_weight.weight",
    "head.weight",
)


class Tied(nn.Module):
    """One weight under three names: two layers share it, and one of these is registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.again(self.second(self.first(x).tanh()).tanh()))
        return result


TOKENS = torch.arange(40).reshape(8, 5) % 11
NUMBERS = torch.linspace(-1, 1, 48).reshape(8, 6)
LABELS = torch.arange(8) % 3


def train(network: nn.Module, inputs: Tensor, steps: int = 5, kind: Callable[..., Any] = torch.optim.SGD) -> None:
    """With momentum and weight decay, as much of both as pruned weights could regrow by."""
    how = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(network.parameters(), lr=0.1, weight_decay=0.1, **how)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(inputs).float(), LABELS).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def masked(network: nn.Module, ticket: SavedTicket) -> nn.Module:
    """The network with the ticket's values, by a plain state dict."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in ticket.state_dict().items()}
    network.load_state_dict(state, strict=False)
    return network


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_weights_read_without_their_layer_being_called_stay_pruned(kind: Callable[..., Any]) -> None:
    ticket = ticket_of(Mixed(), *MIXED)
    network = ticket.apply(Mixed())
    assert torch.allclose(network(TOKENS), masked(Mixed(), ticket)(TOKENS), atol=1e-6)
    before = network(TOKENS).detach()
    train(network, TOKENS, kind=kind)
    for name, mask in ticket.masks().items():
        assert not pruned_of(network, mask, name).any(), name
        assert pruned_of(network, ~mask, name).all(), name
    assert not torch.allclose(network(TOKENS), before, atol=0.01)
    assert prune.is_pruned(network)
    state = network.state_dict()
    assert torch.equal(state["mix.in_proj_weight_mask"], torch.from_numpy(ticket.masks()["mix.in_proj_weight"]).float())


def test_training_is_that_of_a_plain_loop_which_puts_zeros_back() -> None:
    ticket = ticket_of(Mixed(), *MIXED)
    network, plain = ticket.apply(Mixed()), masked(Mixed(), ticket)
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1) for one in (network, plain)]
    for _ in range(5):
        for one, optimizer in zip((network, plain), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(one(TOKENS), LABELS).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            for name, mask in ticket.masks().items():
                plain.get_parameter(name).mul_(torch.from_numpy(mask))
    assert torch.allclose(network(TOKENS), plain(TOKENS), atol=1e-5)


def test_pruning_is_removed_for_good() -> None:
    ticket = ticket_of(Mixed(), *MIXED)
    network: Any = ticket.apply(Mixed())
    train(network, TOKENS)
    before = network(TOKENS)
    for name in MIXED:
        owner, _, key = name.rpartition(".")
        prune.remove(network.get_submodule(owner), key)  # type: ignore[no-untyped-call]
    assert not prune.is_pruned(network)
    assert set(network.state_dict()) == set(Mixed().state_dict())
    assert [type(part) for part in network.modules()] == [type(part) for part in Mixed().modules()]
    assert torch.allclose(network(TOKENS), before, atol=1e-6)
    for name, mask in ticket.masks().items():
        assert not pruned_of(network, mask, name).any(), name
    assert all(
        one is network.cell.get_parameter(name)
        for one, name in zip(network.cell._flat_weights, network.cell._flat_weights_names, strict=True)
    )
    train(network, TOKENS)  # and from here on everything is free
    assert pruned_of(network, ticket.masks()["head.weight"], "head.weight").any()


def test_masks_hold_at_every_name_of_a_tensor() -> None:
    """The ticket has the first name; PyTorch's own pruning leaves the others free."""
    ticket = ticket_of(Tied(), "first.weight", "head.weight")
    network = ticket.apply(Tied())
    assert torch.allclose(network(NUMBERS), masked(Tied(), ticket)(NUMBERS), atol=1e-6)
    train(network, NUMBERS)
    names = ("first.weight", "second.weight", "again.weight", "first.weight_orig", "second.weight_orig")
    assert not pruned_of(network, ticket.masks()["first.weight"], *names).any()
    assert pruned_of(network, ~ticket.masks()["first.weight"], *names).all()
    assert len(list(network.parameters())) == len(list(Tied().parameters()))
    for part in (network.get_submodule("first"), network.get_submodule("second")):
        prune.remove(part, "weight")  # type: ignore[no-untyped-call]
    assert network.get_parameter("first.weight") is network.get_parameter("second.weight")
    untied = Tied()
    untied.second = nn.Linear(6, 6)
    other = ticket_of(untied, "first.weight", "second.weight")
    with pytest.raises(InvalidValue, match=r"'first\.weight', 'second\.weight' are one tensor in the module"):
        other.apply(Tied())


@pytest.mark.parametrize(
    ("make", "names", "inputs"), [(Mixed, MIXED, TOKENS), (Tied, ("first.weight", "head.weight"), NUMBERS)]
)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_hold_their_zeros_by_themselves(
    make: Callable[[], nn.Module], names: tuple[str, ...], inputs: Tensor, how: str
) -> None:
    def again(module: nn.Module) -> Any:
        if how == "deepcopy":
            return copy.deepcopy(module)
        buffer = io.BytesIO()
        torch.save(module, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=False)

    ticket = ticket_of(make(), *names)
    network = ticket.apply(make())
    first = again(network)
    train(network, inputs, 2)
    second = again(again(network))
    assert torch.equal(second(inputs), network(inputs))
    assert not torch.equal(first(inputs), network(inputs))
    wanted = network(inputs).detach()
    train(second, inputs, 3)
    assert torch.equal(network(inputs), wanted)  # nothing is shared
    train(first, inputs, 5)
    train(network, inputs, 3)
    assert torch.allclose(second(inputs), network(inputs), atol=0.2)
    for one in (network, first, second):
        for name, mask in ticket.masks().items():
            assert not pruned_of(one, mask, name).any()
        for part in one.modules():
            for hook in list(part._forward_pre_hooks.values()):
                prune.remove(part, hook._tensor_name)  # type: ignore[no-untyped-call]
        assert not prune.is_pruned(one)
        assert [type(part) for part in one.modules()] == [type(part) for part in make().modules()]


@pytest.mark.parametrize("buffers", [False, True])
def test_averages_of_weights_hold_the_zeros(buffers: bool) -> None:
    ticket = ticket_of(Mixed(), *MIXED)
    network = ticket.apply(Mixed())
    average = AveragedModel(network, use_buffers=buffers)
    seen = []
    for _ in range(3):
        train(network, TOKENS, 2)
        average.update_parameters(network)
        seen.append(network.get_parameter("by_weight.weight_orig").detach().clone())
    inner: Any = average.module
    assert torch.allclose(inner.by_weight.weight, torch.stack(seen).mean(0), atol=1e-6)
    for name, mask in ticket.masks().items():
        assert not pruned_of(inner, mask, name).any()
    assert bool(torch.isfinite(average(TOKENS)).all())


def test_more_pruning_on_top_counts() -> None:
    ticket = ticket_of(Tied(), "first.weight", "head.weight")
    network: Any = ticket.apply(Tied())
    mask = ticket.masks()["head.weight"]
    prune.l1_unstructured(network.head, "weight", amount=3)  # type: ignore[no-untyped-call]
    train(network, NUMBERS)
    assert int((network.head.weight != 0).sum()) == int(mask.sum()) - 3
    copied = copy.deepcopy(network)
    prune.remove(network.head, "weight")  # type: ignore[no-untyped-call]
    assert type(network.head) is nn.Linear
    assert int((network.head.weight != 0).sum()) == int(mask.sum()) - 3
    assert torch.equal(copied.head.weight, network.head.weight)


def test_a_module_with_other_tensors_is_refused_and_left_alone() -> None:
    class More(Tied):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.auxiliary = nn.Parameter(torch.ones(3)), nn.Linear(6, 2)

    ticket, richer = ticket_of(Tied(), "first.weight"), ticket_of(More(), "first.weight")
    for one, module, words in (
        (ticket, More(), r"has nothing for the module's 'scale', 'auxiliary\.weight', 'auxiliary\.bias'; build"),
        (richer, Tied(), r"nothing by the name of 'scale', 'auxiliary\.weight', 'auxiliary\.bias', which"),
        (ticket, nn.Sequential(nn.Linear(6, 6)), r"nothing by the name of 'first\.weight', 'first\.bias', .*, which"),
        (ticket, ticket.apply(Tied()), r"'first\.weight' is pruned already; torch\.nn\.utils\.prune\.remove undoes"),
    ):
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        with pytest.raises(InvalidValue, match=words):
            one.apply(module)
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda one: torch.compile(one, backend="eager")])
def test_what_wraps_a_network_adds_no_names(wrap: Callable[[nn.Module], Any]) -> None:
    ticket = ticket_of(perceptron(), "0.weight", "3.weight")
    inner = perceptron()
    wrapped = wrap(inner)
    wrapped(NUMBERS)  # compiled before it is changed
    assert ticket.apply(wrapped) is wrapped
    train(wrapped, NUMBERS)
    for name, mask in ticket.masks().items():
        assert not pruned_of(inner, mask, name).any()
    torch.compiler.reset()


def test_lazy_modules_get_their_shapes_from_the_ticket() -> None:
    def lazy() -> nn.Sequential:
        return nn.Sequential(nn.LazyLinear(9), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))

    ticket = ticket_of(perceptron(), "0.weight", "3.weight")
    network: Any = ticket.apply(lazy()).eval()
    assert torch.allclose(network(NUMBERS), masked(perceptron(), ticket).eval()(NUMBERS), atol=1e-6)
    assert network[0].in_features == 6
    train(network.train(), NUMBERS)
    for name, mask in ticket.masks().items():
        assert not pruned_of(network, mask, name).any()
        prune.remove(network.get_submodule(name.rpartition(".")[0]), "weight")  # type: ignore[no-untyped-call]
    assert type(network[0]) is nn.Linear


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_modules_keep_their_dtype(dtype: torch.dtype) -> None:
    ticket = ticket_of(perceptron(), "0.weight", "3.weight")
    network = ticket.apply(perceptron().to(dtype))
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    train(network, NUMBERS.to(dtype))
    for name, mask in ticket.masks().items():
        assert not pruned_of(network, mask, name).any()
    assert network.get_submodule("0").weight.dtype == dtype
    assert ticket.apply(perceptron()).to(dtype)(NUMBERS.to(dtype)).dtype == dtype  # converted afterwards


def test_parametrizations_and_buffers_that_are_not_saved_have_a_place() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))
            self.register_buffer("shift", torch.zeros(3), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.body(x) + self.shift
            return result

    name = "body.parametrizations.weight.original1"
    ticket = ticket_of(Scaled(), name)
    network: Any = ticket.apply(Scaled())
    assert torch.equal(network.shift, torch.from_numpy(ticket.state_dict()["shift"]))
    train(network, NUMBERS)
    mask = ticket.masks()[name]
    assert not pruned_of(network, mask, name, "body.weight").any()
    assert torch.equal(copy.deepcopy(network)(NUMBERS), network(NUMBERS))


def test_a_state_that_asks_for_version_numbers_is_loaded() -> None:
    class Versioned(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *others: Any) -> None:
            if metadata.get("version") != 2:
                raise ValueError(f"version should be 2, not {metadata.get('version')}")
            super()._load_from_state_dict(state, prefix, metadata, *others)

    ticket = ticket_of(Versioned(6, 3), "weight")
    network = ticket.apply(Versioned(6, 3), trained=True)
    assert torch.equal(network.get_buffer("weight_mask").bool(), torch.from_numpy(ticket.masks()["weight"]))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_scripted_module_is_refused() -> None:
    ticket = ticket_of(perceptron(), "0.weight")
    scripted = torch.jit.trace(perceptron().eval(), NUMBERS)  # type: ignore[no-untyped-call]
    with pytest.raises(InvalidValue, match=r"'0\.weight' is in a scripted module"):
        ticket.apply(scripted)


def test_programs_are_made_of_applied_networks() -> None:
    ticket = ticket_of(perceptron(), "0.weight", "3.weight")
    network = ticket.apply(perceptron()).eval()
    program = torch.export.export(network, (NUMBERS,)).module()
    assert torch.allclose(program(NUMBERS), network(NUMBERS), atol=1e-6)
    assert torch.allclose(torch.fx.symbolic_trace(network)(NUMBERS), network(NUMBERS), atol=1e-6)
