"""What a piece of work costs, before it is done. One place, so that search and confirmation pay the same prices."""

from __future__ import annotations

from dataclasses import dataclass

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import Cost
from ticketsearch.masks import MaskSpace


def evaluation_thirds(steps: int, batch_size: int, validation_size: int) -> int:
    """Budget units (thirds of a training example) of one short training and its validation, the same for any mask."""
    return 3 * steps * batch_size + validation_size


@dataclass(frozen=True)
class Pricing:
    """Prices for the networks of one mask space. FLOPs count the prunable layers' products, nothing else."""

    space: MaskSpace

    def training(self, mask: BoolArray, examples: int) -> Cost:
        """Forward and backward passes; a backward pass makes two products for each one of the forward pass."""
        return Cost(train_examples=examples) + self._flops(mask, 3 * examples)

    def forward(self, mask: BoolArray, examples: int) -> Cost:
        """Forward passes only."""
        return Cost(forward_examples=examples) + self._flops(mask, examples)

    def evaluation(self, mask: BoolArray, examples: int, measured: int) -> Cost:
        """A short training over ``examples`` and the measurement of ``measured``; the mask is counted once."""
        counts = Cost(train_examples=examples, forward_examples=measured, trainings=int(examples > 0))
        return counts + self._flops(mask, 3 * examples + measured)

    def _flops(self, mask: BoolArray, passes: int) -> Cost:
        return Cost(
            dense_flops=passes * self.space.flops_per_example(),
            sparse_flops=passes * self.space.flops_per_example(mask),
        )
