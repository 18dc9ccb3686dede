"""Networks over capacity: which are trained, and what is recorded of each; see :mod:`ticketsearch.studies.descent`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ticketsearch.errors import InvalidValue
from ticketsearch.records.record import StrictRecord

DENSE, IMP, RANDOM = "dense", "imp", "random"
WIDTHS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
RATE = 0.2
"""Fraction of the survivors that a level prunes."""
SPARSITIES = tuple(round(1 - (1 - RATE) ** level, 4) for level in range(1, 21))
"""Down to 98.8 %, where the publication's accuracy is highest."""
SLACK = 0.05
"""Of a level, that whole numbers of weights may be off the rate."""


class Point(StrictRecord):
    """One trained network.

    Attributes:
        curve: ``dense``, ``imp``, ``random`` or a strategy.
        width: factor of the task's hidden widths.
        sparsity: fraction of the prunable weights that is pruned.
        n_kept: weights that the mask keeps.
        n_weights: those, and the weights of layers left dense.
        train_accuracy: on the training split, wrong labels included.
        train_loss: likewise, cross-entropy.
        test_accuracy: on the test split, which has no noise.
        test_loss: likewise.
        distance: learning distance, the Euclidean norm of how far the kept weights moved.
        epochs: of its training, in those of the dense network of this width.
        sparse_flops: of its training.
        search_epochs: spent before on finding its mask.
        search_flops: likewise.
    """

    curve: str
    width: float
    sparsity: float
    n_kept: int
    n_weights: int
    train_accuracy: float
    train_loss: float
    test_accuracy: float
    test_loss: float
    distance: float
    epochs: float
    sparse_flops: int
    search_epochs: float = 0.0
    search_flops: int = 0


class DescentOutcome(StrictRecord):
    """All networks of one seed."""

    kind: Literal["descent"] = "descent"
    task: str
    task_fingerprint: str
    task_options: dict[str, object]
    keep: list[str]
    steps: int
    train_examples: int
    seed: int
    engine: str
    device: str
    cpu_s: float
    points: list[Point]


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        sparsities: of masks, rising; IMP goes through levels between them where they lie further apart than its rate.
        widths: of dense networks, as factors of the task's hidden widths.
        ticket_widths: of the networks that IMP prunes; random masks and strategies are of width 1 alone.
        strategies: whose tickets are trained as well.
        budget: epochs that one search of a strategy may take.
        seeds: of initial weights, data orders and masks.
    """

    sparsities: Sequence[float] = SPARSITIES
    widths: Sequence[float] = WIDTHS
    ticket_widths: Sequence[float] = (1.0,)
    strategies: Sequence[str] = ()
    budget: float = 2000.0
    seeds: Sequence[int] = range(3)

    def __post_init__(self) -> None:
        for name in ("widths", "ticket_widths"):
            for factor in getattr(self, name):
                if not 0 < factor <= 100:
                    raise InvalidValue(f"{name}: {factor:g} is no factor of widths, above 0 and at most 100")
        if any(after <= before for before, after in pairwise(self.sparsities)):
            raise InvalidValue(f"sparsities {list(self.sparsities)} do not rise")
        if self.strategies and 1.0 not in self.ticket_widths:
            raise InvalidValue("strategies are of width 1; name it among the widths of tickets")
        if not self.ticket_widths and not self.widths:
            raise InvalidValue("no widths are given; name at least one")

    def in_words(self, steps: int) -> str:
        """What will be trained, for so many steps each."""
        others = "".join(f", {name}" for name in self.strategies)
        seeds = "1 seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds, each"
        return (
            f"{seeds} with {len(self.factors)} dense networks, and with masks at "
            f"{len(self.sparsities)} sparsities (imp, random{others}); {steps:,} steps a network"
        )

    @property
    def factors(self) -> list[float]:
        """All widths, from the narrowest."""
        return sorted({*self.widths, *self.ticket_widths})


def levels(size: int, wanted: Iterable[int], rate: float = RATE) -> list[int]:
    """Kept weights after each round of IMP: all wanted numbers are among them, and no round prunes more than the rate.

    Args:
        size: of the whole network.
        wanted: numbers of kept weights, falling.
        rate: fraction of the survivors that a round may prune, up to rounding.
    """
    found, now = [], size
    for kept in wanted:
        rounds = max(1, math.ceil(math.log(kept / now) / math.log(1 - rate) - SLACK)) if kept < now else 0
        found += [round(now * (kept / now) ** (done / rounds)) for done in range(1, rounds + 1)]
        now = kept
    return found
