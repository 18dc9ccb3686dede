"""``export``: the network of a run as a file, what it saves, and whether it computes the same.

The file is read back and its scores compared with the masked network's before it gets its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ticketsearch.applying import load_state, state_like
from ticketsearch.compaction import Compaction, compact
from ticketsearch.compaction.counting import coarsest, flops_of, parameters_of
from ticketsearch.errors import CorruptRun, InvalidValue, TicketsearchError
from ticketsearch.exporting import formats
from ticketsearch.exporting.formats import Compute
from ticketsearch.exporting.timing import interleaved, medians
from ticketsearch.masks import digest
from ticketsearch.records.files import write_atomically
from ticketsearch.records.folder import check_output
from ticketsearch.records.results import read_result
from ticketsearch.records.spec import read_spec
from ticketsearch.records.ticket_file import SavedTicket, load_ticket
from ticketsearch.runner.setup import task_of
from ticketsearch.tasks import Task

TOLERANCE = {"state-dict": 1e-6, "torch-prune": 1e-6, "compact": 1e-5, "onnx": 1e-4}
"""Of the largest difference between scores, relative to the largest score if that is above one."""
ROUNDINGS = 8
"""Roundings of the network's coarsest dtype that are allowed as well: its kernels may add in another order."""


@dataclass(frozen=True)
class Exported:
    """What was written; pairs are the dense network and what was exported.

    Attributes:
        run: the run's folder.
        format: one of :data:`ticketsearch.exporting.FORMATS`.
        output: the file.
        bytes: its length.
        weights: ``trained`` or ``start``.
        sparsity: fraction of the prunable weights that the ticket prunes.
        parameters: numbers that are stored and multiplied by.
        flops: of one example forward, by ``torch.utils.flop_counter``.
        latency_ms: medians, in turn, on one thread, both in the same runtime.
        batch: examples at a time, for the latency.
        runtime: what computed both networks for the latency: ``PyTorch``, or ``onnxruntime`` for ONNX.
        difference: largest absolute difference of its scores from the masked network's, over a batch.
        notes: what the compaction did not understand, and what loading the file needs.
    """

    run: str
    format: str
    output: str
    bytes: int
    weights: str
    sparsity: float
    parameters: tuple[int, int]
    flops: tuple[int, int]
    latency_ms: tuple[float, float]
    batch: int
    runtime: str
    difference: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Latency:
    """How the latency of a network is measured.

    Attributes:
        batch: examples at a time.
        repeats: measurements, of which the median counts.
    """

    batch: int = 64
    repeats: int = 15


