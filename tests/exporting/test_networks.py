"""Networks of all kinds through export, with tickets made by hand, against the network under its mask."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.helpers.masked import noise
from tests.helpers.tickets import ticket_of
from ticketsearch.applying import unwrapped
from ticketsearch.errors import InvalidValue
from ticketsearch.exporting import Exported, Latency, export, formats

VERB = importlib.import_module("ticketsearch.exporting.network")
Export = Callable[..., Exported]


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """``export`` of a run that has a network, its inputs and a ticket, and no folder."""

    def verb(
        make: Callable[[], nn.Module],
        prunable: list[str],
        inputs: Tensor,
        name: str,
        plain: Callable[[], nn.Module] | None = None,
        **how: Any,
    ) -> Exported:
        ticket = ticket_of((plain or make)(), *prunable)
        task = SimpleNamespace(build=lambda seed: unwrapped(make()), validation=SimpleNamespace(inputs=inputs))
        result = SimpleNamespace(mask_digest=ticket.mask_digest, run="by hand", task_source=None)
        for key, value in (("read_result", result), ("load_ticket", ticket), ("read_spec", None), ("task_of", task)):
            monkeypatch.setattr(VERB, key, lambda *given, value=value: value)
        return export(tmp_path, tmp_path / name, latency=Latency(repeats=1), **how)

    return verb


class Shared(nn.Module):
    """A weight of two layers, one of which is registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.again(self.second(self.first(x).tanh()).tanh()))
        return result


class Versioned(nn.Sequential):
    """As torchvision's MNASNet does."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *others: Any) -> None:
        if metadata.get("version") != 2:
            raise ValueError(f"version should be 2, not {metadata.get('version')}")
        super()._load_from_state_dict(state, prefix, metadata, *others)


def by_mask(make: Callable[[], nn.Module], prunable: list[str]) -> Any:
    """The network under the ticket's mask, its values put in one by one."""
    network = make()
    with torch.no_grad():
        for name, array in ticket_of(make(), *prunable).state_dict(trained=True).items():
            owner, _, key = name.rpartition(".")
            getattr(network.get_submodule(owner), key).copy_(torch.from_numpy(np.array(array)))
    return network.eval()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("file_format", ["state-dict", "torch-prune"])
def test_shared_tensors_are_written_under_each_name(
    exported: Export, tmp_path: Path, suffix: str, file_format: str
) -> None:
    prunable, inputs = ["first.weight", "head.weight"], noise(5, 6)
    found = exported(Shared, prunable, inputs, f"a.{suffix}", format=file_format)
    assert found.difference == 0
    read = load_file if suffix == "safetensors" else lambda path: torch.load(path, weights_only=True)
    state, network = read(tmp_path / f"a.{suffix}"), Shared()
    if file_format == "torch-prune":
        names = ("first.weight_orig", "second.weight_mask", "again.weight_orig", "head.weight_mask")
        assert set(names) <= set(state)
        return
    network.load_state_dict(state)
    assert torch.equal(network(inputs), by_mask(Shared, prunable)(inputs))


def test_a_network_that_asks_for_version_numbers_is_written_and_that_is_said(exported: Export, tmp_path: Path) -> None:
    def make() -> nn.Module:
        return Versioned(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))

    assert exported(make, ["0.weight"], noise(5, 6), "a.pt", format="state-dict").notes == ()
    make().load_state_dict(torch.load(tmp_path / "a.pt", weights_only=True))
    found = exported(make, ["0.weight"], noise(5, 6), "a.safetensors", format="state-dict")
    assert "asks for version numbers, which safetensors cannot hold" in found.notes[0]
    assert exported(make, ["0.weight"], noise(5, 6), "a.pt2", format="compact").difference <= 1e-5


def test_a_state_that_is_not_only_tensors_goes_into_one_file(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2), "_extra_state": {"scale": 2.0}}
    data = formats.state_bytes(state, tmp_path / "a.pt")
    assert formats.state_of(data, tmp_path / "a.pt")["_extra_state"] == {"scale": 2.0}
    with pytest.raises(InvalidValue, match=r"'_extra_state' is dict, .*ends in \.pt"):
        formats.state_bytes(state, tmp_path / "a.safetensors")


