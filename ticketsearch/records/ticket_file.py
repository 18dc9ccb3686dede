"""Tickets on disk.

A ticket file is safetensors and nothing else: packed mask bits, the start weights of the kept
positions, and all parameters that are never pruned. It is complete: no seed, no library version
and no pickle is needed to read it back, and its size is proportional to the kept weights.

A file may come from a stranger. Nothing in it is run, and what is reserved for it is what its own length pays for: a
weight of the network has at least its bit in the mask.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun
from ticketsearch.masks import Layer, MaskSpace, digest, pack, unpack
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.records.folder import TICKET, check_file
from ticketsearch.records.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from torch import nn

FORMAT = "ticketsearch-ticket-2"


MAX_DIMENSIONS = 16
"""Of a tensor; NumPy and PyTorch allow more, networks need fewer."""


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

        The masks are registered with ``torch.nn.utils.prune``. Train the module with any optimiser: pruned weights stay
        zero, also those that have several names, and also in copies (``copy.deepcopy``, ``AveragedModel``).
        ``torch.nn.utils.prune.remove`` makes the zeros permanent.

        Args:
            module: changed in place; of any dtype, on any device. Inside ``DataParallel``, ``DistributedDataParallel``
                or ``torch.compile``, it is the network inside.
            trained: load the weights after training instead of the start weights.

        Returns:
            The module.

        Raises:
            InvalidValue: the module lacks a tensor of the ticket or has parameters that the ticket has not, shapes
                differ, or the ticket holds pruned weights at other values than zero: use :meth:`state_dict`.
        """
        from ticketsearch.applying import apply_masks

        if self.start.vector[~self.mask].any():
            raise InvalidValue(
                "this ticket holds pruned weights at values other than zero, which torch.nn.utils.prune cannot; "
                "use state_dict() and masks()"
            )
        return apply_masks(module, self.masks(), self.state_dict(trained=trained))


def save_ticket(
    path: Path, ticket: Ticket, space: MaskSpace, trained: Weights, rest_shapes: dict[str, tuple[int, ...]]
) -> None:
    """Write a ticket with its start weights filled in (:meth:`Ticket.started`), atomically."""
    if ticket.weights is None:
        raise InvalidValue("a ticket is saved with its start weights")
    header = {
        "format": FORMAT,
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
    write_sealed(path, header, tensors)


def load_ticket(folder: str | os.PathLike[str]) -> SavedTicket:
    """Read the ticket of a finished run.

    Args:
        folder: a run's folder, or a ``ticket.safetensors`` file.

    Raises:
        NotARun: no ticket is there.
        CorruptRun: the file is damaged, or its mask does not match its digest.
    """
    return _read(folder)


def load_mask(folder: str | os.PathLike[str]) -> tuple[MaskSpace, BoolArray]:
    """The mask space and the mask ``(D,)`` of a finished run.

    Raises:
        NotARun, CorruptRun: as :func:`load_ticket` does.
    """
    ticket = _read(folder)
    return ticket.space, ticket.mask


def _read(folder: str | os.PathLike[str]) -> SavedTicket:
    path = Path(folder)
    if path.is_dir():
        path = path / TICKET
        check_file(path)
    if not path.is_file():
        raise NotARun(f"no ticket at {path}; name the folder of a finished run")
    try:
        return _assemble(*read_sealed(path))
    except (KeyError, ValueError, TypeError, OSError, OverflowError, RecursionError, MemoryError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise CorruptRun(f"{path} is not a readable ticket: {what}") from error


def _assemble(header: dict[str, str], tensors: dict[str, np.ndarray[Any, Any]]) -> SavedTicket:
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}, not {FORMAT!r}")
    layers: list[Layer] = []
    for name, shape, uses in json.loads(header["layers"]):
        offset = layers[-1].span.stop if layers else 0
        layers.append(Layer(*_named_shape(name, shape), offset, _natural(uses)))
    space, step = MaskSpace(tuple(layers)), _natural(int(header["step"]))
    rest_shapes = dict(_named_shape(name, shape) for name, shape in json.loads(header["rest"]))
    if len({*rest_shapes, *(layer.name for layer in layers)}) < len(json.loads(header["rest"])) + len(layers):
        raise ValueError("two of its tensors have one name")
    size, rest_size = sum(math.prod(layer.shape) for layer in layers), sum(map(math.prod, rest_shapes.values()))

    def tensor(name: str, count: int, dtype: type[np.generic] = np.float32) -> np.ndarray[Any, Any]:
        found = tensors[name]
        if found.shape != (count,) or found.dtype != dtype:
            raise ValueError(f"{name} is {found.dtype} {found.shape}, not {np.dtype(dtype)} ({count},)")
        return found

    mask = unpack(tensor("mask", -(-size // 8), np.uint8), size)  # from here on, size is known to be paid for
    if digest(mask) != header["mask_digest"]:
        raise ValueError("the mask does not match its digest")
    kept = int(np.count_nonzero(mask))
    held = tensor("held", size - kept if tensors["held"].size else 0)

    def weights(which: str) -> Weights:
        vector = np.zeros(size, dtype=np.float32)
        vector[mask] = tensor(which, kept)
        if held.size:
            vector[~mask] = held
        return Weights(vector, tensor(f"{which}_rest", rest_size))

    return SavedTicket(space, mask, weights("start"), weights("trained"), step, rest_shapes)


def _named_shape(name: object, shape: object) -> tuple[str, tuple[int, ...]]:
    if not isinstance(name, str) or not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{str([name, shape])[:80]} is not a name and a shape")
    return name, tuple(_natural(length) for length in shape)


def _natural(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError(f"{str(value)[:80]!r} is not a size")
    return value
