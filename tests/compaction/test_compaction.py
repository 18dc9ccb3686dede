"""Cut networks compute what the masked ones do, and are as small as the structure allows."""

from __future__ import annotations

import copy
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

from tests.helpers.channel_networks import ByHand, ResNet, half_masks, layer_masks, silence, trained
from tests.helpers.masked import checked, masked, noise, widths
from ticketsearch import compact, follow_masks
from ticketsearch.arrays import BoolArray
from ticketsearch.errors import InvalidValue
from ticketsearch.exporting import formats


def conv(inputs: int, outputs: int, padding: int = 1, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=padding, **how)


IMAGE = (2, 3, 8, 8)


def test_a_channel_that_writes_nothing_goes() -> None:
    network = trained(nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, 4)))
    silence(network[0], 1, 5)
    silence(network[2], 0)
    cut = checked(network, noise(*IMAGE))
    assert widths(cut) == {"0": (3, 6), "2": (6, 5), "5": (5 * 64, 4)}
    assert cut.parameters == (3 * 8 * 9 + 8 + 8 * 6 * 9 + 6 + 384 * 4 + 4, 3 * 6 * 9 + 6 + 6 * 5 * 9 + 5 + 320 * 4 + 4)
    assert cut.flops[1] == 2 * (64 * 9 * (3 * 6 + 6 * 5) + 320 * 4)
    assert cut.notes == ()
    assert cut.folded == ()


def test_a_channel_that_nothing_reads_goes_and_what_only_it_read_as_well() -> None:
    network = trained(nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 5), nn.ReLU(), conv(5, 6), nn.Flatten()))
    with torch.no_grad():
        network[4].weight[:, [0, 3]] = 0
        network[2].weight[[1, 2, 4], 2] = 0  # channel 2 of the first is read by 0 and 3 alone
    assert widths(checked(network, noise(*IMAGE))) == {"0": (3, 3), "2": (3, 3), "4": (3, 6)}


@pytest.mark.parametrize(("padding", "left"), [(0, 3), (1, 4)])
def test_constants_are_folded_where_that_is_exact(padding: int, left: int) -> None:
    """A channel with a bias alone is constant; the next convolution sees it end at the border if it is padded."""
    network = trained(nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 5, padding, bias=False), nn.Flatten()))
    silence(network[0], 2)
    network[0].bias.data[2] = 0.7
    cut = checked(network, noise(*IMAGE))
    assert widths(cut)["2"] == (left, 5)
    assert cut.folded == (("2",) if padding == 0 else ())
    assert ("1 constant outputs stay" in cut.report()) == (padding == 1)
    network[0].bias.data[2] = -0.7  # ReLU makes it zero
    assert widths(checked(network, noise(*IMAGE)))["2"] == (3, 5)


def test_constants_pass_through_batch_norm() -> None:
    """A pruned filter leaves the shift of its normalisation, less the mean: a constant, folded after the pooling."""
    network = trained(
        nn.Sequential(
            conv(3, 4, bias=False),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 6),
            nn.Sigmoid(),
            nn.Linear(6, 2),
        )
    )
    with torch.no_grad():
        network[0].weight[[0, 1]] = 0
        network[1].weight[2] = 0  # and a scale of zero leaves the shift
    cut = checked(network, noise(*IMAGE))
    assert widths(cut) == {"0": (3, 1), "1": (1, 1), "5": (1, 6), "7": (6, 2)}
    assert cut.folded == ("5",)
    with torch.no_grad():
        network[5].weight[:4] = 0  # four neurons that do not depend on their input
    assert widths(checked(network, noise(*IMAGE)))["7"] == (2, 2)


def test_linear_layers_lose_neurons_on_both_sides() -> None:
    network = trained(
        nn.Sequential(nn.Flatten(), nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3))
    )
    silence(network[1], 0, 1)
    with torch.no_grad():
        network[5].weight[:, 4] = 0
    assert widths(checked(network, noise(2, 10))) == {"1": (10, 5), "3": (5, 5), "5": (5, 3)}


