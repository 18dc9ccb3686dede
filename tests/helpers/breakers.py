"""For each check a strategy that breaks that one and no other. Importable, so that other processes find them;
PyTorch is imported where it is used, so that they find them quickly.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ticketsearch import AskTellStrategy, BudgetExhausted, MaskProblem, Score, Ticket
from ticketsearch.arrays import BoolArray
from ticketsearch.masks import swap, top_n


@dataclass(frozen=True)
class Sound:
    """Best of a few random masks: breaks nothing."""

    batch: int = 4

    def search(self, problem: MaskProblem) -> Ticket | None:
        rng = self.rng(problem)
        masks = problem.space.random(problem.space.n_kept(problem.sparsity), rng, 12)
        scores: list[Score] = []
        for first in range(0, len(masks), self.batch):
            scores += problem.evaluate(masks[first : first + self.batch])
        return self.ticket(problem, masks, scores)

    def rng(self, problem: MaskProblem) -> np.random.Generator:
        return problem.rng("sound")

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        return None


@dataclass(frozen=True)
class Forgetful(Sound):
    """A parameter that does not come back as it was."""

    shift: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift", self.shift + 1)


@dataclass(frozen=True)
class Unpicklable(Sound):
    hidden: Any = field(default_factory=lambda: lambda: None, init=False, repr=False, compare=False)

    def __getstate__(self) -> Any:
        raise TypeError("not me")


@dataclass(frozen=True)
class Raises(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        raise ZeroDivisionError("no luck today")


@dataclass(frozen=True)
class ReturnsAMask(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Any:
        return masks[0]


@dataclass(frozen=True)
class WrongCount(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        return Ticket(top_n(np.abs(problem.initial_weights().vector), problem.n_kept + 1))


@dataclass(frozen=True)
class WrongSize(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        return Ticket(masks[0][:-1])


@dataclass(frozen=True)
class AsksWrongCount(Sound):
    def search(self, problem: MaskProblem) -> None:
        problem.evaluate(problem.space.random(problem.space.n_kept(problem.sparsity / 2), problem.rng("x"), 3))


@dataclass(frozen=True)
class Spendthrift(Sound):
    """Cannot do with a budget of one evaluation."""

    def search(self, problem: MaskProblem) -> Ticket | None:
        if problem.remaining < 2 * problem.evaluation_cost():
            raise RuntimeError("too little to begin with")
        return super().search(problem)


@dataclass(frozen=True)
class Reseeding(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        random.seed(3)
        return problem.rng("x")


@dataclass(frozen=True)
class ReseedingNumpy(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        np.random.seed(3)  # noqa: NPY002
        return problem.rng("x")


@dataclass(frozen=True)
class ReseedingTorch(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        import torch

        torch.manual_seed(3)
        return problem.rng("x")


@dataclass(frozen=True)
class Ambient(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        return np.random.default_rng()


@dataclass(frozen=True)
class Hashing(Sound):
    """The order of a set of strings is that of this process."""

    def rng(self, problem: MaskProblem) -> np.random.Generator:
        return problem.rng("".join({f"name {index}" for index in range(20)}))


@dataclass(frozen=True)
class Fragile(Sound):
    """Falls over a failed score."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        assert np.isfinite([float(score) for score in scores]).all()
        return None


@dataclass(frozen=True)
class NaNWins(Sound):
    """Sorts the wrong way round where a score failed."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        return next((Ticket(mask) for mask, score in zip(masks, scores, strict=True) if score.failed), None)


@dataclass(frozen=True)
class MovesTheTarget(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        problem.n_kept = problem.space.size  # type: ignore[misc]
        return None


@dataclass(frozen=True)
class ClimbsInPlace(Sound):
    """An honest author who forgot a copy."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        assert problem.incumbent is not None
        mask = problem.incumbent.mask
        mask[np.flatnonzero(mask)[:2]] = False
        return None


