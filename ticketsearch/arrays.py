"""The array types that cross module borders, so that signatures say what they carry."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]
"""Masks: True = kept."""
ByteArray: TypeAlias = npt.NDArray[np.uint8]
"""Masks as packed bits."""
FloatArray: TypeAlias = npt.NDArray[np.float32]
"""Weights, gradients."""
ScoreArray: TypeAlias = npt.NDArray[np.float64]
"""Scores and encodings: double precision, because they are compared and ranked."""
IntArray: TypeAlias = npt.NDArray[np.int64]
"""Counts and example indices."""
Array = TypeVar("Array", bound=npt.NDArray[np.generic])


def read_only(array: Array) -> Array:
    """A copy that cannot be assigned to: what is handed out changes nothing of its owner's."""
    own: Array = array.copy()
    own.flags.writeable = False
    return own
