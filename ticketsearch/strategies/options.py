"""Options that several strategies share, so that one word means one thing on every command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from ticketsearch.criteria import check_criterion
from ticketsearch.encodings import MIXTURE, Encoding, check_encoding, make_encoding
from ticketsearch.problem import MaskProblem
from ticketsearch.recipe import Recipe

EncodingName = Literal["swap", "layer-density", "criterion-mixture", "seeded"]
Fraction = Annotated[float, Field(gt=0, le=1)]
"""A number in (0, 1]."""


@dataclass(frozen=True)
class PruningOptions:
    """For strategies that prune by a score of trained weights."""

    criterion: str = "large_final"
    l1: Annotated[float, Field(ge=0)] = 0.0
    hoyer: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        check_criterion(self.criterion)

    def recipe(self, problem: MaskProblem) -> Recipe:
        """The task's recipe with the loss terms asked for, for trainings within the search; confirmation has none."""
        return replace(problem.recipe, l1=self.l1 or problem.recipe.l1, hoyer=self.hoyer or problem.recipe.hoyer)


@dataclass(frozen=True)
class EncodingOptions:
    """For black-box searchers: how they write a mask down."""

    encoding: EncodingName = "swap"
    criterion: str = "large_init"
    criteria: tuple[str, ...] = MIXTURE
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1

    def __post_init__(self) -> None:
        check_encoding(self.encoding, self.criterion, self.criteria)

    def make_encoding(self, problem: MaskProblem) -> Encoding:
        """The encoding asked for, on this problem; trains the dense network if its criteria need that."""
        return make_encoding(
            self.encoding, problem, criterion=self.criterion, criteria=self.criteria, radius=self.radius
        )
