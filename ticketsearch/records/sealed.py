"""Tensors in a file with a digest over all of it: whoever reads it finds what was written, or an error.

The format is safetensors: a length, a JSON header of names, types, shapes and places, then the numbers. Nothing in it
can be run, and the library reserves no more than the file's own length, to which the header must add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ticketsearch.digests import Digest
from ticketsearch.records.files import write_atomically

Tensors: TypeAlias = Mapping[str, np.ndarray[Any, Any]]
DIGEST = "digest"


def write_sealed(path: Path, header: Mapping[str, str], tensors: Tensors, *, sync: bool = True) -> None:
    """Write tensors and a header of texts, atomically; without ``sync`` a power failure may damage them."""
    from safetensors.numpy import save

    # safetensors writes the memory behind an array, whatever its strides.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    sealed = {**header, DIGEST: _digest(header, contiguous)}
    write_atomically(path, save(contiguous, metadata=sealed), sync=sync)


def read_sealed(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    """The header and the tensors of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged; says how.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, TypeError, KeyError, AttributeError, MemoryError) as error:  # types NumPy does not have
        raise ValueError(str(error) or type(error).__name__) from error
    if header.pop(DIGEST, None) != _digest(header, tensors):
        raise ValueError("the content does not match its digest")
    return header, tensors


def _digest(header: Mapping[str, str], tensors: Tensors) -> str:
    content = Digest(size=16)
    for name, text in sorted(header.items()):
        content.feed(f"{name}={text}\0".encode())
    for name, tensor in sorted(tensors.items()):
        content.feed(f"{name}:{tensor.dtype.str}:{tensor.shape}\0".encode())
        content.feed(tensor.tobytes())
    return content.text()
