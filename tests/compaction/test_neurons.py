"""Neurons of linear layers are channels: in residual streams, gates and concatenations, of vectors and of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import prune

from tests.helpers.channel_networks import ByHand, silence, trained
from tests.helpers.masked import checked, noise, widths
from ticketsearch import compact, follow_masks

VECTORS, TOKENS, IMAGES = noise(2, 6), noise(2, 5, 6), noise(2, 3, 8, 8)


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs)


@pytest.mark.parametrize("example", [VECTORS, TOKENS], ids=["vectors", "tokens"])
@pytest.mark.parametrize("training", [False, True])
def test_residual_streams_of_neurons_keep_what_any_branch_writes(example: Tensor, training: bool) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = x + self.down(F.gelu(self.up(x)))
        result: Tensor = self.head(x)
        return result

    network = trained(ByHand(forward, first=linear(6, 8), up=linear(8, 10), down=linear(10, 8), head=linear(8, 3)))
    masks = {name: np.ones(tuple(p.shape), dtype=bool) for name, p in network.named_parameters() if p.ndim > 1}
    masks["first.weight"][[0, 1, 2]] = False
    masks["down.weight"][[0, 1]] = False
    masks["up.weight"][[0, 1, 2, 3]] = False
    cut = checked(network, example, follow_masks(network, masks, example=example), training=training)
    assert widths(cut) == {"first": (6, 6), "up": (6, 6), "down": (6, 6), "head": (6, 3)}  # 0 and 1 are nobody's
    assert cut.parameters[1] == 6 * 6 + 6 + 6 * 6 + 6 + 6 * 6 + 6 + 6 * 3 + 3
    assert cut.notes == ()


GATES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "sum": lambda self, x: self.a(x) + self.b(x),
    "in place": lambda self, x: self.a(x).add_(self.b(x)),
    "difference": lambda self, x: self.a(x) - self.b(x) / 2,
    "of itself": lambda self, x: (lambda y: y + self.b(x) + y)(self.a(x)),
    "twice": lambda self, x: torch.add(self.a(x), self.b(x), alpha=2),
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("example", [VECTORS, TOKENS], ids=["vectors", "tokens"])
def test_sums_of_neurons_tie_them(name: str, example: Tensor) -> None:
    network = trained(
        ByHand(lambda self, x: self.c(GATES[name](self, x)), a=linear(6, 7), b=linear(6, 7), c=linear(7, 2))
    )
    silence(network.a, 0, 1, 2)
    silence(network.b, 0, 1, 3)
    assert widths(checked(network, example))["c"] == (5, 2)


@pytest.mark.parametrize("example", [VECTORS, TOKENS], ids=["vectors", "tokens"])
def test_products_of_neurons_are_zero_where_one_is(example: Tensor) -> None:
    network = trained(
        ByHand(
            lambda self, x: self.c(self.a(x) * torch.sigmoid(self.b(x))), a=linear(6, 7), b=linear(6, 7), c=linear(7, 2)
        )
    )
    silence(network.a, 0, 1, 2)
    silence(network.b, 1, 3)  # a gate of one half
    assert widths(checked(network, example)) == {"a": (6, 4), "b": (6, 4), "c": (4, 2)}


@pytest.mark.parametrize("example", [VECTORS, TOKENS], ids=["vectors", "tokens"])
def test_concatenations_of_neurons(example: Tensor) -> None:
    network = trained(
        ByHand(
            lambda self, x: self.c(torch.cat([self.a(x), self.b(x).relu(), self.a(x)], dim=-1)),
            a=linear(6, 4),
            b=linear(6, 5),
            c=linear(13, 2),
        )
    )
    silence(network.a, 1)
    silence(network.b, 0, 4)
    assert widths(checked(network, example)) == {"a": (6, 3), "b": (6, 3), "c": (9, 2)}


def test_tokens_are_averaged_chosen_joined_flattened_and_turned() -> None:
    """The channels of tokens lie along the last axis, until a transposition says otherwise."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.a(x)  # (B, T, C)
        y = torch.cat([y[:, :1], y.transpose(1, 2).mul(2).permute(0, 2, 1)], 1)  # (B, T + 1, C)
        batch, tokens, width = y.shape
        z = self.b(y.reshape(batch * tokens, width)).reshape(batch, tokens, -1)  # (B, T + 1, D)
        whole = torch.cat([z.mean(1), z[:, 0], z.flatten(1)], 1)
        result: Tensor = self.c(whole)
        return result

    network = trained(ByHand(forward, a=linear(6, 5), b=linear(5, 4), c=linear(4 + 4 + 24, 3)))
    silence(network.a, 0, 3)
    silence(network.b, 2)
    cut = checked(network, TOKENS)
    assert widths(cut) == {"a": (6, 3), "b": (3, 3), "c": (3 + 3 + 18, 3)}
    assert cut.notes == ()


