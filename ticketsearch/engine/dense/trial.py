"""What the dense engine has to know of a network before it trains it: found by trying, on a few examples.

The engine hands a network its parameters from outside, perhaps those of several candidates at once. Each way of doing
so is held against the module's own forward pass, gradients and running statistics, at weights that are not its initial
ones. A network that tells the difference (it keeps a list of its parameters, or a tensor made from them) is refused.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.engine.dense.calling import Caller
from ticketsearch.engine.dense.draws import Drawing, draws_at
from ticketsearch.errors import InvalidValue
from ticketsearch.seeds import fenced_globals, stream
from ticketsearch.tasks import Task
from ticketsearch.tasks.layout import Layout, gradients_of, persistent_buffers, words_of

EXAMPLES = 8
EPSILON = torch.finfo(torch.float32).eps
"""Networks of double precision may compute a part in single precision."""
State = dict[str, Tensor]


@dataclass(frozen=True)
class Trial:
    """What trying found.

    Attributes:
        draws: what it draws from in training.
        together: whether several candidates can be computed in one operation, with the same results.
    """

    draws: Drawing
    together: bool


@dataclass(frozen=True)
class Pass:
    """What one network makes of a batch: outputs ``(B, C)``, gradients and float buffers, by name."""

    tensors: State
    drew: bool


def tried(task: Task, device: torch.device, *, together: bool) -> Trial:
    """Try a network.

    Args:
        task: network and examples.
        device: where it will be trained.
        together: whether to try several candidates at once.

    Raises:
        InvalidValue: it cannot be trained from outside, or two passes of it differ.
    """
    where, count = f"task {task.name!r}:", min(EXAMPLES, task.recipe.batch_size)
    inputs, labels = task.train.inputs[:count].to(device), task.train.labels[:count].to(device)
    layout, own, call = task.layout, task.build(seed=0).to(device), Caller(task.build(seed=0).to(device))
    states = [perturbed(own, seed) for seed in range(2)]
    try:
        expected = [_own_pass(own, state, layout, inputs, labels) for state in states]
        drawing = _drawing(own, states[0], inputs, where, device)
        found = [_pass_from_outside(call, state, layout, inputs, labels) for state in states for _ in range(2)]
        scores = [_scores(Caller(own), state, inputs, outside=False) for state in states]
        outside = [_scores(call, state, inputs, outside=True) for state in states]
    except InvalidValue:
        raise
    except Exception as error:  # the user's own code
        raise InvalidValue(f"{where} the network fails on a batch {tuple(inputs.shape)}: {words_of(error)}") from error
    for first, second in (found[:2], found[2:]):
        if not agree(first.tensors, second.tensors):
            raise InvalidValue(
                f"{where} the network gives different results for the same weights, inputs and random numbers: it "
                "counts its calls, or draws from a source of its own; a score would not be the mask's"
            )
    pairs = [(one.tensors, two.tensors) for one, two in zip(expected, found[::2], strict=True)]
    if not all(agree(one, two) for one, two in [*pairs, *zip(scores, outside, strict=True)]):
        raise InvalidValue(
            f"{where} the network does not use the parameters it is given: it keeps tensors, or a list of parameters, "
            "outside of them; read each parameter in forward, as self.layer.weight"
        )
    together = together and not drawing and _agree_together(call, states, expected, layout, inputs, labels)
    return Trial(drawing, together)


def perturbed(network: nn.Module, seed: int) -> State:
    """Parameters and persistent float buffers of a network, moved at random; variances stay positive."""
    rng, state = stream(seed, "trial"), {}
    for name, parameter in network.named_parameters():
        values = parameter.detach()
        noise = torch.from_numpy(np.asarray(rng.standard_normal(tuple(values.shape)))).to(values)
        spread = float(values.float().std(correction=0)) if values.numel() else 0.0
        state[name] = values + 0.1 * (spread or 1.0) * noise
    for name, buffer in persistent_buffers(network).items():
        noise = torch.from_numpy(np.asarray(rng.random(tuple(buffer.shape)))).to(buffer)
        state[name] = buffer.detach() * (1 + 0.1 * noise)
    return state


def loaded(network: nn.Module, state: State) -> nn.Module:
    """A network with a state as its own, in place."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for name, value in state.items():
            tensors[name].copy_(value)
    return network


def agree(one: State, two: State) -> bool:
    """Whether tensors are equal to what their type can tell, each measured by its largest value."""
    if one.keys() != two.keys():
        return False
    for name, a in one.items():
        b = two[name]
        if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
            return False
        a, b = (torch.where(x.isfinite(), x, 0).double() for x in (a, b))
        scale = max(1e-3, float(a.abs().max()) if a.numel() else 0.0)
        worst = float((a - b).abs().max()) if a.numel() else 0.0
        if worst > scale * min(0.05, 1e3 * max(torch.finfo(one[name].dtype).eps, EPSILON)):
            return False
    return True


def _trained(layout: Layout) -> list[str]:
    return [*(layer.name for layer in layout.space.layers), *sorted(layout.trained_rest)]