def export(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "compact",  # noqa: A002 - the option's name
    start: bool = False,
    force: bool = False,
    task: str | Task | None = None,
    latency: Latency | None = None,
) -> Exported:
    """Write the network of a finished run to a file.

    Args:
        run: the run's folder; nothing in it is changed.
        output: the file; state dicts are safetensors unless it ends in ``.pt`` or ``.pth``.
        format: ``state-dict``, ``torch-prune``, ``onnx`` or ``compact``; see :mod:`ticketsearch.exporting.formats`.
        start: the weights the ticket starts from, in place of the trained ones.
        force: overwrite a file that exists.
        task: where the task is, if its own name does not say: a name, ``"package.module:function"`` or a task.
        latency: how it is measured.

    Raises:
        InvalidValue: a value out of range, a file that exists, a package that is missing, another task than the run's,
            or a network that the format cannot hold.
        NotARun, CorruptRun: no finished run is there, or it is damaged.
        TicketsearchError: the file would compute something else; it was not written.
    """
    path, target = Path(run), Path(output)
    formats.require(format)
    timing = latency or Latency()
    batch, repeats = timing.batch, timing.repeats
    for name, value in (("batch", batch), ("repeats", repeats)):
        if not 1 <= value <= 100_000:
            raise InvalidValue(f"{name} {value} is not between 1 and 100000")
    check_output(target)
    if target.is_dir():
        raise InvalidValue(f"{target} is a folder; name a file")
    if target.exists() and not force:
        raise InvalidValue(f"{target} exists; name another file, or overwrite it with --force")
    result, ticket = read_result(path), load_ticket(path)
    if digest(ticket.mask) != result.mask_digest:
        raise CorruptRun(f"{path}: the mask of its ticket is not the one its result is about; move the folder away")
    loaded = task_of(read_spec(path), task or result.task_source)
    inputs = loaded.validation.inputs
    inputs = inputs[torch.arange(max(2, batch)) % len(inputs)]
    network = _masked(loaded, ticket, trained=not start)
    made = _Made(network, loaded, ticket, inputs, target, trained=not start)
    data, compute, compaction, notes = made.make(format)
    with torch.inference_mode():
        wanted, found = network(inputs).double(), compute(inputs).double()
    difference = float((wanted - found).abs().max())
    tolerance = max(TOLERANCE[format], ROUNDINGS * coarsest(network))
    if not difference <= tolerance * max(1.0, float(wanted.abs().max())):
        raise TicketsearchError(
            f"exported as {format} the scores would differ by up to {difference:.1e}, so {target} was not written; "
            "--format state-dict changes nothing"
        )
    timed = inputs[:batch]
    dense: Compute = network
    if format == "onnx":  # runtimes differ more than networks do
        dense = formats.onnx_of(formats.onnx_bytes(network, inputs[:2]))
    milliseconds = medians(interleaved([lambda: dense(timed), lambda: compute(timed)], repeats))
    write_atomically(target, data)
    parameters, flops = parameters_of(network), flops_of(network, inputs[:1])
    return Exported(
        run=result.run,
        format=format,
        output=str(target),
        bytes=len(data),
        weights="start" if start else "trained",
        sparsity=ticket.sparsity,
        parameters=compaction.parameters if compaction else (parameters, parameters),
        flops=compaction.flops if compaction else (flops, flops),
        latency_ms=(milliseconds[0], milliseconds[1]),
        batch=batch,
        runtime="onnxruntime" if format == "onnx" else "PyTorch",
        difference=difference,
        notes=notes,
    )


def lines_of(exported: Exported) -> list[str]:
    """For the terminal, below the table."""
    lines = [
        f"wrote {exported.output} ({exported.bytes} bytes, {exported.format}, {exported.weights} weights)",
        f"scores differ by at most {exported.difference:.1e} from the masked network's",
        *exported.notes,
    ]
    if exported.parameters[0] == exported.parameters[1]:
        same = "zeros are stored and multiplied by like any number"
        if exported.format in ("compact", "onnx"):
            same = "no channel or neuron is dead, so nothing could be cut; masks of channels make some"
        lines.append(same)
    return lines


@dataclass(frozen=True, eq=False)
class _Made:
    """Makes each format from a masked network."""

    network: nn.Module
    task: Task
    ticket: SavedTicket
    inputs: Tensor
    output: Path
    trained: bool

    def make(self, format: str) -> tuple[bytes, Compute, Compaction | None, tuple[str, ...]]:  # noqa: A002 - as above
        """The bytes, what they compute once read back, what was cut, and what there is to say of it."""
        if format in ("compact", "onnx"):
            cut = compact(self.network, example=self.inputs[:2])
            write, read = {
                "compact": (formats.program_bytes, formats.program_of),
                "onnx": (formats.onnx_bytes, formats.onnx_of),
            }[format]
            data = write(cut.module.eval(), self.inputs[:2])
            return data, read(data), cut, cut.notes
        again = self.task.build(0)
        if format == "torch-prune":
            state = self.ticket.apply(self.task.build(0), trained=self.trained).state_dict()
            self.ticket.apply(again)
        else:
            state = self.network.state_dict()
        data = formats.state_bytes(state, self.output)
        notes = self._load(again, formats.state_of(data, self.output))
        return data, again.eval(), None, notes

    def _load(self, again: nn.Module, state: Mapping[str, Any]) -> tuple[str, ...]:
        """Load the file's state as a user does, strictly; what there is to say of it."""
        try:
            again.load_state_dict(state)
        except (RuntimeError, ValueError, TypeError, KeyError):
            again.load_state_dict(state_like(again, state))
            return (
                "load_state_dict of this network asks for version numbers, which safetensors cannot hold; "
                "a file that ends in .pt has them",
            )
        return ()


def _masked(task: Task, ticket: SavedTicket, *, trained: bool) -> nn.Module:
    """The run's network under its mask, in evaluation mode."""
    network = task.build(0)
    load_state(network, ticket.state_dict(trained=trained))
    return network.eval()
