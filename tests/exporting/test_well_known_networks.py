"""Networks that people bring, from torchvision and of text: searched, confirmed, applied, and exported to every format.

Marked slow: ``pytest -m slow``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

import ticketsearch
from ticketsearch import Recipe, Result, Split, Task
from ticketsearch.exporting import Latency

CLASSES = 3
EXAMPLES = 24
"""Of each split."""
pytestmark = pytest.mark.slow


class LSTMClassifier(nn.Module):
    """Two layers of LSTM over a sequence, and its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 16, num_layers=2, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


class TextClassifier(nn.Module):
    """Tokens embedded, mixed by a transformer layer, and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.mix = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.embedding(x)).mean(1))  # type: ignore[no-any-return]


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(  # type: ignore[no-any-return]
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=CLASSES
    )


def swin() -> nn.Module:
    return torchvision.models.SwinTransformer(  # type: ignore[no-any-return]
        patch_size=[2, 2], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=CLASSES
    )


def convnext() -> nn.Module:
    block = torchvision.models.convnext.CNBlockConfig
    blocks = [block(16, 32, 1), block(32, None, 1)]
    return torchvision.models.ConvNeXt(blocks, num_classes=CLASSES)  # type: ignore[no-any-return]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "vit": (vit, "image"),
    "swin": (swin, "image"),
    "convnext": (convnext, "image"),
    "mnasnet0_5": (lambda: torchvision.models.mnasnet0_5(num_classes=CLASSES), "image"),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=CLASSES), "image"),
    "lstm": (LSTMClassifier, "sequence"),
    "text": (TextClassifier, "tokens"),
}


def task_of(name: str) -> Task:
    network, kind = NETWORKS[name]
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(3 * EXAMPLES) % CLASSES
    if kind == "tokens":
        inputs = torch.randint(0, 50, (3 * EXAMPLES, 12), generator=random)
        inputs[:, ::3] = labels[:, None]
    else:
        shape = (3, 32, 32) if kind == "image" else (12, 6)
        inputs = torch.randn(3 * EXAMPLES, *shape, generator=random)
        inputs[torch.arange(3 * EXAMPLES), ..., labels] += 2
    parts = [slice(start, start + EXAMPLES) for start in range(0, 3 * EXAMPLES, EXAMPLES)]
    train, validation, test = (Split(inputs[part], labels[part]) for part in parts)
    recipe = Recipe(optimizer="adam", steps=6, batch_size=12, learning_rate=1e-3)
    return Task(name, network, train, validation, test, recipe, fidelity=2)


@pytest.fixture(scope="module", params=NETWORKS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Result]:
    task = task_of(request.param)
    out = tmp_path_factory.mktemp(task.name)
    return task, ticketsearch.run(
        "magnitude", task, sparsity=0.6, budget="60ep", orders=1, checkpoints=0, out=out, controls=()
    )


def masked(task: Task, result: Result) -> nn.Module:
    """The run's network by PyTorch alone: parameters and buffers of the ticket's state dict, which has its zeros."""
    network = task.build(1)
    state = {
        name: torch.from_numpy(np.array(array)) for name, array in ticket_of(result).state_dict(trained=True).items()
    }
    assert not {name for name, _ in network.named_parameters()} - set(state)
    return loaded(network, state)


def loaded(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """The state in place of the network's own, whose version numbers torchvision's MNASNet asks for."""
    own = network.state_dict()
    assert not set(state) - set(own)
    own.update(state)
    network.load_state_dict(own)
    return network.eval()


def ticket_of(result: Result) -> ticketsearch.SavedTicket:
    return ticketsearch.load_ticket(result.run)


def test_the_applied_network_is_the_reported_one(found: tuple[Task, Result]) -> None:
    task, result = found
    ticket = ticket_of(result)
    network = ticket.apply(task.build(1), trained=True).eval()
    with torch.no_grad():
        scores = network(task.test.inputs)
        torch.testing.assert_close(scores, masked(task, result)(task.test.inputs))
    accuracy = float((scores.argmax(1) == task.test.labels).double().mean())
    assert accuracy == pytest.approx(result.confirmation.test_accuracies[0], abs=1 / EXAMPLES + 1e-9)
    zeros = {
        name: int((network.get_parameter(f"{name}_orig") * mask == 0).sum())
        for name, mask in ((n, torch.from_numpy(m)) for n, m in ticket.masks().items())
    }
    assert sum(zeros.values()) >= result.n_weights - result.n_kept


@pytest.mark.parametrize("format", ["compact", "onnx", "state-dict", "torch-prune"])
@pytest.mark.filterwarnings("ignore")  # of torch's own exporters
def test_every_format_computes_what_the_masked_network_does(
    found: tuple[Task, Result],
    format: str,  # noqa: A002
    tmp_path: Path,
) -> None:
    task, result = found
    suffix = {"compact": "pt2", "onnx": "onnx", "state-dict": "safetensors", "torch-prune": "pt"}[format]
    path = tmp_path / f"ticket.{suffix}"
    ticketsearch.export(result.run, path, format=format, latency=Latency(8, 1), task=task)
    inputs = task.test.inputs[:8]
    with torch.no_grad():
        wanted = masked(task, result)(inputs)
        torch.testing.assert_close(read(path, format, task, inputs), wanted, rtol=1e-3, atol=1e-4)


def read(path: Path, format: str, task: Task, inputs: Tensor) -> Tensor:  # noqa: A002
    """What the file computes, by the library that a user has."""
    if format == "compact":
        return torch.export.load(path).module()(inputs)  # type: ignore[no-any-return]
    if format == "onnx":
        session = onnxruntime.InferenceSession(path)
        [scores] = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
        return torch.from_numpy(scores)
    network = task.build(2)
    if format == "torch-prune":
        state = torch.load(path, weights_only=True)
        for name in [name for name in state if name.endswith("_orig")]:
            key = name.removesuffix("_orig")
            state[key] = state.pop(name) * state.pop(f"{key}_mask")
    else:
        state = load_file(path)
    return loaded(network, state)(inputs)  # type: ignore[no-any-return]
