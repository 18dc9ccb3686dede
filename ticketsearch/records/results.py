"""What a finished run leaves behind for reports: ``result.json``, typed. Never imports torch."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.records.files import read_whole
from ticketsearch.records.folder import RESULT, SPEC, TICKET, check_digests, check_run
from ticketsearch.records.record import StrictRecord, parsed, write_record
from ticketsearch.visible import visible_in

UNBALANCED = 1.2
"""How many times as frequent as among equal classes the most frequent one is, for a reader to be told."""


class CostRecord(StrictRecord):
    """A cost vector; see :class:`ticketsearch.cost.Cost`. ``epochs`` is the budget's currency."""

    epochs: float
    train_examples: int
    forward_examples: int
    dense_flops: int
    sparse_flops: int
    trainings: int
    wall_s: float
    cpu_s: float
    engine_s: float
    strategy_s: float


class Confirmation(StrictRecord):
    """Full trainings of one ticket with fresh data orders, and what they scored.

    ``test_accuracy`` and ``validation_accuracy`` are means, ``*_accuracies`` the single values, ``spread`` the
    sample standard deviation of the test accuracies (zero for a single one), ``diverged`` how many trainings did.
    ``untrained_test_accuracy`` is that of the masked network before its first step. ``n_weights`` counts the weights of
    a network that is another than the task's.
    """

    test_accuracy: float
    validation_accuracy: float
    spread: float
    untrained_test_accuracy: float
    test_accuracies: list[float]
    validation_accuracies: list[float]
    steps: int
    diverged: int
    cost: CostRecord
    n_weights: int | None = None


class Checkpoint(StrictRecord):
    """A mask the search would have returned had it ended earlier, confirmed like the ticket.

    ``cost`` is what the search had spent when it had this mask; ``search_score`` the short-training score it had then,
    after ``fidelity`` steps, both none for a ticket that was not scored. Accuracies are means over the confirmation's
    data orders.
    """

    cost: CostRecord
    search_score: float | None
    fidelity: int | None
    test_accuracy: float
    validation_accuracy: float
    mask_digest: str


class PricesRecord(StrictRecord):
    """What trials are priced by; see :class:`ticketsearch.runner.audit.Prices`."""

    batch_size: int
    validation_size: int
    flops: int
    train_size: int


class RoundRecord(StrictRecord):
    """A network that an iterative search trained on its way; the last one is the ticket, as confirmed.

    ``round`` counts from 0, which is the whole network in IMP. ``sparsity`` is the fraction of the units pruned,
    ``step`` the recipe's step that the training reached. Accuracies are of one training, the search's own, or means of
    as many as ``trainings`` says. ``cost`` is that of measuring them, on the confirmation's account.
    """

    round: int
    n_kept: int
    n_units_kept: int
    sparsity: float
    step: int
    validation_accuracy: float
    test_accuracy: float
    trainings: int
    mask_digest: str
    cost: CostRecord


class Machine(StrictRecord):
    """What a run was made on: seconds mean little without it. ``threads`` are the engine's."""

    processor: str
    cores: int
    threads: int
    accelerator: str
    system: str


class LayerRecord(StrictRecord):
    """One prunable tensor and what the ticket keeps of it.

    ``flops`` are those of one example's forward pass through the whole layer, ``kept_flops`` through its kept weights;
    older records have none.
    """

    name: str
    shape: list[int]
    kept: int
    density: float
    flops: int | None = None
    kept_flops: int | None = None


class Result(StrictRecord):
    """One finished run.

    ``validation_accuracy`` and ``test_accuracy`` are the confirmation's; ``search_score`` is the search's own best
    short-training score, an accuracy or minus a loss, which is never a result. ``curve`` are confirmed checkpoints of
    the search by ascending cost, the ticket last. ``short_scores`` are those the evaluator would give the ticket's
    mask, by its steps; none if the ticket starts from other weights than the evaluator does. ``calls`` counts trials by
    kind: evaluate, train, gradients and so on. ``checkpoints`` and ``time_limit_s`` are what was asked for; ``notes``
    what the strategy has to say of its search; ``task_options`` are those the task was made with, defaults included.
    ``granularity`` is what masks are of; ``sparsity`` is the fraction of such units that is pruned, of which there are
    ``n_units`` and ``n_units_kept`` are kept; ``n_weights`` and ``n_kept`` count weights. ``n_parameters`` are all of
    the network's; ``keep`` are the patterns of layers left dense, ``left_dense`` names every tensor that looks prunable
    and is not in the mask space, and says why. ``start`` is where the ticket's weights come from (see
    :func:`ticketsearch.runner.audit.origin_of`), ``held`` whether pruned weights are held at values. ``task_source`` is
    where a task that is not registered came from, ``module:function``; ``finished`` is when the run ended, in UTC;
    ``files`` are digests of the run's other files as they were then. ``rounds`` are networks that an iterative search
    trained on its way. ``overlap`` counts examples that two splits share; ``fidelity_end`` is what a rising fidelity
    rises to. ``majority_test_accuracy`` is that of always answering the training split's most frequent class, of the
    ``n_classes`` that the test split has.
    """

    strategy: str
    parameters: dict[str, Any]
    distribution: str
    task: str
    task_fingerprint: str
    seed: int
    sparsity: float
    granularity: str = "weight"
    budget: float
    fidelity: int
    orders: int
    checkpoints: int
    time_limit_s: float | None
    n_kept: int
    n_weights: int
    n_units_kept: int | None = None
    n_units: int | None = None
    validation_accuracy: float
    test_accuracy: float
    dense_test_accuracy: float
    random_test_accuracy: float
    magnitude_test_accuracy: float
    search_score: float | None
    curve: list[Checkpoint]
    short_scores: dict[int, float]
    cost: CostRecord
    confirmation: Confirmation
    references: dict[str, Confirmation]
    layers: list[LayerRecord]
    mask_digest: str
    trials: int
    failed_trials: int
    calls: dict[str, int]
    stopped: str
    notes: dict[str, Any]
    engine: str
    device: str
    versions: dict[str, str]
    machine: Machine
    ticket: str
    run: str
    task_options: dict[str, Any] = Field(default_factory=dict)
    keep: list[str] = Field(default_factory=list)
    left_dense: dict[str, str] = Field(default_factory=dict)
    n_parameters: int | None = None
    start: str = "initial"
    held: bool = False
    task_source: str | None = None
    finished: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    rounds: list[RoundRecord] = Field(default_factory=list)
    prices: PricesRecord | None = None
    overlap: dict[str, int] = Field(default_factory=dict)
    fidelity_end: int | None = None
    majority_test_accuracy: float | None = None
    n_classes: int | None = None

    @property
    def unbalanced(self) -> float | None:
        """Where classes are unbalanced, the test accuracy of always answering the most frequent one."""
        majority = self.majority_test_accuracy
        if majority is None or not self.n_classes or majority <= UNBALANCED / self.n_classes:
            return None
        return majority

    @property
    def kind(self) -> str:
        """What is pruned: masks of other units, or of other layers, are no rivals."""
        return kind_of(self.granularity, self.keep)


