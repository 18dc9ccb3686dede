"""Whether a cut network computes what the whole one does: on the example, on random inputs, and on more of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ticketsearch.compaction.counting import coarsest
from ticketsearch.errors import InvalidValue
from ticketsearch.seeds import stream

TOLERANCE = 1e-4
"""Of the outputs' largest difference, relative to the largest output: more, and nothing is cut."""
ROUNDINGS = 16
"""The same in roundings of the network's coarsest dtype."""


def output_of(module: nn.Module, example: Tensor) -> Tensor:
    """What a network computes.

    Raises:
        InvalidValue: it cannot process the example, or returns something else than a tensor.
    """
    try:
        with torch.no_grad():
            output: Any = module(example)
    except Exception as error:  # whatever a user's forward raises
        reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        raise InvalidValue(f"the network cannot process an input of shape {tuple(example.shape)}: {reason}") from error
    if not isinstance(output, Tensor):
        raise InvalidValue(f"the network returns {type(output).__name__}; one that returns a tensor can be compacted")
    return output


def difference(whole: nn.Module, result: nn.Module, example: Tensor) -> float | None:
    """Largest difference of two networks' outputs on all inputs; ``None`` beyond what rounding explains."""
    tolerance = max(TOLERANCE, ROUNDINGS * coarsest(whole))
    worst = 0.0
    for given in (example, *_others(whole, example)):
        wanted = output_of(whole, given).double()
        try:
            found = output_of(result, given).double()
        except InvalidValue:
            return None
        finite = torch.isfinite(wanted)
        if wanted.shape != found.shape or not wanted.numel() or not torch.equal(finite, torch.isfinite(found)):
            return None
        scale = float(wanted[finite].abs().max()) if bool(finite.any()) else 0.0
        apart = float((wanted - found)[finite].abs().max()) if bool(finite.any()) else 0.0
        if not apart <= tolerance * max(1.0, scale):
            return None
        worst = max(worst, apart)
    return worst


def _others(whole: nn.Module, example: Tensor) -> Iterator[Tensor]:
    """Inputs that the whole network can process: random ones, and the example twice over."""
    for other in (_noise(example), torch.cat([example, example.flip(0)]) if example.ndim else example):
        try:
            output_of(whole, other)
        except InvalidValue:  # numbers of another range than an embedding has, or a fixed number of examples
            continue
        yield other


def _noise(example: Tensor) -> Tensor:
    """Random input: normal numbers, or where numbers are indices, each place's own values in another order."""
    rng = stream(0, "compact")
    if example.is_floating_point():
        return torch.from_numpy(rng.normal(size=tuple(example.shape))).to(example)
    rows = rng.permuted(torch.arange(len(example)).reshape(-1, 1).expand(len(example), example[0].numel()), axis=0)
    return example.reshape(len(example), -1).gather(0, torch.from_numpy(rows)).reshape(example.shape)