def test_residual_streams_keep_what_any_branch_writes() -> None:
    network = trained(ResNet((8,), blocks=2))
    masks = {name: np.ones(tuple(p.shape), dtype=bool) for name, p in network.named_parameters()}
    for name, gone in (
        ("conv", [0, 1]),
        ("layers.0.conv2", [0, 2]),
        ("layers.1.conv2", [0]),
        ("layers.1.conv1", [5, 6]),
    ):
        masks[f"{name}.weight"][gone] = False
    masks = follow_masks(network, masks, example=noise(2, 3, 8, 8))
    cut = checked(network, noise(2, 3, 8, 8), masks)
    found = widths(cut)
    assert found["conv"] == (3, 7)  # channel 0 alone is written by nobody
    assert found["layers.0.conv2"] == (8, 7)
    assert found["layers.1.conv1"] == (7, 6)
    assert found["layers.1.conv2"] == (6, 7)
    assert found["output"] == (7, 10)
    assert "conv: Conv2d 3 -> 7 (of 8); 1 constant outputs stay" in cut.report()


def test_a_branch_that_is_zero_is_gone() -> None:
    network = trained(ResNet((6,), blocks=2))
    silence(network.get_submodule("layers.0.bn2"), *range(6))
    cut = checked(network, noise(2, 3, 8, 8))
    assert "layers.0.conv1" not in widths(cut)
    assert "layers.0.conv2.weight" not in cut.module.state_dict()
    assert "layers.1.conv1" in widths(cut)
    assert "this sum's other operand is zero" in cut.notes[0]


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("training", [False, True])
def test_a_branch_computes_only_what_it_writes_into_the_stream(option: str, training: bool) -> None:
    network = trained(ResNet((8, 16), blocks=2, option=option))
    example = noise(2, 3, 16, 16)
    masks = follow_masks(network, layer_masks(network), example=example)
    cut = checked(network, example, masks, training=training)
    found, state = widths(cut), cut.module.state_dict()
    assert found["conv"][1] == found["layers.0.conv1"][0] == 4  # which reads the narrow output
    for name, block in network.get_submodule("layers").named_children():
        rows = block.conv2.out_channels // 2
        assert found[f"layers.{name}.conv2"] == (rows, rows)
        assert state[f"layers.{name}.conv2.weight"].shape[:2] == (rows, rows)
        assert state[f"layers.{name}.bn2.running_var"].shape == (rows,)
    if option == "B":
        assert found["layers.2.shortcut.0"][1] == 8
    assert "its zeros are left out of a stream of" in cut.report()
    assert cut.parameters[1] == sum(parameter.numel() for parameter in cut.module.parameters())
    assert cut.flops[1] < 0.45 * cut.flops[0]
    whole = masked(network, masks).state_dict()
    gathered = cut.gather(whole)
    assert all(torch.equal(gathered[name], value) for name, value in state.items())
    if training:
        again = cut.scatter(state, {name: torch.ones_like(value) for name, value in whole.items()})
        assert all(not again[name][torch.from_numpy(~mask)].any() for name, mask in masks.items())
        closed = torch.from_numpy(~masks["layers.0.conv2.weight"].any((1, 2, 3)))
        assert torch.equal(again["layers.0.bn2.running_mean"] == 1, closed)  # nothing of theirs came back


@pytest.mark.parametrize("file_format", ["compact", "onnx"])
def test_widened_streams_are_exported(file_format: str) -> None:
    network = trained(ResNet((8, 16), blocks=2))
    example = noise(2, 3, 16, 16)
    masks = follow_masks(network, layer_masks(network), example=example)
    module = checked(network, example, masks).module
    write, read = {
        "compact": (formats.program_bytes, formats.program_of),
        "onnx": (formats.onnx_bytes, formats.onnx_of),
    }[file_format]
    compute = read(write(module, example))
    for count in (1, 7):
        inputs = noise(count, 3, 16, 16, seed=count)
        with torch.no_grad():
            assert torch.allclose(compute(inputs), masked(network, masks)(inputs), atol=1e-5)


