"""Digests: short names for content. BLAKE2b over parts, each told apart from its neighbours.

What a digest is taken of, and so what changes the name of a run, is decided where it is called.
"""

from __future__ import annotations

import hashlib
import json
from io import BufferedReader
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import ReadableBuffer as Buffer

    Part: TypeAlias = bytes | str | int | np.ndarray[Any, Any] | None


class Digest:
    """A digest that is fed part by part.

    Args:
        size: in bytes; the text has twice as many hexadecimal digits.
    """

    def __init__(self, size: int = 8) -> None:
        self._state = hashlib.blake2b(digest_size=size)

    def add(self, *parts: Part) -> None:
        """Feed parts: bytes, texts, whole numbers, arrays. ``("ab", "c")`` and ``("a", "bc")`` differ."""
        for part in parts:
            if isinstance(part, bytes | str):
                content = part.encode() if isinstance(part, str) else part
                self._state.update(f"{type(part).__name__}{len(content)}:".encode())
                self._state.update(content)
            elif part is None or isinstance(part, int):
                self._state.update(f"{type(part).__name__}:{part};".encode())
            else:
                self._state.update(f"{part.dtype.str}{part.shape}".encode())
                self._state.update(part.data if part.flags.c_contiguous else part.tobytes())

    def feed(self, content: Buffer) -> None:
        """Feed bytes as they are, with nothing to tell them from the next."""
        self._state.update(content)

    def text(self) -> str:
        """The digest so far, in hexadecimal digits."""
        return self._state.hexdigest()


def digest_of(*parts: Part, size: int = 8) -> str:
    """The digest of some parts, in hexadecimal digits, two for each of ``size`` bytes."""
    state = Digest(size)
    state.add(*parts)
    return state.text()


def digest_of_bytes(content: Buffer, size: int = 8) -> str:
    """Of bytes as they are."""
    return hashlib.blake2b(content, digest_size=size).hexdigest()


def digest_of_json(value: object, size: int = 8) -> str:
    """Of a value that JSON can hold; the order of keys does not matter."""
    return digest_of_bytes(json.dumps(value, sort_keys=True).encode(), size)


def digest_of_file(file: BufferedReader, size: int = 16) -> str:
    """Of what is left to be read of a file."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=size)).hexdigest()