def score_in_words(score: float) -> str:
    """A search's own score: an accuracy, or minus a loss; above 1, a predictor's."""
    if score > 1:
        return f"{score:.4g}"
    return f"{100 * score:.2f} %" if score >= 0 else f"a loss of {-score:.4g}"


def already_finished(result: Result) -> str:
    """One line that says why nothing is computed."""
    when = f" on {result.finished[:16].replace('T', ' ')} UTC" if result.finished else ""
    return f"ticketsearch: this run finished{when} and is shown, not repeated; --fresh (fresh=True) runs it anew"


def kind_of(granularity: str, keep: Sequence[str]) -> str:
    """``weight``, ``channel``, ``2:4``; and the layers left dense."""
    return f"{granularity}, {', '.join(keep)} dense" if keep else granularity


def faults_of(result: Result) -> Iterator[str]:
    """What a result says that cannot be so."""
    if result.cost.epochs > result.budget * (1 + 1e-9):
        yield f"its search cost {result.cost.epochs:g}ep of a budget of {result.budget:g}ep"
    if result.n_units is not None and result.n_units_kept != result.n_units - round(result.sparsity * result.n_units):
        yield f"it keeps {result.n_units_kept} of {result.n_units} units at sparsity {result.sparsity:g}"
    if sum(layer.kept for layer in result.layers) != result.n_kept:
        yield f"its layers keep {sum(layer.kept for layer in result.layers)} weights, not {result.n_kept}"
    if any(not 0 <= layer.kept <= math.prod(layer.shape) for layer in result.layers):
        yield "a layer keeps more weights than it has"
    means = (
        (result.test_accuracy, result.confirmation.test_accuracy),
        (
            result.confirmation.test_accuracy,
            statistics.fmean(result.confirmation.test_accuracies or [math.nan]),
        ),
    )
    if any(abs(one - other) > 1e-9 for one, other in means):
        yield "its test accuracy is not the mean of its confirmation's trainings"


def write_result(folder: Path, result: Result) -> None:
    """Write ``result.json``, the last file of a run: it is what makes the run finished."""
    write_record(folder / RESULT, result)


def read_result(folder: Path) -> Result:
    """Read a finished run.

    Raises:
        NotARun: no result there.
        CorruptRun: a result that does not parse, or does not match its digest or the run's spec; or something else lies
            at a name of the run's files.
    """
    path = folder / RESULT
    check_run(folder)
    try:
        text = read_whole(path)
    except OSError as error:
        raise NotARun(f"{folder} holds no finished run ({error.strerror})") from error
    result = parsed(Result, path, text)
    _check_spec(folder / SPEC, result)
    return result.model_copy(update={"run": str(folder), "ticket": str(folder / TICKET)})


def read_finished(folder: Path) -> Result:
    """Read a finished run whose other files are as they were when it finished.

    Raises:
        NotARun, CorruptRun: as :func:`read_result` does; or the spec, the ledger or the ticket is damaged.
    """
    result = read_result(folder)
    check_digests(folder, result.files)
    return result


def _check_spec(path: Path, result: Result) -> None:
    """Raise CorruptRun if a run's spec is of another run than its result: somebody moved a file."""
    try:
        spec = visible_in(json.loads(read_whole(path)))
    except (OSError, ValueError, RecursionError):
        return  # a result says all that a report needs; who needs the spec reads it, and says what is wrong
    for key in sorted(result.model_fields_set & set(spec if isinstance(spec, dict) else ())):
        if (found := getattr(result, key)) != spec[key]:
            raise CorruptRun(
                f"{path.parent}: {RESULT} is of another run than {SPEC}: {key} is {found!r}, not {spec[key]!r}; move "
                "the folder away and run the same command again"
            )