class Squeeze(nn.Module):
    """Squeeze and excitation as it is written most: with views that name the number of channels."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1)
        self.down, self.up, self.how = linear(8, 4), linear(4, 8), how

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        batch, channels, _, _ = x.size()
        if self.how == "view":
            y = F.adaptive_avg_pool2d(x, 1).view(batch, channels)
            y = torch.sigmoid(self.up(F.relu(self.down(y)))).view(batch, channels, 1, 1).expand_as(x)
        else:
            y = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))[:, :, None, None]
        result: Tensor = self.b(x * y).flatten(1)
        return result


@pytest.mark.parametrize("how", ["view", "index"])
def test_squeeze_and_excitation_by_linear_layers(how: str) -> None:
    network = trained(Squeeze(how))
    silence(network.a, 0, 1, 5)
    silence(network.down, 2)
    cut = checked(network, IMAGES)
    assert widths(cut) == {"a": (3, 5), "down": (5, 3), "up": (3, 5), "b": (5, 2)}
    assert cut.notes == ()


def test_channels_turned_last_are_cut_by_linear_layers() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.a(x)  # (B, C, H, W)
        y = self.down(F.gelu(self.up(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        result: Tensor = self.head((x + y).mean([2, 3]))
        return result

    network = trained(ByHand(forward, a=nn.Conv2d(3, 6, 3), up=linear(6, 9), down=linear(9, 6), head=linear(6, 2)))
    silence(network.a, 0, 1)
    silence(network.up, 3)
    silence(network.down, 0)
    assert widths(checked(network, IMAGES)) == {"a": (3, 5), "up": (5, 8), "down": (8, 5), "head": (5, 2)}


def test_normalised_tokens_keep_their_stream_and_lose_hidden_neurons() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.down(F.relu(self.up(self.norm(x))))
        result: Tensor = self.head(x.mean(1))
        return result

    network = trained(
        ByHand(
            forward, embed=linear(6, 8), norm=nn.LayerNorm(8), up=linear(8, 12), down=linear(12, 8), head=linear(8, 3)
        )
    )
    for part, gone in ((network.embed, [0, 1]), (network.up, [0, 1, 2]), (network.down, [0, 1])):
        silence(part, *gone)
    cut = checked(network, TOKENS)
    assert widths(cut) == {"embed": (6, 6), "up": (8, 9), "down": (9, 6), "head": (8, 3)}  # widened to a stream of 8
    assert cut.notes == ("LayerNorm is not understood, so the 8 channels it reads are kept",)


class Mixed(nn.Module):
    """Tokens by number; attention, a recurrent layer, and a hidden layer that can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.cell, self.up, self.head = nn.LSTM(8, 6, batch_first=True), linear(6, 9), linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h, _ = self.cell(h + self.mix(h, h, h, need_weights=False)[0])
        result: Tensor = self.head(self.up(h).relu().mean(1))
        return result


