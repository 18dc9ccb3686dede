"""What the host checks of a search afterwards, from its own records: law 12.

A strategy runs in the host's process, and Python hides nothing from it. So what it could have bent is added up again:
each trial's price, the sum of them, the budget, the score of the best mask, and where a ticket's weights come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ticketsearch.arrays import FloatArray
from ticketsearch.cost import Cost, Meter
from ticketsearch.digests import digest_of
from ticketsearch.masks import MaskSpace, digest
from ticketsearch.masks.ticket import Ticket, Weights
from ticketsearch.problem.scores import Incumbent, Score
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import Trial, read_record
from ticketsearch.records.results import Result

COUNTED = ("train_examples", "forward_examples", "dense_flops", "sparse_flops", "trainings")
"""Of a cost: what is counted, not timed."""
DERIVATIVES = {
    "gradients": 1,
    "hessian_gradient": 2,
    "synaptic_flow": 1,
    "ntk_sensitivity": 2,
    "hessian_product": 2,
    "tangent_kernel": 1,
}
"""Trainings of an example that one of its derivatives costs."""
FORWARD = {"activation_patterns": 1, "ntk_change": 2, "predict": 1}
"""Forward passes of an example that others cost."""


@dataclass(frozen=True)
class Prices:
    """What trials of a task cost.

    Attributes:
        batch_size: examples of an evaluation's step.
        validation_size: examples of a measurement on the validation split.
        flops: of one example's forward pass through the dense network.
        train_size: examples of an epoch.
    """

    batch_size: int
    validation_size: int
    flops: int
    train_size: int

    def fault(self, trial: Trial) -> str | None:
        """What is wrong with a trial's price; ``None`` if nothing is.

        A training may have other work within it, done between two of its snapshots; of that price only the least is
        known.
        """
        paid = trial.after - trial.before
        passes = 3 * paid.train_examples + paid.forward_examples
        asked = paid.train_examples, paid.forward_examples, paid.trainings
        if trial.kind == "train":
            charged = paid.train_examples >= trial.fidelity and paid.trainings >= 1
        elif trial.kind == "evaluate":
            charged = asked == (trial.fidelity * self.batch_size, self.validation_size, int(trial.fidelity > 0))
        elif trial.kind == "validate":
            charged = asked == (0, self.validation_size, 0)
        elif trial.kind in FORWARD:
            charged = asked == (0, FORWARD[trial.kind] * trial.fidelity, 0)
        else:
            charged = asked == (DERIVATIVES[trial.kind] * trial.fidelity, 0, 0)
        if not charged:
            return f"trial {trial.number} ({trial.kind}, {trial.fidelity}) was not charged its price"
        if paid.dense_flops != passes * self.flops or not 0 <= paid.sparse_flops <= paid.dense_flops:
            return f"the FLOPs of trial {trial.number} ({trial.kind}) are not those of its examples"
        return None

    def least(self, trials: Sequence[Trial]) -> int:
        """Thirds of a training example that trials cost at least."""
        alone = sum((trial.after - trial.before).thirds for trial in trials if trial.kind != "train")
        return alone + sum(3 * trial.fidelity for trial in trials if trial.kind == "train")


def counted(cost: Cost) -> tuple[int, ...]:
    """The numbers of a cost that are counted, not timed."""
    return tuple(int(getattr(cost, name)) for name in COUNTED)


def faults_of_costs(
    trials: Sequence[Trial], spent: Cost, budget: float, prices: Prices, *, late: bool = False
) -> Iterator[str]:
    """What does not add up in a record.

    Args:
        trials: in order.
        spent: the cost of the search.
        budget: in epochs.
        prices: of the task's trials.
        late: whether its time was up; work that was cut off then is paid for and on no record.
    """
    reached = counted(Cost())
    for trial in trials:
        if any(new < old for new, old in zip(counted(trial.after), reached, strict=True)):
            yield f"at trial {trial.number} the search has spent less than before it"
        if (fault := prices.fault(trial)) is not None:
            yield fault
        reached = counted(trial.after)
    unrecorded = all(a <= b for a, b in zip(reached, counted(spent), strict=True))
    if spent.thirds < prices.least(trials) or (reached != counted(spent) and not (late and unrecorded)):
        yield "the costs of its trials do not sum to what it spent"
    limit = Meter(prices.train_size, budget).limit_thirds
    if limit is not None and spent.thirds > limit:
        yield f"it spent {spent.epochs(prices.train_size):.6g}ep of a budget of {budget:g}ep"


def faults_on_file(folder: Path, result: Result) -> Iterator[str]:
    """What does not add up in the files of a finished run: each trial's price, their sum, the budget.

    Raises:
        CorruptRun: the ledger cannot be read.
    """
    if result.prices is None:
        return
    record = read_record(folder / LEDGER)
    if len(record.trials) != result.trials:
        yield f"its ledger has {len(record.trials)} trials, not {result.trials}"
    spent = Cost(**result.cost.model_dump(exclude={"epochs"}))
    prices = Prices(**result.prices.model_dump())
    if abs(spent.epochs(prices.train_size) - result.cost.epochs) > 1e-9 * max(1.0, result.cost.epochs):
        yield f"its {result.cost.epochs:g}ep are not those of {spent.train_examples} training examples"
    yield from faults_of_costs(record.trials, spent, result.budget, prices, late=record.ended is not None)


def faults_of_incumbents(incumbents: Sequence[Incumbent], trials: Sequence[Trial], n_kept: int) -> Iterator[str]:
    """Best masks that were never scored so, or keep another number of units than was asked for."""
    scored = {
        (trial.mask, trial.fidelity, trial.score)
        for trial in trials
        if trial.kind in ("evaluate", "predict") and trial.state == "complete"
    }
    for one in incumbents:
        name = digest(np.asarray(one.mask))
        own = Score.mean([Score(value, 0.0) for value in one.values]).value
        if own != one.score.value or any((name, one.fidelity, value) not in scored for value in one.values):
            yield f"its best mask {name} has a score of {one.score.value:g}, which no trial of the ledger gave it"
        if (kept := int(np.count_nonzero(one.mask))) != n_kept:
            yield f"its best mask {name} keeps {kept} units, not {n_kept}"


def origin_of(ticket: Ticket, initial: Weights, space: MaskSpace, handed_out: set[str]) -> str:
    """Where a ticket's start weights come from.

    Args:
        ticket: its mask is of weights.
        initial: the run's initial weights.
        space: of the weights.
        handed_out: identities of the weights that trainings of this run gave to the strategy.

    Returns:
        ``initial``; ``trained``: weights that a metered training of this run gave; ``derived``: initial weights
        permuted within layers, with other signs, or one magnitude for each layer (the mask-1 actions), or times one
        factor; ``foreign``: none of these. Nobody can say what foreign weights were trained on.
    """
    weights = ticket.weights
    if weights is None or _same(weights, initial, ticket):
        return "initial"
    if digest_of(weights.vector, weights.rest) in handed_out:
        return "trained"
    rests_agree = np.array_equal(weights.rest, initial.rest)
    if rests_agree and _scaled(weights.vector[ticket.mask], initial.vector[ticket.mask]):
        return "derived"
    if rests_agree and all(
        _derived(weights.vector[layer.span][ticket.mask[layer.span]], initial.vector[layer.span])
        for layer in space.layers
    ):
        return "derived"
    return "foreign"


def _same(weights: Weights, initial: Weights, ticket: Ticket) -> bool:
    kept = np.array_equal(weights.vector[ticket.mask], initial.vector[ticket.mask])
    return kept and np.array_equal(weights.rest, initial.rest)


def _scaled(kept: FloatArray, initial: FloatArray) -> bool:
    """Whether weights are initial ones times one factor."""
    known = initial != 0
    ratios = kept[known].astype(float) / initial[known]
    return not kept[~known].any() and ratios.size > 0 and bool(np.ptp(ratios) <= 1e-6 * np.abs(ratios).max())


def _derived(kept: FloatArray, initial: FloatArray) -> bool:
    """Whether magnitudes are some of a layer's initial ones, each as often as there, or all one; or zero."""
    found = np.abs(kept[kept != 0])
    if found.size == 0 or np.ptp(found) <= 1e-6 * found.max():
        return True
    values, counts = np.unique(np.abs(initial), return_counts=True)
    own, often = np.unique(found, return_counts=True)
    places = np.minimum(np.searchsorted(values, own), values.size - 1)
    return bool(np.array_equal(values[places], own) and (often <= counts[places]).all())
