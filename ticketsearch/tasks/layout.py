"""The map between a torch module and vectors: which weights are prunable, and where each lies.

Every parameter has a place. Prunable are the weights of linear, convolution and recurrent layers and of attention; they
form the mask space. Everything else is the *rest*: biases, normalisation parameters, embeddings, layers left dense,
frozen parameters, running statistics. What of the rest the user's own training would change is trained, never pruned,
never counted. Counters of batches are no part of it: they decide nothing once a normalisation has a momentum, and one
without is refused. Buffers that a state dict does not hold are no part of it either, and must not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.errors import InvalidValue, TicketsearchError
from ticketsearch.masks import MaskSpace
from ticketsearch.masks.ticket import Weights
from ticketsearch.seeds import fenced_globals
from ticketsearch.tasks.modules import check_module, is_kept, owners, prunable_in
from ticketsearch.tasks.products import uses_of


@dataclass(frozen=True)
class Layout:
    """Where every parameter and every persistent float buffer of a network lies.

    Attributes:
        space: names, shapes and uses of the prunable tensors, in order: the vector, ``(D,)``.
        rest_shapes: name -> shape of everything else, in order: the rest, ``(R,)``.
        trained_rest: names in the rest that training changes by gradients.
        classes: outputs of the network.
        dtypes: name -> type of those that are not float32. Vectors are float32 in any case.
        left_dense: names of tensors that look prunable, and why each is not in the space.
        parameters: of the network, whatever they are; tied ones count once.
        fixed_flops: of one example's forward pass through prunable layers that are left dense.
    """

    space: MaskSpace
    rest_shapes: dict[str, tuple[int, ...]]
    trained_rest: frozenset[str]
    classes: int
    dtypes: dict[str, torch.dtype]
    left_dense: dict[str, str]
    parameters: int
    fixed_flops: int

    @property
    def rest_size(self) -> int:
        """R, the numbers in the rest."""
        return sum(prod(shape) for shape in self.rest_shapes.values())


def layout_of(
    network: nn.Module, inputs: Tensor, labels: Tensor, keep: tuple[str, ...] = (), where: str = "the network:"
) -> Layout:
    """Read the layout off a network: one example forward, then one training step, whose gradients say what is used.

    Args:
        network: the module, to spare: its buffers and gradients change.
        inputs: a training batch, ``(B, ...)``.
        labels: its classes, ``(B,)``.
        keep: names or patterns of layers left dense; see :func:`ticketsearch.tasks.modules.is_kept`.
        where: whose network it is, for messages.

    Raises:
        InvalidValue: nothing in it can be pruned, the network fails, or it is no map from a batch to class scores.
    """
    check_module(network, where)
    parameters = dict(network.named_parameters())
    names = {id(parameter): name for name, parameter in parameters.items()}
    kinds = {names[id(p)]: type(m).__name__ for _, m, _, p in owners(network)}
    prunable = [names[id(p)] for _, module, own, p in owners(network) if own in prunable_in(module)]
    prunable = [name for name in parameters if name in prunable]  # each once, in order
    if not prunable:
        raise InvalidValue(
            f"{where} it has no linear, convolution, recurrent or attention layer: nothing can be pruned"
        )
    with fenced_globals(0):
        uses, output = _first_pass(network, inputs[:1], {name: parameters[name] for name in prunable}, where)
        used = _first_step(network, inputs, labels, output.shape[1], where)
    kept = _kept(network, parameters, prunable, keep, where)
    left: dict[str, str] = {}
    for name, parameter in parameters.items():
        if name in prunable or parameter.ndim > 1:
            reason = _why_dense(parameter, kept.get(name), name in used, None if name in prunable else kinds[name])
            left |= {name: reason} if reason else {}
    inside = {name: tuple(parameters[name].shape) for name in prunable if name not in left}
    if not inside:
        raise InvalidValue(f"{where} every layer is left dense ({_listed(left)}): nothing can be pruned")
    rest = {name: tuple(p.shape) for name, p in parameters.items() if name not in inside}
    buffers = persistent_buffers(network)
    dtypes = {name: tensor.dtype for name, tensor in {**parameters, **buffers}.items() if tensor.dtype != torch.float32}
    return Layout(
        MaskSpace.from_shapes(inside, uses, output=prunable[-1] in inside),
        rest | {name: tuple(buffer.shape) for name, buffer in buffers.items()},
        frozenset(name for name in rest if parameters[name].requires_grad and name in used),
        output.shape[1],
        dtypes,
        left,
        sum(parameter.numel() for parameter in parameters.values()),
        sum(2 * parameters[name].numel() * uses[name] for name in prunable if name in left and name in used),
    )


def persistent_buffers(network: nn.Module) -> dict[str, Tensor]:
    """Float buffers that a state dict holds: running statistics and the like."""
    stored = network.state_dict(keep_vars=True)
    return {name: one for name, one in network.named_buffers() if one.is_floating_point() and name in stored}


def _first_pass(
    network: nn.Module, example: Tensor, weights: dict[str, nn.Parameter], where: str
) -> tuple[dict[str, int], Tensor]:
    """Uses of each weight, and what the network makes of an example in evaluation, ``(1, classes)``."""
    training, batch = network.training, example.clone()
    try:
        uses, output = uses_of(network.eval(), batch, weights)
    except TicketsearchError:
        raise
    except Exception as error:  # the user's own code
        raise InvalidValue(
            f"{where} it cannot process an input of shape {tuple(example.shape)}: {words_of(error)}{_hint(example)}"
        ) from error
    finally:
        network.train(training)
    _check_untouched(batch, example, where)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InvalidValue(f"{where} it must map (1, ...) to scores (1, classes), and it returns {found}")
    return uses, output


def _first_step(network: nn.Module, inputs: Tensor, labels: Tensor, classes: int, where: str) -> set[str]:
    """Names of the parameters that have a gradient in a training step; buffers must not change but as they may."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not trained:
        raise InvalidValue(f"{where} no parameter requires a gradient: nothing can be trained")
    if int(labels.max()) >= classes or int(labels.min()) < 0:
        return set(trained)  # of labels there is a message of its own
    stored, batch = network.state_dict(keep_vars=True), inputs.clone()
    before = {name: one.clone() for name, one in network.named_buffers()}
    try:
        outputs = network.train()(batch)
        if not isinstance(outputs, Tensor) or outputs.shape != (len(inputs), classes):
            found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise InvalidValue(
                f"{where} in training it returns {found}, not class scores {(len(inputs), classes)}; switch auxiliary "
                "outputs off"
            )
        grads = gradients_of(F.cross_entropy(outputs, labels), list(trained.values()))
    except TicketsearchError:
        raise
    except Exception as error:  # the user's own code
        raise InvalidValue(
            f"{where} it fails in its first training step, on a batch {tuple(inputs.shape)}: {words_of(error)}"
            f"{_hint(inputs, training=True)}"
        ) from error
    _check_untouched(batch, inputs, where)
    for name, buffer in network.named_buffers():
        counter = name.rpartition(".")[2] == "num_batches_tracked"
        floating = buffer.is_floating_point() and name in stored
        if not counter and not floating and not _same(before.get(name), buffer):
            raise InvalidValue(
                f"{where} its buffer {name!r} ({buffer.dtype}) changes in training, and a ticket holds floating-point "
                "buffers of the state dict only; register it as such, or leave it as it is"
            )
    return {name for name, grad in zip(trained, grads, strict=True) if grad is not None}


