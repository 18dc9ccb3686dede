"""Compiled functions, kept on disk for the next process in a folder of their own.

Numba keeps machine code beside the source, or in a folder of the user's; where it can write to neither, it raises. And
it looks at one file's time and size to tell whether the code is still the source's: a function that another file has
inlined may change unseen. So here the folder is the project's, and named by a digest of all of the engine's source
that is compiled. Where no such folder can be made, nothing is kept, and each process compiles anew.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
from numba import njit
from numba.core import config

from ticketsearch.digests import Digest


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is called, without the interpreter's lock, dividing as NumPy does."""
    return _kept(function, {})


def summing(function: Callable[..., Any]) -> Any:
    """Compile one whose sums may be made in any order: side by side, in the lanes of a vector."""
    return _kept(function, {"fastmath": {"reassoc", "nsz"}})


def _kept(function: Callable[..., Any], more: dict[str, Any]) -> Any:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, **more}
    folder = cache_folder()
    if folder is None:
        return njit(**options)(function)
    settings: Any = config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)  # Numba asks for it here, and remembers the answer for the function
    try:
        return njit(cache=True, **options)(function)
    finally:
        settings.CACHE_DIR = before


@cache
def cache_folder() -> Path | None:
    """Where machine code is kept: below ``NUMBA_CACHE_DIR``, ``TICKETSEARCH_CACHE`` or the user's cache folder.

    ``None`` if nothing can be written there.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("TICKETSEARCH_CACHE")
    folder = Path(base or platformdirs.user_cache_dir("ticketsearch")) / "kernels" / _digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def _digest() -> str:
    """Of the source of all compiled functions, wherever they are inlined."""
    content, here = Digest(), Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        if any(word in (source := path.read_bytes()) for word in (b"numba", b"engine.jit")):
            content.add(str(path.relative_to(here)), source)
    return content.text()
