"""Wrong labels in the training split, an option of every task: ``--task-set label_noise=0.2``.

Two kinds, both common in papers on double descent, and not the same: ``uniform`` draws labels anew from all classes, so
that of ten classes a tenth of them is right all the same (18 % wrong at 0.2); ``flip`` puts another class in the place
of the right one (20 % wrong). Validation and test splits stay as they are.

What is drawn depends on the labels and the kind alone: the same task has the same noise in every run. The examples of a
smaller fraction are among those of a larger one, with the same wrong labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ticketsearch.digests import digest_of
from ticketsearch.errors import InvalidValue
from ticketsearch.seeds import stream

Kind = Literal["uniform", "flip"]


@dataclass(frozen=True)
class LabelNoise:
    """What becomes of the training labels.

    Args:
        label_noise: fraction of the training examples whose labels are noise, in [0, 1).
        label_noise_kind: ``uniform``: drawn anew from all classes, the right one too; or ``flip``: another class.
    """

    label_noise: float = 0.0
    label_noise_kind: Kind = "uniform"

    def __post_init__(self) -> None:
        if not 0 <= self.label_noise < 1:
            raise InvalidValue(f"label_noise {self.label_noise!r} is not a fraction in [0, 1)")
        if self.label_noise_kind not in get_args(Kind):
            raise InvalidValue(f"label_noise_kind {self.label_noise_kind!r} is neither uniform nor flip")

    @property
    def options(self) -> dict[str, Any]:
        """For a record; without noise there is nothing to say."""
        return asdict(self) if self.label_noise else {}

    def of(self, labels: Tensor) -> Tensor:
        """Labels ``(N,)`` with noise among them; of the classes that occur."""
        right = labels.cpu().numpy()
        classes, places = np.unique(right, return_inverse=True)
        rng = stream(0, "label noise", self.label_noise_kind, digest_of(right))
        order, count = rng.permutation(len(right)), len(classes)
        shifts = (
            rng.integers(count, size=len(right))
            if self.label_noise_kind == "uniform"
            else (rng.integers(1, count, size=len(right)))
        )
        chosen = order[: round(self.label_noise * len(right))]
        noisy = right.copy()
        noisy[chosen] = classes[(places[chosen] + shifts[chosen]) % count]
        return torch.from_numpy(noisy)


NAMES = tuple(asdict(LabelNoise()))


def apart(given: Mapping[str, Any], own: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the noise, and all others.

    Args:
        given: option -> value.
        own: options that a task has itself; a name of these is the task's.
    """
    noise = {name: value for name, value in given.items() if name in NAMES and name not in own}
    return noise, {name: value for name, value in given.items() if name not in noise}