def _tensors(outputs: Tensor, grads: Sequence[Tensor | None], names: list[str], buffers: State) -> State:
    found = {f"gradient {name}": grad for name, grad in zip(names, grads, strict=True) if grad is not None}
    return {
        "outputs": outputs.detach(),
        **found,
        **{f"buffer {name}": one.detach().clone() for name, one in buffers.items()},
    }


def _own_pass(own: nn.Module, state: State, layout: Layout, inputs: Tensor, labels: Tensor) -> Pass:
    """The module's own."""
    loaded(own, state).train()
    parameters, names = dict(own.named_parameters()), _trained(layout)
    with fenced_globals(0), draws_at(0, np.zeros(1, dtype=np.int64), inputs.device) as draws:
        outputs = own(inputs.clone())
        loss = F.cross_entropy(outputs, labels)
        grads = gradients_of(loss, [parameters[name] for name in names])
    return Pass(_tensors(outputs, grads, names, persistent_buffers(own)), draws.count > 0)


def _pass_from_outside(call: Caller, state: State, layout: Layout, inputs: Tensor, labels: Tensor) -> Pass:
    """As the engine does it, for one network."""
    own, names = {name: tensor.clone() for name, tensor in state.items()}, _trained(layout)
    for name in names:
        own[name].requires_grad_()
    with fenced_globals(0), draws_at(0, np.zeros(1, dtype=np.int64), inputs.device) as draws:
        call.module.train()
        outputs = call(own, inputs.clone())
        loss = F.cross_entropy(outputs, labels)
        grads = gradients_of(loss, [own[name] for name in names])
    buffers = {name: own[name] for name in persistent_buffers(call.module)}
    return Pass(_tensors(outputs, grads, names, buffers), draws.count > 0)


def _scores(call: Caller, state: State, inputs: Tensor, *, outside: bool) -> State:
    """Outputs in evaluation, of the state as its own or from outside."""
    with torch.no_grad():
        if outside:
            own = {name: tensor.clone() for name, tensor in state.items()}
            call.module.eval()
            return {"outputs": call(own, inputs.clone())}
        return {"outputs": loaded(call.module, state).eval()(inputs.clone())}


def _agree_together(
    call: Caller, states: list[State], expected: list[Pass], layout: Layout, inputs: Tensor, labels: Tensor
) -> bool:
    """Whether candidates computed in one operation each get what they get alone."""
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    names = _trained(layout)
    for name in names:
        stacked[name].requires_grad_()

    def one(own: State) -> Tensor:
        return call(own, inputs)

    call.module.train()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an operation that has no rule for it, and would be slow
            outputs = torch.func.vmap(one)(stacked)
            with torch.no_grad():  # and each may have a batch of its own, of which other operations have no rule
                apart = torch.func.vmap(call)({k: v.clone() for k, v in stacked.items()}, torch.stack([inputs] * 2))
            targets = labels.expand(len(states), -1)
            loss = F.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1).sum()
            grads = gradients_of(loss, [stacked[name] for name in names])
    except Exception:  # whatever it is, these networks are computed one after another, which was tried before
        return False
    buffers = {name: stacked[name] for name in persistent_buffers(call.module)}
    if not agree({"outputs": outputs.detach()}, {"outputs": apart}):
        return False
    both = _tensors(outputs, grads, names, buffers)
    rows = [{name: tensor[row] for name, tensor in both.items()} for row in range(len(states))]
    return all(agree(one.tensors, row) for one, row in zip(expected, rows, strict=True))


def _drawing(own: nn.Module, state: State, inputs: Tensor, where: str, device: torch.device) -> Drawing:
    """What the network draws from in training; in evaluation it must not draw."""
    drew, ambient = _drew(own, state, inputs, training=False)
    if drew or ambient:
        raise InvalidValue(f"{where} the network draws random numbers in evaluation; scores would not be its own")
    drew, ambient = _drew(own, state, inputs, training=True)
    if ambient and device.type != "cpu":
        raise InvalidValue(
            f"{where} the network draws random numbers that cannot be repeated on {device.type} (dropout inside "
            "attention or a recurrent layer?); use torch.nn.Dropout, or torch.rand and the like"
        )
    return "globals" if ambient else "streams" if drew else ""


def _drew(own: nn.Module, state: State, inputs: Tensor, *, training: bool) -> tuple[bool, bool]:
    """Whether it drew by functions that take a generator; and from a global one, PyTorch's, NumPy's or Python's."""

    def positions() -> tuple[bytes, str, str]:
        numpy = np.random.get_state()  # noqa: NPY002 - looked at, not used
        return torch.random.get_rng_state().numpy().tobytes(), repr(numpy), repr(random.getstate())

    loaded(own, state).train(training)
    with fenced_globals(0), torch.no_grad():
        before = positions()
        draws = draws_at(0, np.zeros(1, dtype=np.int64), inputs.device)
        with draws if training else nullcontext():
            own(inputs.clone())
        return draws.count > 0, before != positions()