def test_attention_recurrence_and_embeddings_keep_their_channels() -> None:
    network, example = trained(Mixed()), torch.arange(10).reshape(2, 5)
    masks = {name: np.ones(tuple(p.shape), dtype=bool) for name, p in network.named_parameters()}
    masks["mix.in_proj_weight"][::2] = masks["cell.weight_ih_l0"][::3] = False
    masks["up.weight"][:4] = masks["up.bias"][:4] = False
    cut = compact(network, masks, example=example)
    assert widths(cut) == {"up": (6, 5), "head": (5, 3)}
    state = network.state_dict()
    for name, mask in masks.items():
        state[name].mul_(torch.from_numpy(mask))
    other = (torch.arange(35).reshape(7, 5) * 3) % 11
    with torch.no_grad():
        assert torch.allclose(cut.module(other), network(other), atol=1e-5)
    products = 2 * 5 * (8 * 24 + 8 * 8) + 2 * 2 * 5 * 5 * 8 + 2 * 5 * 4 * 6 * (8 + 6) + 2 * 5 * 6 * 9 + 2 * 9 * 3
    assert cut.flops[0] == products  # projections, attention, gates, hidden layer, head: fused kernels too


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_of_other_precision_are_cut(dtype: torch.dtype) -> None:
    network = trained(nn.Sequential(linear(6, 8), nn.ReLU(), linear(8, 7), nn.Tanh(), linear(7, 2))).to(dtype)
    silence(network[0], 0, 1)
    network[2].weight.data[3] = 0
    cut = compact(network, example=VECTORS.to(dtype))
    assert widths(cut) == {"0": (6, 6), "2": (6, 6), "4": (6, 2)}
    assert {parameter.dtype for parameter in cut.module.parameters()} == {dtype}
    with torch.no_grad():
        apart = (cut.module(VECTORS.to(dtype)) - network(VECTORS.to(dtype))).abs().max()
    assert float(apart) <= 16 * torch.finfo(dtype).eps


def test_a_wrapped_network_is_the_one_inside() -> None:
    network = trained(nn.Sequential(linear(6, 8), nn.ReLU(), linear(8, 2)))
    masks = {"0.weight": np.arange(8)[:, None].repeat(6, 1) > 2, "0.bias": np.arange(8) > 2}
    wrappers: list[Any] = [nn.DataParallel(network), torch.compile(network, backend="eager")]
    for wrapped in wrappers:
        assert widths(compact(wrapped, masks, example=VECTORS)) == {"0": (6, 5), "2": (5, 2)}


def test_a_module_of_two_names_is_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = linear(6, 8), linear(8, 2)
            self.again = self.a

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.b(F.relu(self.again(x)))
            return result

    network, keep = trained(Twice()), np.arange(8) > 2
    for name in ("a", "again"):
        masks = {f"{name}.weight": keep[:, None].repeat(6, 1), f"{name}.bias": keep}
        cut = compact(network, masks, example=VECTORS, training=True)
        assert widths(cut) == {"a": (6, 5), "b": (5, 2)}


SURPRISES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "split": lambda self, y: torch.cat(torch.split(y, [3, 5], dim=1)[::-1], 1),
    "chunk": lambda self, y: (lambda halves: torch.cat([halves[1], halves[0]], 1))(y.chunk(2, 1)),
    "einsum": lambda self, y: torch.einsum("bi,bj->bj", y, y),
    "matrix": lambda self, y: y @ self.b.weight,
    "function": lambda self, y: F.linear(y, self.b.weight, self.b.bias),
    "stack": lambda self, y: torch.stack([y, y], 2).mean(2),
    "mean of a batch": lambda self, y: y - y.mean(0),
    "all squeezed": lambda self, y: y.squeeze(),
    "all in one": lambda self, y: y.view(-1).view(-1, 8),
    "halves": lambda self, y: y.view(-1, 2, 4).transpose(1, 2).reshape(-1, 8),
    "pooled": lambda self, y: F.max_pool1d(y, 3, 1, 1),
    "own constant": lambda self, y: y + torch.ones(8),
    "own parameter": lambda self, y: y * self.b.bias,
    "indices": lambda self, y: y[:, [0, 1, 2, 3, 4, 5, 6, 7]],
    "size": lambda self, y: torch.zeros(y.size()) + y,
    "number": lambda self, y: y / y.numel(),
    "condition": lambda self, y: torch.where(y > 0, y, -y),
    "keyword": lambda self, y: self.b(input=y),
    "two inputs": lambda self, y: self.two(y, y),
    "groups": lambda self, y: self.groups(y),
    "inside": lambda self, y: self.inner(y[:, None])[:, 0] + self.inner.linear1(y)[:, :8],
    "not a number": lambda self, y: torch.log(y - 0.5),
}