@dataclass(frozen=True)
class ForgesAScore(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        if (best := problem.incumbent) is not None:
            forged = type(best)(np.array(masks[1]), Score(0.99, 0.0), best.fidelity, best.cost, (0.99,))
            vars(problem)["_session"].incumbents.append(forged)
        return None


@dataclass(frozen=True)
class ChangesTheProblem(Sound):
    """By the back door."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        vars(problem)["_session"].fidelity = 20
        return None


@dataclass(frozen=True)
class WorksAfterwards(Sound):
    """Leaves a thread behind that goes on evaluating."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        own = problem.space.swap(masks[0], 2, problem.rng("afterwards"))

        def work() -> None:
            with contextlib.suppress(Exception):
                time.sleep(0.05)
                problem.evaluate(own[None])

        threading.Thread(target=work, daemon=True).start()
        return None


@dataclass(frozen=True)
class ChangesSnapshots(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        for snapshot in problem.train(recipe=problem.recipe.lasting(10)):
            snapshot.weights.vector[:] = 0
        return None


@dataclass(frozen=True)
class ChangesItself(Sound):
    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        object.__setattr__(self, "batch", self.batch + 1)
        return None


@dataclass(frozen=True)
class Sharing(Sound):
    """State on the class, begun anew by each search."""

    drawn: ClassVar[list[BoolArray]] = []

    def search(self, problem: MaskProblem) -> Ticket | None:
        self.drawn.clear()
        rng = problem.rng("x")
        for _ in range(6):
            self.drawn.append(problem.space.random(problem.n_kept, rng))
            problem.evaluate(self.drawn[-1:])
            problem.evaluate([problem.space.swap(self.drawn[len(self.drawn) // 2], 3, rng)])
        return None


@dataclass(frozen=True)
class NeedsPairs(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        assert self.batch % 4 == 0, "an odd batch"
        return problem.rng("x")


@dataclass(frozen=True)
class Overfull(AskTellStrategy[MaskProblem]):
    """Asked for one mask, returns four."""

    batch: int = 4

    def start(self, problem: MaskProblem) -> MaskProblem:
        return problem

    def ask(self, state: MaskProblem, n: int) -> BoolArray:
        return state.space.random(state.n_kept, state.rng("x"), max(4, n))

    def tell(self, state: MaskProblem, masks: BoolArray, scores: Any) -> None:
        pass


@dataclass(frozen=True)
class Pessimist(Sound):
    """Keeps the worst."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        sound = [(score.value, row) for row, score in enumerate(scores) if not score.failed]
        worth = problem.units.reduce(-np.abs(problem.initial_weights().vector))
        return Ticket(problem.space.top(worth, problem.n_kept)) if sound else None


@dataclass(frozen=True)
class SwapsBits(Sound):
    """Knows of no blocks and layers."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        return Ticket(swap(masks[0], 12, problem.rng("x")))


@dataclass(frozen=True)
class TrainsByItself(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        import torch

        generator = torch.Generator()
        inputs = torch.randn(8, 4, generator=generator.manual_seed(0))
        weight = torch.zeros(3, 4, requires_grad=True)
        optimizer = torch.optim.SGD([weight], 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(inputs @ weight.T, torch.zeros(8, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return problem.rng("x")


@dataclass(frozen=True)
class ForwardByItself(Sound):
    def rng(self, problem: MaskProblem) -> np.random.Generator:
        import torch

        layer = torch.nn.utils.skip_init(torch.nn.Linear, 4, 3)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            layer(torch.zeros(8, 4))
        return problem.rng("x")


@dataclass(frozen=True)
class GoesBehind(Sound):
    """Asks the engine, past the meter."""

    def rng(self, problem: MaskProblem) -> np.random.Generator:
        session: Any = problem._session
        session.engine.gradients(session.initial, np.arange(20))
        return problem.rng("x")


@dataclass(frozen=True)
class Remembers(Sound):
    """Another search after a kill."""

    killed: ClassVar[bool] = False

    def search(self, problem: MaskProblem) -> Ticket | None:
        try:
            return super().search(problem)
        except (BudgetExhausted, AssertionError):
            raise
        except BaseException:
            Remembers.killed = True
            raise

    def rng(self, problem: MaskProblem) -> np.random.Generator:
        return problem.rng("after" if self.killed else "before")


@dataclass(frozen=True)
class Covariance(Sound):
    """A matrix of D x D."""

    def rng(self, problem: MaskProblem) -> np.random.Generator:
        np.zeros((problem.space.size, problem.space.size)).sum()
        return problem.rng("x")


@dataclass(frozen=True)
class OnlyClosedForm(Sound):
    """Knows the closed-form problem by its layers' names."""

    def ticket(self, problem: MaskProblem, masks: BoolArray, scores: list[Score]) -> Ticket | None:
        assert problem.space.layers[0].name == "first.weight", "a network I do not know"
        return None


BREAKERS: dict[str, list[type]] = {
    "parameters-round-trip": [Forgetful],
    "picklable": [Unpicklable],
    "searches": [Raises, ClimbsInPlace],
    "exact-count": [ReturnsAMask, WrongCount, WrongSize, AsksWrongCount, MovesTheTarget],
    "within-budget": [Spendthrift],
    "global-random-state": [Reseeding, ReseedingNumpy, ReseedingTorch],
    "same-seed": [Ambient],
    "fresh-process": [Hashing],
    "failed-scores": [Fragile, NaNWins],
    "arguments-untouched": [ChangesTheProblem, ChangesSnapshots, ChangesItself, ForgesAScore],
    "ends-when-it-returns": [WorksAfterwards],
    "instances-independent": [Sharing],
    "batch-sizes": [NeedsPairs, Overfull],
    "granularities": [SwapsBits],
    "not-worse-than-random": [Pessimist],
    "metered": [TrainsByItself, ForwardByItself, GoesBehind],
    "kill-and-replay": [Remembers],
    "million-bits": [Covariance],
    "tiny-network": [OnlyClosedForm],
}
