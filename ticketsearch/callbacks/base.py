"""What a callback is, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ticketsearch.records.ledger import Trial
from ticketsearch.records.results import Result


@dataclass(frozen=True)
class Running:
    """The run that a trial or a round is of, as it stood then.

    Attributes:
        name: of its folder, the same in every session of the run.
        strategy: its name.
        parameters: its hyperparameters, defaults included: a copy.
        task: its name.
        sparsity: fraction pruned.
        seed: the run's.
        budget: of the search, in epochs.
        spent: by the search until then, in epochs.
        best: score of the best mask evaluated until then, at the highest fidelity used; ``None`` if there was none.
    """

    name: str
    strategy: str
    parameters: dict[str, Any]
    task: str
    sparsity: float
    seed: int
    budget: float
    spent: float = 0.0
    best: float | None = None


@dataclass(frozen=True)
class Round:
    """A network that an iterative search has trained and will prune.

    Its accuracies are measured when the search has ended: see ``result.rounds``.

    Attributes:
        number: from 0, which is the whole network in IMP.
        sparsity: fraction of the units pruned in it.
        step: of the recipe, that its training reached.
        train_loss: mean since the training's last snapshot but one.
        mask_digest: of its mask of weights.
    """

    number: int
    sparsity: float
    step: int
    train_loss: float
    mask_digest: str


class Callback:
    """Told what happens in a run. Derive from it, and define what you need; the methods here do nothing.

    All methods are called in the process that called :func:`ticketsearch.run` or :func:`ticketsearch.compare`, also
    with ``jobs`` greater than one, when calls of several runs alternate. What they are handed is a copy. Their time is
    no part of the search's.

    Only what is new is told. A resumed run does not repeat the trials and rounds that were on record when it was
    interrupted, and a run that had finished before has no ``on_result``. For those you may call ``on_result`` yourself,
    with results that :func:`ticketsearch.load_results` reads.

    A callback that raises an exception is not called again. A line on stderr says so at once, the run goes on, and when
    everything is written a :class:`ticketsearch.errors.CallbackError` names it.
    """

    def on_trial(self, trial: Trial, run: Running) -> None:
        """Called after each trial, once it is on record: ``trial.kind``, ``trial.score``, ``trial.after``."""

    def on_round(self, trained: Round, run: Running) -> None:
        """Called when an iterative search, like IMP, has trained the network of a round."""

    def on_result(self, result: Result) -> None:
        """Called when a run has finished and its result is written."""

    def close(self) -> None:
        """Called last, when ``run`` or ``compare`` ends, also by an error: runs without a result have failed."""
