"""Networks as users bring them, drawn from a seed: chains of layers, and what makes them other networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.utils import prune

CLASSES, FEATURES, TOKENS, WORDS = 3, 8, 4, 20
Rng = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """A network, what it takes, and whether it can be trained.

    Attributes:
        kinds: what was drawn.
        make: a fresh one.
        shape: of an example.
        words: whether examples are integers.
        refused: a part of the message, if it must be refused.
    """

    kinds: tuple[str, ...]
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: bool = False
    refused: str = ""


class Square(nn.Identity):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


class Halves(nn.Flatten):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


class Scaled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


class Residual(nn.Module):
    def __init__(self, inside: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.inside, self.norm = inside, norm

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + torch.relu(self.inside(self.norm(x)))
        return result


class Functional(nn.Module):
    """Uses its layers' weights without calling them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.scale = nn.Linear(width, width), nn.Linear(width, width), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.linear(x, self.b.weight, self.b.bias)) @ self.a.weight.T * self.scale + self.a.bias


class Unused(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.auxiliary, self.body = nn.Linear(5, 4), body

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x)
        return result


class Average(nn.Module):
    """A buffer that moves with the batches, as running statistics do."""

    mean: Tensor

    def __init__(self, width: int, *, assigned: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.assigned = assigned

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.assigned:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        elif self.training:
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return x - self.mean.detach()


class Counter(nn.Module):
    """Counts its calls: in an integer buffer, or where nobody sees it."""

    calls: Tensor

    def __init__(self, *, hidden: bool) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.hidden, self.seen = hidden, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.hidden:
            self.seen += 1
            return x / self.seen
        if self.training:
            self.calls.add_(1)
        return x / (1 + self.calls)


class Hoarder(nn.Module):
    """Keeps its parameters in a list of its own and uses those."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.kept = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kept[0].T


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.mix, self.head = nn.MultiheadAttention(width, 2, batch_first=True), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        result: Tensor = self.head((h + self.mix(h, h, h, need_weights=False)[0]).mean(1))
        return result


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], width: int, *, both_ways: bool) -> None:
        super().__init__()
        self.cell = kind(FEATURES, width, batch_first=True, bidirectional=both_ways)  # type: ignore[call-arg, arg-type]
        self.head = nn.Linear(width * (1 + both_ways), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.cell(x)[0][:, -1])
        return result


class Text(nn.Module):
    def __init__(self, width: int, *, tied: bool) -> None:
        super().__init__()
        self.words, self.hidden = nn.Embedding(WORDS, width), nn.Linear(width, width)
        self.scores, self.head = nn.Linear(width, WORDS), nn.Linear(WORDS, CLASSES)
        if tied:
            self.scores.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(torch.tanh(self.scores(torch.relu(self.hidden(self.words(x).mean(1))))))
        return result


class Transformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(FEATURES, width), nn.Parameter(0.1 * torch.randn(1, TOKENS, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.block(self.embed(x) + self.place).mean(1))
        return result


class Precise(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.double()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x.double()).float()
        return result


def chain(rng: Rng, width: int) -> nn.Sequential:
    """Linear layers with an activation between them, and perhaps a Flatten or an Identity."""
    activation = [nn.ReLU, nn.Tanh][rng.integers(2)]
    layers: list[nn.Module] = [nn.Flatten()] if rng.random() < 0.3 else []
    layers += [nn.Linear(FEATURES, width, bias=bool(rng.random() < 0.8)), activation()]
    if rng.random() < 0.3:
        layers.append(nn.Identity())
    layers += [nn.Linear(width, width), activation(), nn.Linear(width, CLASSES)]
    return nn.Sequential(*layers)


def _linears(network: nn.Module) -> list[nn.Linear]:
    return [one for one in network.modules() if isinstance(one, nn.Linear)]


def _square(layer: nn.Linear) -> bool:
    return layer.in_features == layer.out_features


def _place(network: nn.Sequential) -> int:
    """Behind the first linear layer."""
    return next(i for i, one in enumerate(network) if isinstance(one, nn.Linear)) + 1


def _hook(network: nn.Sequential, rng: Rng) -> None:
    layer = _linears(network)[rng.integers(3)]
    kind = rng.integers(4)
    if kind == 0:
        layer.register_forward_hook(lambda _module, _inputs, output: output * 0.5)
    elif kind == 1:
        layer.register_forward_pre_hook(lambda _module, inputs: (inputs[0] * 0.5,))
    elif kind == 2:
        layer.register_full_backward_hook(
            lambda _module, grads, _outputs: tuple(0.5 * grad for grad in grads if grad is not None)  # type: ignore
        )
    else:
        network.register_forward_hook(lambda _module, _inputs, output: output * 0.5)


def _own_forward(network: nn.Sequential, rng: Rng) -> None:
    layer = _linears(network)[rng.integers(3)]
    layer.forward = lambda x: 0.5 * F.linear(x, layer.weight, layer.bias)  # type: ignore # of another argument name


def _buffer_bias(network: nn.Sequential, rng: Rng) -> None:
    layer = _linears(network)[1 + rng.integers(2)]
    bias = layer._parameters.pop("bias")
    assert bias is not None
    layer.register_buffer("bias", bias.detach().clone())


def _extra(network: nn.Sequential, rng: Rng) -> None:
    layer = _linears(network)[rng.integers(3)]
    layer.extra = nn.Parameter(torch.full((layer.out_features,), 0.5))
    layer.register_forward_hook(lambda module, _inputs, output: output + module.extra)


def _frozen(network: nn.Sequential, rng: Rng) -> None:
    layer = _linears(network)[rng.integers(3)]
    if rng.random() < 0.5:
        layer.requires_grad_(False)
    elif layer.bias is not None:
        layer.bias.requires_grad_(False)


def _tied(network: nn.Sequential, rng: Rng) -> None:
    middle = _linears(network)[1]
    twin = nn.Linear(middle.in_features, middle.out_features)
    twin.weight = middle.weight
    if rng.random() < 0.5:
        twin.bias = middle.bias
    network.insert(_place(network), twin)


def _shared_bias(network: nn.Sequential, _rng: Rng) -> None:
    first, second, _ = _linears(network)
    first.bias = second.bias


def _shared(network: nn.Sequential, rng: Rng) -> None:
    index, layer = next((i, one) for i, one in enumerate(network) if isinstance(one, nn.Linear) and _square(one))
    network.insert(index + 1, [nn.ReLU(), nn.Tanh()][rng.integers(2)])
    network.insert(index + 2, layer)


def _insert(make: Callable[[int], nn.Module]) -> Callable[[nn.Sequential, Rng], None]:
    def change(network: nn.Sequential, _rng: Rng) -> None:
        network.insert(_place(network), make(_linears(network)[0].out_features))

    return change


def _first(make: Callable[[], nn.Module]) -> Callable[[nn.Sequential, Rng], None]:
    def change(network: nn.Sequential, _rng: Rng) -> None:
        network.insert(0, make())

    return change


def _scaled(network: nn.Sequential, _rng: Rng) -> None:
    middle = _linears(network)[1]
    index = next(i for i, one in enumerate(network) if one is middle)
    network[index] = Scaled(middle.in_features, middle.out_features)


def _gradient_hook(network: nn.Sequential, rng: Rng) -> None:
    _linears(network)[rng.integers(3)].weight.register_hook(lambda grad: 0.5 * grad)  # type: ignore[no-untyped-call]


def _normed(network: nn.Sequential, rng: Rng) -> None:
    wrap: list[Callable[[nn.Module], Any]] = [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
    ]
    wrap[rng.integers(2)](_linears(network)[rng.integers(3)])


def _pruned(network: nn.Sequential, rng: Rng) -> None:
    prune.l1_unstructured(_linears(network)[rng.integers(3)], "weight", 0.5)  # type: ignore[no-untyped-call]


def _one_memory(network: nn.Sequential, _rng: Rng) -> None:
    first = _linears(network)[1]
    twin = nn.Linear(first.in_features, first.out_features)
    twin.weight = nn.Parameter(first.weight.data)
    network.insert(_place(network), twin)


CHANGES: dict[str, tuple[Callable[[nn.Sequential, Rng], None], str]] = {
    "hook": (_hook, ""),
    "own forward": (_own_forward, ""),
    "bias a buffer": (_buffer_bias, ""),
    "extra parameter": (_extra, ""),
    "frozen": (_frozen, ""),
    "tied": (_tied, ""),
    "shared bias": (_shared_bias, ""),
    "shared layer": (_shared, ""),
    "square": (_insert(lambda _: Square()), ""),
    "halves": (_first(Halves), ""),
    "subclass": (_scaled, ""),
    "batch norm": (_insert(nn.BatchNorm1d), ""),
    "layer norm": (_insert(nn.LayerNorm), ""),
    "average": (_insert(lambda width: Average(width, assigned=False)), ""),
    "average, assigned": (_insert(lambda width: Average(width, assigned=True)), ""),
    "residual": (_insert(lambda width: Residual(nn.Linear(width, width), nn.LayerNorm(width))), ""),
    "residual norm": (_insert(lambda width: Residual(nn.Linear(width, width), nn.BatchNorm1d(width))), ""),
    "functional": (_insert(Functional), ""),
    "lazy": (_insert(lambda width: nn.LazyLinear(width)), ""),
    "gelu": (_insert(lambda _: nn.GELU()), ""),
    "in place inside": (_insert(lambda _: nn.ReLU(inplace=True)), ""),
    "in place": (_first(lambda: nn.ReLU(inplace=True)), "changes its inputs in place"),
    "gradient hook": (_gradient_hook, "gradient hook"),
    "parametrized": (_normed, "parametrization"),
    "pruned": (_pruned, "torch.nn.utils.prune"),
    "one memory": (_one_memory, "share memory"),
    "hoarder": (_insert(Hoarder), "does not use the parameters"),
    "counter": (_insert(lambda _: Counter(hidden=False)), "changes in training"),
    "hidden counter": (_insert(lambda _: Counter(hidden=True)), "counts its calls"),
}
"""What can be done to a chain, and what the refusal says where it must be refused."""


ALONE = {"shared bias", "subclass", "one memory", "parametrized", "hook", "in place"}
"""Changes that look for layers which another one may have replaced, or hide it."""


def _convolutional(rng: Rng) -> nn.Sequential:
    channels = int(rng.integers(2, 5))
    norm: list[nn.Module] = [nn.BatchNorm2d(channels)] if rng.random() < 0.5 else []
    pool: list[nn.Module] = [nn.MaxPool2d(2)] if rng.random() < 0.5 else [nn.AvgPool2d(2)]
    stride = 1 + int(rng.integers(2))
    size = -(-4 // stride) // 2
    return nn.Sequential(
        nn.Conv2d(2, channels, 3, stride, padding=1),
        *norm,
        nn.ReLU(),
        *pool,
        nn.Flatten(),
        nn.Linear(channels * size * size, CLASSES),
    )


def drawn(seed: int) -> Drawn:
    """The network of a seed: a chain with up to two changes, or one of another kind."""
    rng = np.random.Generator(np.random.PCG64(seed))
    width, kind = 2 * int(rng.integers(2, 7)), rng.random()
    if kind < 0.25:
        return _other(rng, width)
    names = [str(name) for name in rng.choice(list(CHANGES), size=int(rng.integers(3)), replace=False)]
    if len(ALONE & {*names}) and len(names) > 1:
        names = names[:1]
    wrap, state = rng.random(), int(rng.integers(2**62))

    refused = "|".join(filter(None, (CHANGES[name][1] for name in names)))

    def make() -> nn.Module:
        own = np.random.Generator(np.random.PCG64(state))
        network = chain(own, width)
        if "shared bias" in names:
            network = nn.Sequential(
                nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
            )
        for name in names:
            CHANGES[name][0](network, own)
        if wrap < 0.1:
            return Unused(network)
        if wrap < 0.15:
            return nn.DataParallel(network)
        return (
            Precise(network)
            if wrap < 0.25 and not refused and not any("average" in name for name in names)
            else network
        )

    return Drawn((*names, *(["wrapped"] if wrap < 0.25 else [])), make, (FEATURES,), refused=refused)


def _other(rng: Rng, width: int) -> Drawn:
    state, kind = int(rng.integers(2**62)), int(rng.integers(5))
    both_ways, tied = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    cell: type[nn.RNNBase] = [nn.GRU, nn.LSTM, nn.RNN][rng.integers(3)]
    if kind == 0:
        return Drawn(("attention",), lambda: Attention(width), (TOKENS, FEATURES))
    if kind == 1:
        return Drawn((cell.__name__,), lambda: Recurrent(cell, width, both_ways=both_ways), (TOKENS, FEATURES))
    if kind == 2:
        return Drawn(("text",), lambda: Text(width, tied=tied), (TOKENS,), words=True)
    if kind == 3:
        return Drawn(("transformer",), lambda: Transformer(width), (TOKENS, FEATURES))
    return Drawn(("images",), lambda: _convolutional(np.random.Generator(np.random.PCG64(state))), (2, 4, 4))