def test_onnx_is_timed_against_the_dense_network_in_the_same_runtime(
    exported: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's layers cannot be called while latencies are taken."""
    measure = VERB.interleaved

    def without_torch(computations: list[Callable[[], object]], repeats: int) -> list[list[float]]:
        def refuse(self: nn.Module, x: Tensor) -> Tensor:
            raise AssertionError("a layer of PyTorch's was called")

        with monkeypatch.context() as patch:
            patch.setattr(nn.Linear, "forward", refuse)
            times: list[list[float]] = measure(computations, repeats)
        return times

    monkeypatch.setattr(VERB, "interleaved", without_torch)

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))

    found = exported(make, ["0.weight"], noise(5, 6), "a.onnx", format="onnx")
    assert found.runtime == "onnxruntime"
    assert min(found.latency_ms) > 0


class Mixed(nn.Module):
    """Tokens by number; attention, a recurrent layer, and a hidden layer that can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.cell, self.up, self.head = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h, _ = self.cell(h + self.mix(h, h, h, need_weights=False)[0])
        result: Tensor = self.head(self.up(h).relu().mean(1))
        return result


class Double(nn.Module):
    """Residual, in double precision inside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.head = (nn.Linear(*pair).double() for pair in ((6, 9), (9, 9), (9, 3)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.double()).relu()
        result: Tensor = self.head(x + self.block(x).relu()).float()
        return result


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(9), nn.ReLU(), nn.LazyLinear(3))


def eager() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


TOKENS, VECTORS = (torch.arange(40).reshape(8, 5) * 3) % 11, noise(8, 6)
KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], list[str], Tensor]] = {
    "mixed": (Mixed, Mixed, ["mix.in_proj_weight", "mix.out_proj.weight", "cell.weight_hh_l0", "up.weight"], TOKENS),
    "double": (Double, Double, ["first.weight", "block.weight", "head.weight"], VECTORS),
    "lazy": (lazy, eager, ["0.weight", "2.weight"], VECTORS),
    "parallel": (lambda: nn.DataParallel(eager()), eager, ["0.weight", "2.weight"], VECTORS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_all_kinds_are_exported(kind: str, exported: Export, tmp_path: Path) -> None:
    make, plain, prunable, inputs = KINDS[kind]
    network = by_mask(plain, prunable)
    other = inputs[[1, 0, 2]]
    for file_format, name in (("state-dict", "a.safetensors"), ("torch-prune", "a.pt"), ("compact", "a.pt2")):
        found = exported(make, prunable, inputs, name, plain, format=file_format)
        assert found.difference <= 1e-6
    again = plain().eval()
    again.load_state_dict(load_file(tmp_path / "a.safetensors"))
    program = torch.export.load(tmp_path / "a.pt2").module()
    with torch.no_grad():
        assert torch.equal(again(other), network(other))
        assert torch.allclose(program(other), network(other), atol=1e-6)


def test_attention_recurrence_and_embeddings_run_in_onnx_runtime(exported: Export, tmp_path: Path) -> None:
    make, _, prunable, inputs = KINDS["mixed"]
    exported(make, prunable, inputs, "a.onnx", format="onnx")
    other = inputs[[1, 0, 2]]
    with torch.no_grad():
        wanted = by_mask(make, prunable)(other)
    assert torch.allclose(formats.onnx_of((tmp_path / "a.onnx").read_bytes())(other), wanted, atol=1e-5)


def test_a_network_that_is_not_the_runs_is_refused(exported: Export) -> None:
    class More(nn.Sequential):
        def __init__(self, count: list[int]) -> None:
            super().__init__(nn.Linear(6, 3))
            count.append(1)
            if len(count) > 1:
                self.scale = nn.Parameter(torch.ones(3))

    made: list[int] = []
    with pytest.raises(InvalidValue, match="the ticket has nothing for the module's 'scale'"):
        exported(lambda: More(made), ["0.weight"], VECTORS, "a.pt")