@pytest.mark.parametrize("name", SURPRISES)
@pytest.mark.parametrize("training", [False, True])
def test_a_surprise_keeps_channels_and_is_no_error(name: str, training: bool) -> None:
    network = trained(
        ByHand(
            lambda self, x: self.c(SURPRISES[name](self, F.relu(self.a(self.first(x))))),
            first=linear(6, 7),
            a=linear(7, 8),
            b=linear(8, 8),
            c=linear(8, 2),
            two=nn.Bilinear(8, 8, 8),
            groups=nn.GroupNorm(2, 8),
            inner=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        )
    )
    silence(network.first, 0, 1)
    silence(network.a, 0, 1, 2)
    masks = {name: (p != 0).numpy() for name, p in network.named_parameters() if name.startswith(("first.", "a."))}
    cut = compact(network, masks, example=VECTORS, training=training)
    assert widths(cut)["first"] == (6, 5)  # what is before is cut all the same
    assert "is not understood, so the " in cut.report()
    other = noise(7, 6, seed=6)
    with torch.no_grad():
        assert torch.allclose(cut.module(other), network(other), atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("rule", ["each", "paired", "reduced", "joined"])
def test_an_error_in_a_rule_is_something_not_understood(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ticketsearch.compaction import rules

    def fails(*given: Any) -> Any:
        raise IndexError("too many indices")

    network = trained(
        ByHand(
            lambda self, x: self.c(torch.cat([self.b(F.relu(self.a(x))) + self.a(x)], 1).sum(1)),
            a=linear(6, 7),
            b=linear(7, 7),
            c=linear(7, 2),
        )
    )
    silence(network.a, 0)
    silence(network.b, 0)
    assert checked(network, TOKENS).notes == ()
    monkeypatch.setattr(rules, rule, fails)
    cut = checked(network, TOKENS)
    assert "is not understood, so the " in cut.report()
    assert "nothing was cut" not in cut.report()


def test_a_module_that_was_given_another_forward_is_not_understood() -> None:
    network = trained(nn.Sequential(linear(6, 8), nn.ReLU(), linear(8, 8), nn.ReLU(), linear(8, 2)))
    network[2].forward = lambda x: 2 * x
    silence(network[0], 0)
    cut = checked(network, VECTORS)
    assert widths(cut) == {"0": (6, 8), "4": (8, 2)}
    assert cut.notes == ("Linear is not understood, so the 8 channels it reads are kept",)


class Random(nn.Module):
    """A network over vectors or tokens drawn from a plan."""

    def __init__(self, plan: list[tuple[str, int]], tokens: bool) -> None:
        super().__init__()
        self.plan, self.tokens, width = plan, tokens, 5
        self.parts = nn.ModuleList()
        for kind, hidden in plan:
            part: nn.Module = nn.Identity()
            if kind == "linear":
                part, width = linear(width, hidden), hidden
            elif kind == "sum":
                part = nn.Sequential(linear(width, hidden), nn.ReLU(), linear(hidden, width))
            elif kind == "gate":
                part = nn.Sequential(linear(width, width), nn.Sigmoid())
            elif kind == "join":
                part, width = linear(width, hidden), width + hidden
            elif kind == "norm":
                part = nn.LayerNorm(width)
            self.parts.append(part)
        self.output = linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        for (kind, _), part in zip(self.plan, self.parts, strict=True):
            if kind == "sum":
                x = x + part(x)
            elif kind == "gate":
                x = x * part(x)
            elif kind == "join":
                x = torch.cat([part(x), x], -1)
            elif kind == "turn":
                x = 1 - (x.transpose(0, 1) * 2).transpose(0, 1)
            elif kind == "act":
                x = F.relu(x)
            else:
                x = part(x)
        result: Tensor = self.output(x.mean(1) if self.tokens else x)
        return result


@settings(max_examples=60)
@given(
    plan=st.lists(
        st.tuples(st.sampled_from(["linear", "sum", "gate", "join", "norm", "turn", "act"]), st.integers(1, 6)),
        max_size=7,
    ),
    seed=st.integers(0, 2**32 - 1),
    tokens=st.booleans(),
)
def test_random_networks_of_neurons_agree(plan: list[tuple[str, int]], seed: int, tokens: bool) -> None:
    network = trained(Random([("linear", 6), *plan], tokens), seed % 1000)
    rng = np.random.Generator(np.random.PCG64(seed))
    masks = {}
    for name, parameter in network.named_parameters():
        shape = tuple(parameter.shape)
        rows = (rng.random(shape[0]) < 0.6).reshape(-1, *[1] * (len(shape) - 1))
        masks[name] = np.broadcast_to(rows, shape) & (rng.random(shape) < 0.9 if len(shape) > 1 else rows)
    for training in (False, True):
        cut = checked(network, noise(2, 4, 5) if tokens else noise(2, 5), masks, training=training)
        assert not [note for note in cut.notes if "nothing was cut" in note], cut.notes


def test_a_weight_pruned_in_one_of_two_layers_is_pruned_there_alone() -> None:
    """PyTorch's own pruning of a shared weight: the other layer goes on with all of it."""
    network = trained(nn.Sequential(linear(6, 6), nn.Tanh(), linear(6, 6), nn.Tanh(), linear(6, 2)))
    network[2].weight = network[0].weight
    prune.custom_from_mask(network[0], "weight", torch.arange(36).reshape(6, 6) % 3 > 0)  # type: ignore[no-untyped-call]
    cut = compact(network, example=VECTORS)
    with torch.no_grad():
        assert torch.allclose(cut.module(VECTORS), network(VECTORS), atol=1e-6)
    assert prune.is_pruned(network[0])


def test_states_keep_their_version_numbers() -> None:
    class Versioned(nn.Sequential):
        _version = 2

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *others: Any) -> None:
            if metadata.get("version") != 2:
                raise ValueError(f"version should be 2, not {metadata.get('version')}")
            super()._load_from_state_dict(state, prefix, metadata, *others)

    network = trained(Versioned(linear(6, 6), nn.Tanh(), linear(6, 2)))
    masks = {"0.weight": np.arange(6)[:, None].repeat(6, 1) > 2, "0.bias": np.arange(6) > 2}
    cut = compact(network, masks, example=VECTORS, training=True)
    network.load_state_dict(cut.scatter(cut.module.state_dict(), network.state_dict()))
    cut.module.load_state_dict(cut.gather(network.state_dict()))
    with torch.no_grad():
        assert torch.allclose(cut.module(VECTORS), network(VECTORS), atol=1e-6)


def test_masks_follow_outputs_and_nothing_else() -> None:
    """The rows of an embedding are words, those of a transposed convolution are inputs."""

    def forward(self: Any, x: Tensor) -> Tensor:
        result: Tensor = self.turned(self.norm(self.a(x))).flatten(1)
        return result

    network = trained(ByHand(forward, a=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), turned=nn.ConvTranspose2d(4, 4, 3)))
    masks = {name: np.ones(tuple(p.shape), dtype=bool) for name, p in network.named_parameters() if p.ndim > 1}
    masks["a.weight"][1] = masks["turned.weight"][2] = False
    found = follow_masks(network, masks, example=IMAGES)
    assert set(found) == {"a.weight", "turned.weight", "a.bias", "norm.weight", "norm.bias"}
    assert found["norm.bias"].tolist() == [True, False, True, True]
