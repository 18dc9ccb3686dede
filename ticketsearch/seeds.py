"""One root seed, many independent named streams; and a fence around libraries that seed globals.

Every random decision names its purpose, so adding one never shifts another, and two machines that
know (seed, names) draw the same numbers. Nothing here touches a global generator, except
:func:`fenced_globals`, whose whole point is to leave them as found.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ticketsearch.digests import digest_of_bytes
from ticketsearch.errors import InvalidValue

if TYPE_CHECKING:
    import torch


def derive(seed: int, *names: str | int) -> int:
    """A 128-bit integer that depends on every argument and on nothing else."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *names))
    return int.from_bytes(bytes.fromhex(digest_of_bytes(text.encode(), 16)), "little")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent generator for one purpose of one run."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))


def parse_seeds(text: str) -> list[int]:
    """``0-4``, ``7`` or ``0-4,7``.

    Raises:
        InvalidValue: something else, or a seed twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first >= 10_000:
            raise InvalidValue(f"seeds {text!r}: {part.strip()!r} is neither a seed nor a range like 0-9")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise InvalidValue(f"seeds {text!r} name a seed twice")
    return seeds


def torch_stream(seed: int, device: torch.device) -> torch.Generator:
    """A PyTorch generator of its own on a device, for code that draws inside autograd."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return generator


@contextmanager
def fenced_globals(seed: int | None = None) -> Iterator[None]:
    """Run library code that draws from global generators; leave those generators as found.

    Args:
        seed: if given, Python's, NumPy's and (when loaded) PyTorch's CPU generator start from it inside.
    """
    torch = sys.modules.get("torch")
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - saved in order to be restored
    torch_state = torch.random.get_rng_state() if torch else None
    try:
        if seed is not None:
            word = derive(seed, "fence") % 2**32
            random.seed(word)
            np.random.seed(word)  # noqa: NPY002 - confined: restored below
            if torch:
                torch.random.default_generator.manual_seed(word)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        if torch and torch_state is not None:
            torch.random.set_rng_state(torch_state)
