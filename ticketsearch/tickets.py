"""Weights and tickets, in memory and on disk.

A ticket file is safetensors and nothing else: packed mask bits, the start weights of the kept
positions, and all parameters that are never pruned. It is complete: no seed, no library version
and no pickle is needed to read it back, and its size is proportional to the kept weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import CorruptRun, InvalidValue
from ticketsearch.files import write_atomically
from ticketsearch.masks import Layer, MaskSpace, digest, pack, unpack

if TYPE_CHECKING:
    from torch import nn

Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class Weights:
    """All parameters of a network: the prunable vector and the rest.

    Attributes:
        vector: prunable weights, ``(D,)``, or ``(P, D)`` for a population.
        rest: biases, normalisation parameters and running statistics, ``(R,)`` or ``(P, R)``.
    """

    vector: FloatArray
    rest: FloatArray


@dataclass(frozen=True, eq=False)
class Ticket:
    """A mask and the weights it starts from.

    Attributes:
        mask: ``(D,)``, True = kept.
        weights: what the kept weights start from; ``None`` = the run's initial weights.
        step: the step of the recipe these weights belong to; training goes on from there.
        held: what the pruned weights are held at, ``(D,)``; ``None`` = zero. See :mod:`ticketsearch.actions`.
        scores: what chose the kept weights, ``(D,)``, highest kept; ``None`` if no score per weight did. A control
            inverts it.
    """

    mask: BoolArray
    weights: Weights | None = None
    step: int = 0
    held: FloatArray | None = None
    scores: npt.NDArray[np.floating] | None = None

    def started(self, initial: Weights) -> Ticket:
        """The same with its start weights filled in: pruned ones are what they are held at."""
        weights = self.weights or initial
        held = np.float32(0) if self.held is None else self.held
        vector = np.where(self.mask, weights.vector, held).astype(np.float32)
        return replace(self, weights=Weights(vector, weights.rest))


@dataclass(frozen=True, eq=False)
class SavedTicket:
    """A ticket as read from a run folder.

    Attributes:
        space: layer names, shapes and offsets.
        mask: ``(D,)``, True = kept.
        start: weights before training; pruned ones are what they are held at, zero as a rule.
        trained: weights after the first confirmation's training; pruned ones likewise.
        step: the recipe's step that ``start`` belongs to.
        rest_shapes: name -> shape of everything in ``rest``, in order.
    """

    space: MaskSpace
    mask: BoolArray
    start: Weights
    trained: Weights
    step: int
    rest_shapes: dict[str, tuple[int, ...]]

    @property
    def sparsity(self) -> float:
        """Fraction pruned."""
        return 1 - float(np.count_nonzero(self.mask)) / self.mask.size

    @property
    def mask_digest(self) -> str:
        """Identity of the mask."""
        return digest(self.mask)

    def masks(self) -> dict[str, BoolArray]:
        """Layer name -> boolean array of the layer's shape."""
        return {layer.name: np.asarray(part, dtype=bool) for layer, part in self.space.split(self.mask)}

    def state_dict(self, *, trained: bool = False) -> dict[str, FloatArray]:
        """Parameter name -> array, zeros where pruned: start weights, or the trained ones."""
        weights = self.trained if trained else self.start
        state = {layer.name: np.asarray(part, dtype=np.float32) for layer, part in self.space.split(weights.vector)}
        offset = 0
        for name, shape in self.rest_shapes.items():
            size = int(np.prod(shape))
            state[name] = weights.rest[offset : offset + size].reshape(shape)
            offset += size
        return state

    def apply(self, module: nn.Module, *, trained: bool = False) -> nn.Module:
        """Load the ticket into a module of the same architecture and hold its pruned weights at zero.

        The masks are registered with ``torch.nn.utils.prune.custom_from_mask``: train the module with any
        optimiser and pruned weights stay zero; ``torch.nn.utils.prune.remove`` makes the zeros permanent.

        Args:
            module: changed in place; any dtype and device.
            trained: load the weights after training instead of the start weights.

        Returns:
            The module.

        Raises:
            InvalidValue: the module's tensors do not match the ticket's, or its pruned weights are held at other
                values than zero: use :meth:`state_dict`.
        """
        import torch
        from torch.nn.utils import prune

        if self.start.vector[~self.mask].any():
            raise InvalidValue(
                "this ticket holds pruned weights at values other than zero, which torch.nn.utils.prune cannot; "
                "use state_dict() and masks()"
            )
        current = module.state_dict()
        state = self.state_dict(trained=trained)
        for name, array in state.items():
            if name not in current or tuple(current[name].shape) != array.shape:
                found = tuple(current[name].shape) if name in current else "nothing of that name"
                raise InvalidValue(f"the ticket's {name!r} has shape {array.shape}, the module has {found}")
        module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()}, strict=False)
        for name, mask in self.masks().items():
            owner, _, parameter = name.rpartition(".")
            target = module.get_submodule(owner)
            device = getattr(target, parameter).device
            prune.custom_from_mask(target, parameter, torch.from_numpy(mask.copy()).to(device))  # type: ignore[no-untyped-call]
        return module