def _check_untouched(batch: Tensor, inputs: Tensor, where: str) -> None:
    if batch._version or not torch.equal(batch, inputs):
        raise InvalidValue(
            f"{where} it changes its inputs in place, and would corrupt the data; begin forward with x = x.clone(), or "
            "set inplace=False in its first layers"
        )


def _same(before: Tensor | None, after: Tensor) -> bool:
    return before is not None and before.shape == after.shape and bool(torch.equal(before, after))


def gradients_of(loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients of a loss, ``None`` where there is none; sparse ones, of embeddings, are filled."""
    grads = torch.autograd.grad(loss, tensors, allow_unused=True)
    return [grad.to_dense() if grad is not None and grad.is_sparse else grad for grad in grads]


def words_of(error: BaseException) -> str:
    """An error's type and first line, short enough for a line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:300]}"


def _hint(inputs: Tensor, *, training: bool = False) -> str:
    if not inputs.is_floating_point():
        return "; inputs are integers, as an embedding needs them; give images and other numbers as floats"
    if training and len(inputs) == 1:
        return "; batch_size is 1, and a normalisation over a batch needs 2 or more"
    return ""


def _kept(
    network: nn.Module, parameters: dict[str, nn.Parameter], prunable: list[str], keep: tuple[str, ...], where: str
) -> dict[str, str]:
    """Parameters that a pattern leaves dense, by whichever of their names, and the pattern.

    Raises:
        InvalidValue: a pattern matches no prunable tensor.
    """
    aliases = {name: [other for other, _, _, p in owners(network) if p is parameters[name]] for name in prunable}
    for pattern in keep:
        if not any(is_kept(alias, (pattern,)) for names in aliases.values() for alias in names):
            layers = ", ".join(name.removesuffix(".weight") for name in prunable)
            raise InvalidValue(f"{where} keep {pattern!r} names none of its layers: {layers}")
    found = {name: [is_kept(alias, keep) for alias in names] for name, names in aliases.items()}
    return {name: pattern for name, patterns in found.items() for pattern in patterns if pattern is not None}


def _why_dense(parameter: nn.Parameter, pattern: str | None, used: bool, kind: str | None) -> str | None:
    """Why a tensor that looks prunable is not in the mask space; ``None`` if it is."""
    if kind is not None:
        return f"a parameter of {kind}"
    if pattern is not None:
        return f"keep {pattern}"
    if not parameter.requires_grad:
        return "frozen"
    return None if used else "unused in training"


def _listed(left: dict[str, str]) -> str:
    return ", ".join(f"{name}: {reason}" for name, reason in left.items())


def read_weights(network: nn.Module, layout: Layout) -> Weights:
    """Copy a module's parameters and float buffers out into vectors."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}

    def flat(names: list[str]) -> np.ndarray:
        parts = [state[name].detach().float().reshape(-1).cpu().numpy() for name in names]
        return np.concatenate(parts, dtype=np.float32) if parts else np.zeros(0, dtype=np.float32)

    return Weights(flat([layer.name for layer in layout.space.layers]), flat(list(layout.rest_shapes)))


def write_weights(network: nn.Module, layout: Layout, weights: Weights) -> None:
    """Copy vectors ``(D,)`` and ``(R,)`` into a module's parameters and float buffers: what is read, put back."""
    shapes = {layer.name: layer.shape for layer in layout.space.layers} | layout.rest_shapes
    row = torch.from_numpy(np.concatenate([weights.vector, weights.rest])[None])
    network.load_state_dict({name: part[0] for name, part in unflatten(row, shapes).items()}, strict=False)


def unflatten(vector: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """``(P, N) -> name -> (P, *shape)``, views in order."""
    parts, offset = {}, 0
    for name, shape in shapes.items():
        size = prod(shape)
        parts[name] = vector[:, offset : offset + size].view(-1, *shape)
        offset += size
    return parts
