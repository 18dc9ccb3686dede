"""Options that several strategies share, so that one word means one thing on every command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.arrays import BoolArray, FloatArray
from ticketsearch.errors import InvalidValue, UnknownName
from ticketsearch.masks import top_per_layer
from ticketsearch.masks.actions import act, check_actions
from ticketsearch.masks.criteria import check_criterion
from ticketsearch.masks.densities import layer_counts
from ticketsearch.masks.encodings import Encoding
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.plugins import PREDICTORS, available
from ticketsearch.predictors import Predictor, predictor_named
from ticketsearch.problem import MaskProblem, Score
from ticketsearch.problem.scores import SCORES, Orders, Origin, ScoreName
from ticketsearch.recipe import Recipe
from ticketsearch.strategies.encoding import check_start, encoding_settings, make_encoding

Fraction = Annotated[float, Field(gt=0, le=1)]
"""A number in (0, 1]."""
Rate = Annotated[float, Field(gt=0, le=1e6)]
Strength = Annotated[float, Field(ge=0, le=1e6)]
Steepness = Annotated[float, Field(ge=1, le=1e6)]
"""Of relaxations: what is larger soon is no float32."""


def best_within(problem: MaskProblem, scores: npt.NDArray[np.floating[Any]], scope: str) -> BoolArray:
    """The mask of the highest of ``(U,)`` scores: of all (``global``), or at one density in each layer (``layer``)."""
    if scope == "global":
        return problem.space.top(scores, problem.n_kept)
    return top_per_layer(scores, layer_counts("uniform", problem.space, problem.n_kept), problem.space)


@dataclass(frozen=True)
class PruningOptions:
    """For strategies that prune by a score of trained weights."""

    criterion: str = "large_final"
    l1: Annotated[float, Field(ge=0)] = 0.0
    hoyer: Annotated[float, Field(ge=0)] = 0.0
    mask_1: str = "rewind"
    mask_0: str = "zero"

    def __post_init__(self) -> None:
        if self.criterion is not None:
            check_criterion(self.criterion)
        check_actions(self.mask_1, self.mask_0)

    def recipe(self, problem: MaskProblem) -> Recipe:
        """The task's recipe with the loss terms asked for, for trainings within the search; confirmation has none."""
        return replace(problem.recipe, l1=self.l1 or problem.recipe.l1, hoyer=self.hoyer or problem.recipe.hoyer)

    def ticket(self, problem: MaskProblem, mask: BoolArray, origin: Weights, final: FloatArray | None) -> Ticket:
        """The ticket that the actions make of a mask.

        Args:
            problem: gives the random stream of the permutations.
            mask: ``(U,)``, of units.
            origin: w_i, the weights to start from.
            final: w_f, ``(D,)``; ``None`` if nothing was trained.

        Raises:
            InvalidValue: a mask-0 action that compares with final weights, of which there are none, or that holds
                weights of pruned channels at values.
        """
        if self.mask_0 != "zero" and problem.units.of_rest is not None:
            raise InvalidValue(f"mask_0 {self.mask_0!r}: pruned channels are zero; use --granularity weight")
        if final is None and self.mask_0.startswith("zero-if-shrunk"):
            raise InvalidValue(f"mask_0 {self.mask_0!r} compares with trained weights; {self.criterion!r} trains none")
        if final is None and self.mask_1 == "trained-sign":
            raise InvalidValue(f"mask_1 'trained-sign' takes signs of trained weights; {self.criterion!r} trains none")
        if (self.mask_1, self.mask_0) == ("rewind", "zero"):
            return Ticket(mask, origin)
        rng = problem.rng("actions")
        trained, units = origin.vector if final is None else final, problem.units
        acted = act(units.expand(mask), origin, trained, units.weights, rng, self.mask_1, self.mask_0)
        return replace(acted, mask=mask)