def save_ticket(
    path: Path, ticket: Ticket, space: MaskSpace, trained: Weights, rest_shapes: dict[str, tuple[int, ...]]
) -> None:
    """Write a ticket with its start weights filled in (:meth:`Ticket.started`), atomically."""
    from safetensors.numpy import save

    if ticket.weights is None:
        raise InvalidValue("a ticket is saved with its start weights")
    header = {
        "format": "ticketsearch-ticket-1",
        "mask_digest": digest(ticket.mask),
        "step": str(ticket.step),
        "layers": json.dumps([[layer.name, list(layer.shape), layer.uses] for layer in space.layers]),
        "rest": json.dumps([[name, list(shape)] for name, shape in rest_shapes.items()]),
    }
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "mask": pack(ticket.mask),
        "start": ticket.weights.vector[ticket.mask],
        "held": ticket.weights.vector[~ticket.mask] if ticket.held is not None else np.zeros(0, dtype=np.float32),
        "start_rest": ticket.weights.rest,
        "trained": trained.vector[ticket.mask],
        "trained_rest": trained.rest,
    }
    # safetensors writes the memory behind an array, whatever its strides.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, metadata=header))


def load_ticket(folder: str | os.PathLike[str]) -> SavedTicket:
    """Read the ticket of a finished run.

    Args:
        folder: a run's folder, or a ``ticket.safetensors`` file.

    Raises:
        NotARun: no ticket is there.
        CorruptRun: the file is damaged, or its mask does not match its digest.
    """
    return _read(folder, _assemble)


def load_mask(folder: str | os.PathLike[str]) -> tuple[MaskSpace, BoolArray]:
    """Read the mask of a finished run, ``(D,)``, and nothing else of its ticket.

    Args:
        folder: a run's folder, or a ``ticket.safetensors`` file.

    Raises:
        NotARun: no ticket is there.
        CorruptRun: the file is damaged, or its mask does not match its digest.
    """
    return _read(folder, _mask, ("mask",))


def _read(
    folder: str | os.PathLike[str],
    assemble: Callable[[dict[str, str], dict[str, np.ndarray[Any, Any]]], Part],
    names: Sequence[str] | None = None,
) -> Part:
    """What ``assemble`` makes of a ticket file's header and its tensors of these names; default all."""
    from safetensors import SafetensorError, safe_open

    from ticketsearch.errors import NotARun

    path = Path(folder)
    if path.is_dir():
        path = path / "ticket.safetensors"
    if not path.is_file():
        raise NotARun(f"no ticket at {path}; name the folder of a finished run")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in names or file.keys()}
        return assemble(header, tensors)
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise CorruptRun(f"{path} is not a readable ticket: {error}") from error


def _mask(header: dict[str, str], tensors: dict[str, np.ndarray[Any, Any]]) -> tuple[MaskSpace, BoolArray]:
    layers: list[Layer] = []
    for name, shape, uses in json.loads(header["layers"]):
        offset = layers[-1].span.stop if layers else 0
        layers.append(Layer(name, tuple(shape), offset, uses))
    space = MaskSpace(tuple(layers))
    if tensors["mask"].nbytes != -(-space.size // 8):
        raise ValueError(f"{tensors['mask'].nbytes} bytes of mask for {space.size} weights")
    mask = unpack(tensors["mask"], space.size)
    if digest(mask) != header["mask_digest"]:
        raise ValueError("the mask does not match its digest")
    return space, mask


def _assemble(header: dict[str, str], tensors: dict[str, np.ndarray[Any, Any]]) -> SavedTicket:
    space, mask = _mask(header, tensors)
    rest_shapes = {name: tuple(shape) for name, shape in json.loads(header["rest"])}
    rest_size = sum(int(np.prod(shape)) for shape in rest_shapes.values())

    def weights(which: str) -> Weights:
        vector = np.zeros(space.size, dtype=np.float32)
        vector[mask] = tensors[which]
        if tensors["held"].size:
            vector[~mask] = tensors["held"]
        if tensors[f"{which}_rest"].shape != (rest_size,):
            raise ValueError(f"{which}_rest has shape {tensors[f'{which}_rest'].shape}, not ({rest_size},)")
        return Weights(vector, tensors[f"{which}_rest"])

    return SavedTicket(space, mask, weights("start"), weights("trained"), int(header["step"]), rest_shapes)
