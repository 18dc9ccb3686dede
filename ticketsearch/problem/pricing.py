"""What a piece of work costs, before it is done. One place, so that search and confirmation pay the same prices."""

from __future__ import annotations

from dataclasses import dataclass

from ticketsearch.arrays import BoolArray
from ticketsearch.cost import Cost
from ticketsearch.masks import MaskSpace


def evaluation_thirds(steps: int, batch_size: int, validation_size: int) -> int:
    """Thirds of a training example that one short training and its validation cost, the same for any mask."""
    return 3 * steps * batch_size + validation_size


@dataclass(frozen=True)
class Pricing:
    """Prices for the networks of one mask space.

    FLOPs count the products of prunable layers, of those left dense too, and nothing else.

    Attributes:
        space: of the weights.
        fixed_flops: of one example's forward pass through layers left dense.
    """

    space: MaskSpace
    fixed_flops: int = 0

    def training(self, mask: BoolArray, examples: int) -> Cost:
        """Forward and backward passes; a backward pass makes two products for each one of the forward pass."""
        return self._prices(mask[None], examples, 0)[0]

    def gradients(self, mask: BoolArray, examples: int) -> Cost:
        """Of the loss by all weights, pruned ones too: of the three products of a pass, the last one is dense."""
        dense = self.space.flops_per_example() + self.fixed_flops
        sparse = int(self.space.flops_per_layer(mask[None]).sum()) + self.fixed_flops
        return Cost(examples, 0, 3 * examples * dense, examples * (2 * sparse + dense))

    def forward(self, mask: BoolArray, examples: int) -> Cost:
        """Forward passes only."""
        return self._prices(mask[None], 0, examples)[0]

    def evaluations(self, masks: BoolArray, examples: int, measured: int) -> list[Cost]:
        """Of each mask a short training over ``examples`` and the measurement of ``measured``."""
        return self._prices(masks, examples, measured, trainings=int(examples > 0))

    def _prices(self, masks: BoolArray, trained: int, forward: int, trainings: int = 0) -> list[Cost]:
        passes = 3 * trained + forward
        dense = passes * (self.space.flops_per_example() + self.fixed_flops)
        return [
            Cost(trained, forward, dense, passes * (flops + self.fixed_flops), trainings)
            for flops in self.space.flops_per_layer(masks).sum(-1).tolist()
        ]
