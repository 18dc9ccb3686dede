"""The formats: a network to bytes, and bytes back to something that computes.

``state-dict``
    Parameter name -> tensor, zeros where pruned. ``safetensors.torch.load_file`` reads it; written to a name that ends
    in ``.pt`` it is what ``torch.load(file, weights_only=True)`` reads.
``torch-prune``
    The same with ``weight_orig`` and ``weight_mask`` in place of each pruned ``weight``: the state dict of a module
    under ``torch.nn.utils.prune``.
``compact``
    The network without its dead channels, as a program: ``torch.export.load(file).module()``, in evaluation mode.
``onnx``
    The same for other runtimes, any number of examples at a time.
"""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ticketsearch.errors import InvalidValue

FORMATS = ("state-dict", "torch-prune", "onnx", "compact")
Compute = Callable[[Tensor], Tensor]
"""``(N, ...)`` inputs to ``(N, classes)`` scores."""
_PT = (".pt", ".pth")


def require(format: str) -> None:  # noqa: A002 - the option's name
    """Check a format's name, and that what it needs is installed.

    Raises:
        InvalidValue: no such format, or a package is missing.
    """
    if format not in FORMATS:
        raise InvalidValue(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    if format == "onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise InvalidValue(
                    f"--format onnx needs {name}, which is not installed; pip install 'ticketsearch[onnx]'"
                ) from error


def state_bytes(state: dict[str, Tensor], output: Path) -> bytes:
    """A state dict as safetensors, or as PyTorch writes one if the file's name says so."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if output.suffix not in _PT:
        return save(tensors, {"format": "pt"})
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def state_of(data: bytes, output: Path) -> dict[str, Tensor]:
    """The inverse of :func:`state_bytes`; nothing in the data is run."""
    if output.suffix not in _PT:
        return load(data)
    found: dict[str, Tensor] = torch.load(io.BytesIO(data), weights_only=True)
    return found


def program_bytes(module: nn.Module, example: Tensor) -> bytes:
    """A module in evaluation mode as a program of PyTorch's, for any number of examples.

    Raises:
        InvalidValue: it cannot be exported.
    """
    buffer = io.BytesIO()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        _attempt("compact", lambda: torch.export.export(module, (example,), dynamic_shapes=shapes)), buffer
    )
    return buffer.getvalue()


def program_of(data: bytes) -> Compute:
    """What a program computes."""
    module: Compute = torch.export.load(io.BytesIO(data)).module()
    return module


def onnx_bytes(module: nn.Module, example: Tensor) -> bytes:
    """A module in evaluation mode as ONNX, inputs ``input`` to scores ``scores``, the batch dimension free.

    Raises:
        InvalidValue: it cannot be exported.
    """
    shapes = ({0: torch.export.Dim("batch")},)
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        program: Any = _attempt(
            "onnx",
            lambda: torch.onnx.export(
                module, (example,), dynamo=True, dynamic_shapes=shapes, input_names=["input"],
                output_names=["scores"], verbose=False,
            ),
        )  # fmt: skip
    finally:
        exporter.setLevel(level)
    data: bytes = program.model_proto.SerializeToString()
    return data


def onnx_of(data: bytes) -> Compute:
    """What ONNX Runtime computes from it, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    [name] = [value.name for value in session.get_inputs()]
    return lambda inputs: torch.from_numpy(session.run(None, {name: inputs.numpy()})[0])


def _attempt(format: str, work: Callable[[], Any]) -> Any:  # noqa: A002 - the option's name
    """Whatever PyTorch's exporters raise, in one line."""
    try:
        return work()
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InvalidValue(
            f"the network cannot be exported as {format} ({reason.strip()}); --format state-dict always can"
        ) from error