@dataclass(frozen=True)
class EvaluationOptions:
    """For searchers: what a mask's short training is scored by, and on which data orders.

    Attributes:
        score: ``accuracy`` or ``loss`` on the validation split; or of the training losses themselves the mean of all
            steps (``train-loss``), of the last tenth (``train-loss-last``), or weighted exponentially
            (``train-loss-ema``). The training is the same, and so is its price. Or ``basin``: how far it goes where a
            training of the dense network goes, which is paid for once: a hybrid. Or a predictor, see ``ticketsearch
            predictors``: ``snip``, ``gradient-norm(steps=100)``; it pays for what it asks, and a fidelity, orders,
            repeats and inherited weights do not apply.
        orders: ``common``: one data order for all masks of a run; ``fresh``: a new one in each call, so that no mask is
            favoured by one order for good.
        repeats: trainings of each mask, on as many data orders; their mean is the score.
        weights: what they start from: the ``initial`` ones, or ``inherited``: a mask's training goes on from the
            trained weights of the most similar of the last 64 networks, where both keep a weight. Scores then rise by
            training on as well as by better masks, and a search may feed on that: what counts is the ticket, which
            starts from the initial weights and is confirmed from there.
    """

    score: str = "accuracy"
    orders: Orders = "common"
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    weights: Origin = "initial"

    def __post_init__(self) -> None:
        if self.predictor is not None and (self.repeats != 1 or self.weights != "initial"):
            raise InvalidValue(
                f"score {self.score!r} is a predictor, computed once from the initial weights; repeats={self.repeats} "
                f"and weights={self.weights} do not apply"
            )

    @property
    def predictor(self) -> Predictor | None:
        """The predictor that masks are scored by; ``None`` if short trainings score them.

        Raises:
            UnknownName: neither a score nor a predictor has that name.
            InvalidValue, PluginError: as in :func:`ticketsearch.predictors.predictor_named`.
        """
        if self.score in SCORES:
            return None
        try:
            return predictor_named(self.score)
        except UnknownName as error:
            if error.name != self.score:  # a setting of it
                raise
            known = [plugin.name for plugin in available(PREDICTORS)]
            raise UnknownName("score", self.score, [*SCORES, *known]) from error

    @property
    def parts(self) -> list[type]:
        """Classes that decide what it finds, besides its own."""
        return [] if self.predictor is None else [type(self.predictor)]

    def drawn(self, problem: MaskProblem, count: int, fidelity: int | None = None) -> int:
        """``count`` masks, or as many as the budget still pays for and one more; of predictors nobody knows that."""
        if self.predictor is not None:
            return count
        return problem.worth_drawing(count, fidelity, self.repeats)

    def scores(self, problem: MaskProblem, masks: Sequence[BoolArray], fidelity: int | None = None) -> list[Score]:
        """The masks' scores, in order."""
        if (predictor := self.predictor) is not None:
            if fidelity is not None:
                raise InvalidValue(
                    f"score {self.score!r} is a predictor, and this strategy scores masks by trainings of several "
                    f"lengths; give it one of {', '.join(SCORES)}"
                )
            return problem.predict(masks, predictor)
        return problem.evaluate(
            masks,
            fidelity,
            score=cast("ScoreName", self.score),
            orders=self.orders,
            repeats=self.repeats,
            weights=self.weights,
        )


@dataclass(frozen=True)
class EncodingOptions(EvaluationOptions):
    """For searchers over encodings: how they write a mask down, and where they begin.

    Attributes:
        encoding: how a mask is written down, with settings in brackets, ``neurons(alpha=0.5)``: see
            ``ticketsearch encodings``. A searcher over vectors of numbers needs one that is a vector.
        start: where it begins: ``uniform``, ``erk``, ``smart-ratio``, ``counts(CRITERION)`` or ``mask(CRITERION)``;
            default the encoding's own.
    """

    encoding: str = "neurons"
    start: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        encoding_settings(self.encoding)
        if self.start is not None:
            check_start(self.start)

    @property
    def parts(self) -> list[type]:
        """Classes that decide what it finds, besides its own."""
        return [*super().parts, type(encoding_settings(self.encoding))]

    def make_encoding(self, problem: MaskProblem) -> Encoding:
        """The encoding asked for, on this problem; trains the dense network if its criteria need that."""
        return make_encoding(self.encoding, problem, self.start)