def test_few_zeros_in_a_branch_stay() -> None:
    """Two of eight channels are worth it, one is not; nor are those of a branch that something else reads as well."""
    for gone, left in (([0, 1], 6), ([0], 8)):
        network = trained(ResNet((8,), blocks=2))
        silence(network.get_submodule("layers.0.bn2"), *gone)
        assert widths(checked(network, noise(*IMAGE)))["layers.0.conv2"] == (8, left)

    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.a(x)
        y = self.b(x)
        x = x + y
        y += self.b(x)
        result: Tensor = self.c(torch.cat([x, y.flip(1)], 1)).flatten(1)
        return result

    network = trained(ByHand(forward, a=conv(3, 8), b=conv(8, 8), c=conv(16, 2)))
    silence(network.b, 0, 1, 2)
    assert widths(checked(network, noise(*IMAGE)))["b"] == (8, 8)  # called twice


def test_sums_in_place_take_narrow_branches() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = F.relu(self.a(x), inplace=True)
        y = self.b(x)
        y += x
        y = F.relu(y, inplace=True)
        z = self.c(y)
        y += z
        result: Tensor = self.d(F.relu(y) * 2 + F.relu(z)).flatten(1)
        return result

    network = trained(ByHand(forward, a=conv(3, 8), b=conv(8, 8), c=conv(8, 8), d=conv(8, 2)))
    silence(network.a, 0, 1, 2)
    silence(network.b, 2, 3)
    silence(network.c, 5, 6)
    found = widths(checked(network, noise(*IMAGE)))
    assert [found[name] for name in "abcd"] == [(3, 5), (5, 6), (8, 6), (8, 2)]


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("training", [False, True])
def test_half_of_a_residual_network(option: str, training: bool) -> None:
    network = trained(ResNet((8, 16, 32), blocks=2, option=option))
    assert isinstance(network, ResNet)
    example = noise(2, 3, 16, 16)
    masks = follow_masks(network, half_masks(network), example=example)
    cut = checked(network, example, masks, training=training)
    for layer in cut.layers:
        whole = {"conv": (3, 4), "output": (16, 10)}
        assert (layer.inputs[1], layer.outputs[1]) == whole.get(
            layer.name, (layer.inputs[0] // 2, layer.outputs[0] // 2)
        )
    assert cut.notes == ()


def test_depthwise_and_grouped_convolutions_go_by_groups() -> None:
    network = trained(
        nn.Sequential(
            conv(3, 6),
            nn.BatchNorm2d(6),
            nn.ReLU6(),
            conv(6, 6, groups=6),
            nn.Hardswish(),
            conv(6, 8),
            nn.ReLU(),
            conv(8, 12, groups=4),
            nn.ReLU(),
            conv(12, 2),
            nn.Flatten(),
        )
    )
    silence(network[3], 2)
    silence(network[1], 4)  # its depthwise filter still has a bias: padded, so it stays
    with torch.no_grad():
        network[9].weight[:, 0:3] = 0  # the whole first group
        network[9].weight[:, 4] = 0  # a part of the second one
    cut = checked(network, noise(*IMAGE))
    assert widths(cut)["3"] == (5, 5)
    assert widths(cut)["5"] == (5, 6)
    assert widths(cut)["7"] == (6, 9)
    assert cut.module.get_submodule("7").groups == 3


def test_concatenations_and_gates() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        a, b = F.relu(self.a(x)), F.relu(self.b(x))
        joined = torch.cat([a, b, a], dim=1)
        gate = torch.sigmoid(self.gate(F.adaptive_avg_pool2d(joined, 1)))
        result: Tensor = self.output((joined * gate).mean([2, 3]))
        return result

    network = trained(ByHand(forward, a=conv(3, 4), b=conv(3, 5), gate=nn.Conv2d(13, 13, 1), output=nn.Linear(13, 2)))
    silence(network.a, 1)
    silence(network.b, 0, 4)
    assert widths(checked(network, noise(*IMAGE))) == {"a": (3, 3), "b": (3, 3), "gate": (9, 9), "output": (9, 2)}


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("flip", lambda y: y.flip(1)),
        ("getitem", lambda y: y[:, [1, 0, 2, 3]]),
        ("softmax", lambda y: torch.softmax(y, 1)),
        ("view", lambda y: y.view(2 * y.shape[0], 2, 8, 8).reshape(y.shape[0], 4, 8, 8)),
        ("cumsum", lambda y: y.cumsum(1)),
        ("size", lambda y: y * y.size(1)),
    ],
)
def test_what_is_not_understood_keeps_its_channels(name: str, operation: Callable[[Tensor], Tensor]) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        result: Tensor = self.b(operation(self.a(F.relu(self.first(x))))).flatten(1)
        return result

    network = trained(ByHand(forward, first=conv(3, 4), a=conv(4, 4), b=conv(4, 2)))
    silence(network.first, 3)
    silence(network.a, 0, 1)
    cut = checked(network, noise(*IMAGE))
    assert widths(cut) == {"first": (3, 3), "a": (3, 4), "b": (4, 2)}
    assert any(note.startswith(f"{name} is not understood, so the 4 channels it reads") for note in cut.notes)


