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

import copy
import importlib
import io
import logging
import pickle
import warnings
from collections.abc import Callable, Mapping
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


def is_torch_file(output: Path) -> bool:
    """Whether a state dict goes into PyTorch's own format, by the file's name."""
    return output.suffix in _PT


def state_bytes(state: Mapping[str, Any], output: Path) -> bytes:
    """A state dict as safetensors, or as PyTorch writes one if the file's name says so.

    A tensor of several names is written once for each of them, so that a module's ``load_state_dict`` finds them all.
    PyTorch's format holds the version numbers of the layers as well (``_metadata``), safetensors cannot.

    Raises:
        InvalidValue: it holds something that is no tensor, for which safetensors has no place.
    """
    result = copy.copy(state)
    for name, value in state.items():
        if isinstance(value, Tensor):
            result[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # type: ignore[index]
        elif not is_torch_file(output):
            raise InvalidValue(
                f"the state's {name!r} is {type(value).__name__}, and safetensors holds tensors alone; "
                "write to a file that ends in .pt"
            )
    if not is_torch_file(output):
        return save(dict(result), {"format": "pt"})
    buffer = io.BytesIO()
    torch.save(result, buffer)
    return buffer.getvalue()


def state_of(data: bytes, output: Path) -> dict[str, Any]:
    """The inverse of :func:`state_bytes`; nothing in the data is run.

    Raises:
        InvalidValue: reading it would run code.
    """
    if not is_torch_file(output):
        return load(data)
    try:
        found: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidValue(
            f"the network's state is more than tensors, and {output} could not be read safely"
        ) from error
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
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["input"],
                output_names=["scores"],
                verbose=False,
            ),
        )
    finally:
        exporter.setLevel(level)
    data: bytes = program.model_proto.SerializeToString()
    return data


def onnx_of(data: bytes) -> Compute:
    """What ONNX Runtime computes from it, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = _attempt("onnx", lambda: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]))
    [name] = [value.name for value in session.get_inputs()]
    return lambda inputs: torch.from_numpy(session.run(None, {name: inputs.numpy()})[0])


def _attempt(format: str, work: Callable[[], Any]) -> Any:  # noqa: A002 - the option's name
    """Whatever PyTorch's exporters or ONNX Runtime raise, in one line."""
    try:
        with warnings.catch_warnings():  # about how PyTorch's own layers are written; what is made is compared
            warnings.simplefilter("ignore")
            return work()
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InvalidValue(
            f"the network cannot be exported as {format} ({reason.strip()}); --format state-dict always can"
        ) from error
