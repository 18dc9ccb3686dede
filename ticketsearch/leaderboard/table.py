"""Runs grouped by task and sparsity, one row for each strategy and its settings, averaged over seeds."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ticketsearch.records.results import Result

REFERENCES = ("dense", "random", "magnitude")
"""What every run is confirmed beside; all else in its references is a control."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its 95 % interval (Student's t); ``None`` for a single seed."""

    mean: float
    half_width: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from at least one value."""
        mean = statistics.fmean(values)
        if len(values) < 2:
            return cls(mean, None)
        return cls(mean, _t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)))


MARKS: dict[str, tuple[Callable[[Result], bool], str]] = {
    "foreign start": (
        lambda result: result.start == "foreign",
        "its tickets start from weights that are neither the run's initial ones nor from a training that was metered: "
        "nobody can say what they were trained on, the test split included",
    ),
    "overlap": (
        lambda result: any(pair.endswith("and test") for pair in result.overlap),
        "the task's test split shares examples with another",
    ),
    "held": (
        lambda result: result.held,
        "pruned weights are held at other values than zero: its tickets are not sparse",
    ),
}
"""Mark -> whether a run has it, and what it means."""


@dataclass(frozen=True)
class Row:
    """One strategy with one set of parameters under one budget.

    Attributes:
        strategy: its name.
        settings: the parameters in which rows of this strategy differ; empty if there is only one row.
        budget: allowed search cost in epochs.
        seeds: seeds averaged over, sorted.
        test_accuracy: confirmed test accuracy.
        dense, random, magnitude: the references' test accuracies.
        controls: test accuracies of the controls that all of the runs have, by name.
        epochs: search cost actually spent.
        sparse_flops, dense_flops: search cost, counting kept weights and all weights.
        wall_s: wall seconds of the search.
        trials: metered calls.
        runs: folders.
        marks: what a reader must know of its tickets; see :data:`MARKS`.
    """

    strategy: str
    settings: dict[str, Any]
    budget: float
    seeds: list[int]
    test_accuracy: Estimate
    dense: Estimate
    random: Estimate
    magnitude: Estimate
    controls: dict[str, Estimate]
    epochs: Estimate
    sparse_flops: Estimate
    dense_flops: Estimate
    wall_s: Estimate
    trials: Estimate
    runs: list[str]
    marks: list[str]


@dataclass(frozen=True)
class Group:
    """All rows of one task at one sparsity, best confirmed accuracy first.

    Attributes:
        task: its name, and what tells it from others of that name.
        sparsity: fraction of the units that is pruned.
        rows: strategies.
        majority: where classes are unbalanced, the test accuracy of always answering the most frequent one.
    """

    task: str
    sparsity: float
    rows: list[Row]
    majority: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def label_of(row: Row) -> str:
    """Strategy, the settings that tell it from its neighbours, and its marks."""
    settings = ", ".join(f"{key}={value}" for key, value in row.settings.items())
    return " ".join([f"{row.strategy} ({settings})" if settings else row.strategy, *(f"[{one}]" for one in row.marks)])


def build(results: Iterable[Result]) -> list[Group]:
    """Group, average and sort."""
    groups: dict[tuple[str, float, str], list[Result]] = defaultdict(list)
    for result in results:
        units = "" if result.kind == "weight" else f" ({result.kind})"
        groups[result.task + units, result.sparsity, result.task_fingerprint].append(result)
    names = Counter((task, sparsity) for task, sparsity, _ in groups)
    built = []
    for (task, sparsity, fingerprint), members in sorted(groups.items()):
        label = task if names[task, sparsity] == 1 else f"{task} [{fingerprint}]"  # two tasks of one name
        built.append(_group(label, sparsity, members))
    return built


def _group(task: str, sparsity: float, results: list[Result]) -> Group:
    members: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        members[result.strategy, json.dumps(_settings(result), sort_keys=True)].append(result)
    rows_of = {key: _one_per_seed(runs) for key, runs in members.items()}
    rows = []
    for runs in rows_of.values():
        others = [_settings(other[0]) for other in rows_of.values() if other[0].strategy == runs[0].strategy]
        own = _settings(runs[0])
        differing = {key: value for key, value in own.items() if any(other.get(key) != value for other in others)}
        rows.append(_row(runs, differing))
    majority = max((one.unbalanced for one in results if one.unbalanced is not None), default=None)
    return Group(task, sparsity, sorted(rows, key=_place), majority)


def _one_per_seed(runs: list[Result]) -> list[Result]:
    """The same run with more controls or checkpoints is the same run: the one that tells most counts."""
    ordered = sorted(runs, key=lambda run: (len(run.references), len(run.curve)))
    return list({run.seed: run for run in ordered}.values())


def _settings(result: Result) -> dict[str, Any]:
    """Everything but the seed that runs averaged together must share."""
    return result.parameters | {
        "budget": f"{result.budget:g}ep",
        "fidelity": result.fidelity,
        "orders": result.orders,
        "engine": result.engine,
        "device": result.device,
        "distribution": result.distribution,
    }


def _place(row: Row) -> tuple[float, str, float, str]:
    """Best first; the rest decides ties, so that the order of the runs does not."""
    return -row.test_accuracy.mean, row.strategy, row.budget, json.dumps(row.settings, sort_keys=True)


def _row(runs: list[Result], settings: dict[str, Any]) -> Row:
    runs = sorted(runs, key=lambda result: result.seed)
    controls = [name for name in runs[0].references if name not in REFERENCES]
    controls = [name for name in controls if all(name in run.references for run in runs)]

    def over(value: Callable[[Result], float]) -> Estimate:
        return Estimate.of([value(result) for result in runs])

    return Row(
        strategy=runs[0].strategy,
        settings=settings,
        budget=runs[0].budget,
        seeds=sorted({result.seed for result in runs}),
        test_accuracy=over(lambda r: r.test_accuracy),
        dense=over(lambda r: r.dense_test_accuracy),
        random=over(lambda r: r.random_test_accuracy),
        magnitude=over(lambda r: r.magnitude_test_accuracy),
        controls={name: Estimate.of([r.references[name].test_accuracy for r in runs]) for name in controls},
        epochs=over(lambda r: r.cost.epochs),
        sparse_flops=over(lambda r: r.cost.sparse_flops),
        dense_flops=over(lambda r: r.cost.dense_flops),
        wall_s=over(lambda r: r.cost.wall_s),
        trials=over(lambda r: r.trials),
        runs=[result.run for result in runs],
        marks=[mark for mark, (marked, _) in MARKS.items() if any(marked(result) for result in runs)],
    )


def _t_quantile(freedom: int) -> float:
    from scipy.special import stdtrit  # the distribution alone, without the weight of scipy.stats

    return float(stdtrit(freedom, 0.975))