def test_values_changed_in_place_are_read_as_they_are_then() -> None:
    """The channel is -1 until ReLU, in place, makes it 0; whoever reads it later reads 0."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.a(x)
        z = F.relu(y, inplace=True)
        result: Tensor = self.b(y + z).flatten(1)
        return result

    network = trained(ByHand(forward, a=conv(3, 4), b=conv(4, 2, 0)))
    silence(network.a, 1)
    network.a.bias.data[1] = -1
    assert checked(network, noise(*IMAGE)).notes == ()


def test_a_layer_that_is_called_twice_is_cut_once() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.relu(self.again(x))
        result: Tensor = self.output(x)
        return result

    network = trained(ByHand(forward, again=nn.Linear(6, 6), output=nn.Linear(6, 2)))
    silence(network.again, 0)
    assert widths(checked(network, noise(2, 6))) == {"again": (6, 6), "output": (6, 2)}  # the input is read whole

    def deeper(self: Any, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(2):
            x = F.relu(self.again(x))
        result: Tensor = self.output(x)
        return result

    network = trained(ByHand(deeper, first=nn.Linear(5, 6), again=nn.Linear(6, 6), output=nn.Linear(6, 2)))
    silence(network.again, 0)
    silence(network.first, 0)
    assert widths(checked(network, noise(2, 5)))["again"] == (5, 5)


def test_shared_weights_are_left_alone() -> None:
    network = trained(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)))
    network[2].weight = network[0].weight
    silence(network[0], 0)
    assert set(widths(checked(network, noise(2, 6)))) == {"4"}


def test_a_network_without_a_graph_is_left_whole_and_that_is_said() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        result: Tensor = self.b(F.relu(self.a(x))) if x.sum() > 0 else self.b(self.a(x))
        return result

    network = trained(ByHand(forward, a=nn.Linear(6, 5), b=nn.Linear(5, 2)))
    silence(network.a, 0)
    cut = checked(network, noise(2, 6))
    assert cut.notes[0].startswith("nothing was cut: the network cannot be traced (symbolically traced variables")
    assert cut.parameters == (47, 47)


def test_functional_dropout_follows_the_mode() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        result: Tensor = self.b(F.dropout(F.relu(self.a(x)), 0.5, self.training))
        return result

    network = trained(ByHand(forward, a=nn.Linear(6, 40), b=nn.Linear(40, 2)))
    cut = checked(network, noise(2, 6))
    assert cut.notes == ()
    first, second = (cut.module.train()(noise(2, 6)) for _ in range(2))
    assert not torch.equal(first, second)


def test_a_network_of_two_modes_is_cut_for_evaluation_only() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        result: Tensor = self.b(F.relu(self.a(x)) * (2 if self.training else 1))
        return result

    network = trained(ByHand(forward, a=nn.Linear(6, 5), b=nn.Linear(5, 2)))
    silence(network.a, 0)
    cut = checked(network, noise(2, 6))
    assert widths(cut)["a"] == (6, 4)
    assert cut.notes == ("in training the network does something else: this one is for evaluation only",)
    masks = {"a.weight": np.arange(5)[:, None].repeat(6, 1) > 0, "a.bias": np.arange(5) > 0}
    assert "nothing was cut" in compact(network, masks, example=noise(2, 6), training=True).notes[0]


def test_what_is_registered_with_torch_prune_counts() -> None:
    network = trained(nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 2)))
    mask = torch.ones(5, 6)
    mask[[0, 2]] = 0
    prune.custom_from_mask(network[0], "weight", mask)  # type: ignore[no-untyped-call]
    cut = compact(network, example=noise(2, 6))
    assert widths(cut)["0"] == (6, 3)
    with torch.no_grad():
        assert torch.allclose(cut.module(noise(2, 6)), network(noise(2, 6)), atol=1e-6)
    assert prune.is_pruned(network[0])


def test_a_collapsed_network_keeps_a_channel() -> None:
    network = trained(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)))
    silence(network[2], *range(4))
    assert widths(checked(network, noise(2, 6))) == {"0": (6, 1), "2": (1, 1), "4": (1, 3)}


def test_masks_that_fit_nothing_are_refused() -> None:
    network = nn.Sequential(nn.Linear(6, 5))
    for masks, words in (
        ({"1.weight": np.ones((5, 6), dtype=bool)}, "'1.weight' has shape .*nothing of that name"),
        ({"0.weight": np.ones((6, 5), dtype=bool)}, r"has shape \(6, 5\), the module has \(5, 6\)"),
    ):
        for verb in (compact, follow_masks):
            with pytest.raises(InvalidValue, match=words):
                verb(network, masks, example=noise(2, 6))
    with pytest.raises(InvalidValue, match=r"cannot process an input of shape \(2, 7\)"):
        compact(network, example=noise(2, 7))


@pytest.mark.parametrize("masks_of", [half_masks, layer_masks])
def test_training_the_cut_network_is_training_the_masked_one(masks_of: Callable[..., dict[str, BoolArray]]) -> None:
    """Twenty steps of SGD with momentum and weight decay, then back in the whole network; both evaluated."""
    network = trained(ResNet((4, 8), blocks=1))
    example = noise(2, 3, 8, 8)
    masks = follow_masks(network, masks_of(network), example=example)
    whole = masked(network, masks).train()
    cut = compact(whole, masks, example=example, training=True)
    assert cut.parameters[1] < 0.4 * cut.parameters[0]
    start = copy.deepcopy(network.state_dict())  # of which the masks are still to be put on
    inputs, labels = noise(64, 3, 8, 8), torch.arange(64) % 10
    for module, held in ((whole, masks), (cut.module, {})):
        assert module.training
        optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
        for step in range(20):
            optimizer.zero_grad()
            F.cross_entropy(module(inputs[step::2]), labels[step::2]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                for name, mask in held.items():
                    module.get_parameter(name).mul_(torch.from_numpy(mask))
    restored = copy.deepcopy(whole)
    restored.load_state_dict(cut.scatter(cut.module.state_dict(), start))
    for module in (whole, restored, cut.module):
        module.eval()
    with torch.no_grad():
        wanted = whole(inputs)
        assert float((wanted - masked(network, masks).eval()(inputs)).abs().max()) > 0.1
        assert torch.allclose(cut.module(inputs), wanted, atol=1e-4)
        assert torch.allclose(restored(inputs), cut.module(inputs), atol=1e-5)
    gathered = cut.gather(restored.state_dict())
    assert all(torch.equal(gathered[name], value) for name, value in cut.module.state_dict().items())


def test_training_trusts_masks_only() -> None:
    """A bias that is zero now will move: nothing is dead without a mask that holds it."""
    network = trained(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    silence(network[0], 0, 1)
    weight = {"0.weight": np.arange(5)[:, None].repeat(6, 1) > 1}
    assert widths(compact(network, weight, example=noise(2, 6), training=True))["0"] == (6, 5)
    both = {**weight, "0.bias": np.arange(5) > 1}
    assert widths(compact(network, both, example=noise(2, 6), training=True))["0"] == (6, 3)
    assert set(follow_masks(network, weight, example=noise(2, 6))) == {"0.weight", "0.bias"}


def test_folded_weights_do_not_fit_back() -> None:
    network = trained(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    with torch.no_grad():
        network[0].weight[0], network[0].bias[0] = 0, 1
    cut = checked(network, noise(2, 6))
    assert cut.folded == ("2",)
    with pytest.raises(InvalidValue, match="2 took constants into the bias"):
        cut.scatter(cut.module.state_dict(), network.state_dict())
    with pytest.raises(InvalidValue, match=r"the state has no '0\.weight'"):
        cut.gather({})


class Random(nn.Module):
    """A network drawn from bytes: convolutions of all kinds, sums, concatenations, then linear layers."""

    def __init__(self, plan: list[tuple[str, int]]) -> None:
        super().__init__()
        self.plan, channels = plan, [3]
        self.parts = nn.ModuleList()
        for kind, width in plan:
            before = channels[-1]
            part: nn.Module = nn.Identity()
            if kind == "conv":
                part, before = conv(before, width, width % 2, bias=width % 3 > 0), width
            elif kind == "depthwise":
                part, before = conv(before, 2 * before, groups=before), 2 * before
            elif kind == "norm":
                part = nn.BatchNorm2d(before)
            elif kind == "sum":
                part = nn.Conv2d(before, before, 1)
            elif kind == "join":
                part, before = nn.Conv2d(before, width, 1), before + width
            elif kind == "act":
                part = [nn.ReLU(), nn.Sigmoid(), nn.Hardswish(), nn.MaxPool2d(2, 1), nn.AvgPool2d(3, 1, 1)][width % 5]
            self.parts.append(part)
            channels.append(before)
        self.hidden, self.output = nn.Linear(channels[-1] * 4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        for (kind, _), part in zip(self.plan, self.parts, strict=True):
            if kind == "sum":
                x = x + part(x)
            elif kind == "join":
                x = torch.cat([part(x), x], 1)
            else:
                x = part(x)
        result: Tensor = self.output(torch.relu(self.hidden(F.adaptive_avg_pool2d(x, 2).flatten(1))))
        return result


@settings(max_examples=40)
@given(
    plan=st.lists(
        st.tuples(st.sampled_from(["conv", "depthwise", "norm", "sum", "join", "act"]), st.integers(1, 6)), max_size=7
    ).filter(lambda plan: [kind for kind, _ in plan].count("depthwise") < 3),
    seed=st.integers(0, 2**32 - 1),
    whole=st.booleans(),
)
def test_random_networks_agree(plan: list[tuple[str, int]], seed: int, whole: bool) -> None:
    """Rows, columns and single weights zeroed at random, biases of silent rows with them half of the time."""
    network = trained(Random(plan), seed % 1000)
    rng = np.random.Generator(np.random.PCG64(seed))
    masks = {}
    for name, parameter in network.named_parameters():
        shape = tuple(parameter.shape)
        rows = rng.random(shape[0]) < 0.6
        keep = np.broadcast_to(rows.reshape(-1, *[1] * (len(shape) - 1)), shape).copy()
        if len(shape) > 1:
            keep &= (rng.random(shape[1]) < 0.7).reshape(1, -1, *[1] * (len(shape) - 2))
            keep &= rng.random(shape) < 0.9
        if len(shape) > 1 or whole:
            masks[name] = keep
    if whole:
        masks = follow_masks(network, masks, example=noise(2, 3, 12, 12))
    for training in (False, True):
        cut = checked(network, noise(2, 3, 12, 12), masks, training=training)
        assert not [note for note in cut.notes if "nothing was cut" in note], cut.notes
        assert cut.parameters[1] <= cut.parameters[0]


def test_classifiers_of_torchvision() -> None:
    """Squeeze-and-excitation, inverted residuals, hard activations: half of the channels, at a third of the FLOPs."""
    from torchvision import models

    network = trained(models.mobilenet_v3_small(weights=None, num_classes=10))
    rng = np.random.Generator(np.random.PCG64(0))
    masks = {
        f"{name}.weight": np.broadcast_to(
            (rng.random(len(part.weight)) < 0.5).reshape(-1, *[1] * (part.weight.ndim - 1)), tuple(part.weight.shape)
        ).copy()
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d)
    }
    example = noise(2, 3, 32, 32)
    cut = checked(network, example, follow_masks(network, masks, example=example))
    assert cut.notes == ()
    assert cut.flops[1] < cut.flops[0] / 2
