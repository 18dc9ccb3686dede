"""The uniform numbers that a relaxation draws, by NumPy's 32-bit arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def drawn(generator: torch.Generator, size: int) -> Tensor:
    """``(size,)``, by two keys of 32 bits that the generator draws."""
    first, second = torch.randint(2**32, (2,), generator=generator).tolist()
    return torch.from_numpy(numbers(first, second, size))


def numbers(first: int, second: int, size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """``(hash(hash(0x9E3779B9 k + first) ^ second) / 512 + 1/2) / 2**23``, hash being Wellons' ``lowbias32``."""
    k = np.arange(size, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(first)
    bits = _lowbias32(_lowbias32(k) ^ np.uint32(second))
    return (((bits >> np.uint32(9)).astype(np.float64) + 0.5) / 2**23).astype(np.float32)


def _lowbias32(x: np.ndarray[Any, np.dtype[np.uint32]]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))
