"""One run: a task, a strategy, a budget and a seed, from the search to the confirmed ticket in its folder."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch import plugins
from ticketsearch.anytime import confirmed_curve, short_scores
from ticketsearch.checkpoints import Checkpoints
from ticketsearch.confirm import Shared, confirm_with_references
from ticketsearch.controls import check_controls
from ticketsearch.cost import at_least, parse_epochs, parse_seconds, parse_steps
from ticketsearch.engine import Engine, make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.executors import check_executor, distributed
from ticketsearch.files import remove_leftovers
from ticketsearch.folders import (
    CHECKPOINTS,
    LEDGER,
    RESULT,
    TICKET,
    checked_out,
    digests_of,
    make_run_folder,
    set_aside,
)
from ticketsearch.ledger import Ledger, Trial
from ticketsearch.lock import only_writer
from ticketsearch.masks import digest
from ticketsearch.pricing import evaluation_thirds
from ticketsearch.provenance import code_of_package, source_of
from ticketsearch.results import (
    Checkpoint,
    Confirmation,
    CostRecord,
    LayerRecord,
    PricesRecord,
    Result,
    already_finished,
    read_finished,
    write_result,
)
from ticketsearch.rounds import measured_rounds
from ticketsearch.search import Progress, Searched, Silent, search
from ticketsearch.spec import Spec, keep_spec, machine_of, versions_of
from ticketsearch.strategy import Strategy, checked_strategy, make_strategy, parameters_of
from ticketsearch.tasks import DataSource, Task, keeping, load_task
from ticketsearch.tasks.channels import make_units
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tickets import Ticket, Weights, save_ticket
from ticketsearch.units import Units, default_sparsity

DEFAULT_TASK = "mnist1d-mlp"
DEFAULT_BUDGET = "2000ep"


def run(
    strategy: str | Strategy,
    task: str | Task = DEFAULT_TASK,
    *,
    sparsity: float | None = None,
    granularity: str = "weight",
    keep: Sequence[str] | str = (),
    budget: str = DEFAULT_BUDGET,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] = "runs",
    device: str = "cpu",
    engine: str = "auto",
    orders: int = 3,
    controls: Sequence[str] = (),
    checkpoints: int = 8,
    fidelity: int | str | None = None,
    source: DataSource | None = None,
    workers: int | None = None,
    shared: Shared | None = None,
    time_limit: str | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Search for a ticket, confirm it, and keep both in a folder; a finished run is read back, not repeated.

    Args:
        strategy: a registered name, or an instance.
        task: a registered name, ``"package.module:function"``, or a :class:`ticketsearch.Task`.
        sparsity: fraction of the units to prune, in [0, 1); default 0.9, or 1 - N/M in blocks N:M, which have no other.
        granularity: what is pruned: ``weight``; ``channel``, whole output channels and neurons; or blocks ``N:M``, like
            ``2:4``. See :mod:`ticketsearch.units`.
        keep: layers left dense, by name or pattern: ``["head", "blocks.*.norm"]``. They are trained, and no part of
            the sparsity. See :func:`ticketsearch.tasks.modules.is_kept`.
        budget: what the search may spend, in epochs of the dense network, ``"500ep"``.
        seed: fixes initial weights, data orders and every random choice.
        settings: hyperparameters of a strategy given by name.
        task_options: options of a task given by name.
        out: folder of run folders.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        engine: ``sparse``, ``dense``, ``mixed`` or ``auto``; see :func:`ticketsearch.engine.make_engine`.
        orders: full trainings, each with a data order of its own, in the confirmation.
        controls: further references: the ticket with one of its claims taken away; see :mod:`ticketsearch.controls`.
        checkpoints: how many masks the search would have returned earlier to confirm as well, at costs doubling up to
            that at which it found its best; 0 for none.
        fidelity: length of the evaluator's training, in steps or ``"2ep"``; default the task's.
        source: where data sets lie.
        workers: threads of the engine on a CPU, default one per core; on a cluster, most workers as well, default one
            for each of its CPUs or GPUs. Results do not depend on it.
        shared: what runs one after another share; results do not depend on it.
        time_limit: what the search may take in wall time, ``"90s"``, ``"10min"``, ``"2h"``; it then ends as with an
            exhausted budget. Where it ends depends on the machine.
        executor: ``local``, or ``ray`` to share evaluations out among the workers of a Ray cluster; results do not
            depend on it.
        ray_address: of the cluster, ``host:port`` or ``auto``; default the one that ``RAY_ADDRESS`` names or Ray finds
            on this machine, else one of this machine's own.
        fresh: begin anew, even if the run is finished or begun; what is there is moved to ``.replaced`` in ``out``.
        progress: watches.

    Returns:
        The result, as in ``result.json``.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        StrategyError: the strategy broke its contract or found nothing.
        RunInUse: another process is at work on the same run.
        StorageError: the disk is full; what is recorded is not lost.
        ClusterError: no cluster, or no workers; what is recorded is not lost.
    """
    check_executor(executor, ray_address, device)
    limit = parse_epochs(budget)
    _check_whole("seed", seed, 0, 2**63 - 1)
    _check_whole("orders", orders, 1, 1000)
    _check_whole("checkpoints", checkpoints, 0, 100)
    seconds = None if time_limit is None else parse_seconds(time_limit)
    wanted = check_controls(tuple(controls))
    name, distribution, searcher = _resolve(strategy, settings or {})
    out_folder = checked_out(Path(out))
    if isinstance(task, Task) and task_options:
        raise InvalidValue("task_options belong to a task given by name; a Task is made already")
    loaded = keeping(task if isinstance(task, Task) else load_task(task, source, task_options), keep)
    trainer = make_engine(loaded, device, engine, workers)
    units = make_units(granularity, trainer.layout, loaded.build(seed=0), loaded.train.inputs[:1])
    sparsity = default_sparsity(granularity) if sparsity is None else sparsity
    units.space.n_kept(sparsity)
    steps = loaded.fidelity if fidelity is None else parse_steps(fidelity, loaded.steps_per_epoch, "fidelity")
    _check_budget(loaded, limit, steps)
    spec = Spec(
        strategy=name,
        distribution=distribution,
        parameters=parameters_of(searcher),
        task=loaded.name,
        task_fingerprint=loaded.fingerprint,
        sparsity=float(sparsity),
        budget=limit,
        fidelity=steps,
        seed=seed,
        orders=orders,
        controls=list(wanted),
        checkpoints=checkpoints,
        engine=trainer.name,
        device=device,
        granularity=units.granularity,
        time_limit_s=seconds,
        task_options=dict(loaded.options) or None,
        keep=list(loaded.keep) or None,
        network=loaded.probe(seed),
        code=source_of(type(searcher)),
    )
    folder = out_folder / spec.folder_name
    if fresh:
        set_aside(folder)
    if os.path.lexists(folder / RESULT) and not os.path.lexists(folder / CHECKPOINTS):
        result = read_finished(folder)
        if progress is None:
            print(already_finished(result), file=sys.stderr)
        else:
            progress.found(result)
        return result
    _tell_overlap(loaded.name, tuple(loaded.overlap.items()))
    with distributed(trainer, loaded, executor, ray_address, trainer.name, device, workers) as everywhere:
        return _Run(spec, searcher, loaded, everywhere, units, folder, progress or Silent()).execute(shared)


@cache
def _tell_overlap(task: str, shared: tuple[tuple[str, int], ...]) -> None:
    """Warn of splits that share examples, once."""
    for pair, count in shared:
        print(
            f"ticketsearch: warning: task {task!r}: {pair} share {count} examples; what is measured on both is no "
            "measure of what was learned",
            file=sys.stderr,
        )


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        most = "2**63 - 1" if high == 2**63 - 1 else high
        raise InvalidValue(f"{name} {value!r} is not an integer from {low} to {most}")


def _resolve(strategy: str | Strategy, settings: Mapping[str, Any]) -> tuple[str, str, Strategy]:
    if isinstance(strategy, str):
        plugin = plugins.find(plugins.STRATEGIES, strategy)
        return plugin.name, plugin.distribution, make_strategy(strategy, settings)
    if settings:
        raise InvalidValue("settings belong to a strategy given by name; an instance has its own")
    name = type(strategy).__name__
    if not name.isprintable():
        raise InvalidValue(f"the name of a strategy's class must be of visible characters, which {name!r} is not")
    return name, type(strategy).__module__, checked_strategy(strategy)


def _check_budget(task: Task, budget: float, steps: int) -> None:
    size = len(task.train.labels)
    need = evaluation_thirds(steps, task.recipe.batch_size, len(task.validation.labels)) / (3 * size)
    if need > budget:
        raise InvalidValue(
            f"budget {budget:g}ep is too small for one evaluation of {steps} steps and a validation, "
            f"which costs {at_least(need)}"
        )


class _Run:
    """The steps of one run, in order."""

    def __init__(
        self, spec: Spec, strategy: Strategy, task: Task, engine: Engine, units: Units, folder: Path,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._spec, self._strategy, self._task, self._engine = spec, strategy, task, engine
        self._units, self._folder, self._progress = units, folder, progress

    def execute(self, shared: Shared | None) -> Result:
        make_run_folder(self._folder)
        with only_writer(self._folder) as check_there:
            remove_leftovers(self._folder)
            checkpoints = Checkpoints(self._folder / CHECKPOINTS)
            if not (self._folder / RESULT).is_file():  # it may be there since we looked, by another process
                keep_spec(self._folder, self._spec)
                write_result(self._folder, self._compute(checkpoints, shared, check_there))
            checkpoints.clear()
        return read_finished(self._folder)

    def _compute(self, checkpoints: Checkpoints, shared: Shared | None, check_there: Callable[[], None]) -> Result:
        spec, engine, task = self._spec, self._engine, self._task
        initial = read_weights(task.build(spec.seed), engine.layout)
        with Ledger(self._folder / LEDGER, code_of_package()) as ledger:
            found = search(
                spec, self._strategy, task, engine, initial, ledger, self._progress, checkpoints, units=self._units
            )
            trials = list(ledger)
            ledger.check_there()
        confirmed, references = confirm_with_references(
            engine, task, found.ticket, initial, spec.seed, spec.orders, self._progress.confirm, tuple(spec.controls),
            shared, checkpoints, self._units,
        )  # fmt: skip
        curve = confirmed_curve(
            engine, task, spec, initial, found.incumbents, found.ticket, found.spent, confirmed.record,
            self._progress.confirm, checkpoints, self._units,
        )  # fmt: skip
        trained = Weights(confirmed.trained.vector[0], confirmed.trained.rest[0])
        start = found.ticket.started(initial)
        check_there()
        save_ticket(self._folder / TICKET, start, engine.layout.space, trained, engine.layout.rest_shapes)
        return self._result(found, trials, confirmed.record, references, curve, self._short_scores(found, initial))

    def _short_scores(self, found: Searched, initial: Weights) -> dict[int, float]:
        """Of a ticket that starts where the evaluator does; another one's mask alone would say nothing of it."""
        ticket, units = found.ticket, self._units
        mask = units.collapse(ticket.mask)
        start, plain = ticket.started(initial).weights, units.ticket(Ticket(mask)).started(initial).weights
        assert start is not None
        assert plain is not None
        if ticket.step or not np.array_equal(start.vector, plain.vector):
            return {}
        spec = self._spec
        scores = short_scores(self._engine, self._task, mask[None], initial, spec.seed, spec.fidelity, units)
        return {steps: float(values[0]) for steps, values in scores.items()}

    def _result(
        self,
        found: Searched,
        trials: Sequence[Trial],
        record: Confirmation,
        references: dict[str, Confirmation],
        curve: list[Checkpoint],
        short: dict[int, float],
    ) -> Result:
        spec, problem, space = self._spec, found.problem, self._units.weights
        return Result(
            strategy=spec.strategy,
            parameters=spec.parameters,
            distribution=spec.distribution,
            task=spec.task,
            task_fingerprint=spec.task_fingerprint,
            seed=spec.seed,
            sparsity=spec.sparsity,
            granularity=spec.granularity,
            budget=spec.budget,
            fidelity=spec.fidelity,
            orders=spec.orders,
            checkpoints=spec.checkpoints,
            time_limit_s=spec.time_limit_s,
            n_kept=int(np.count_nonzero(found.ticket.mask)),
            n_weights=space.size,
            n_units_kept=int(np.count_nonzero(self._units.collapse(found.ticket.mask))),
            n_units=self._units.space.size,
            validation_accuracy=record.validation_accuracy,
            test_accuracy=record.test_accuracy,
            dense_test_accuracy=references["dense"].test_accuracy,
            random_test_accuracy=references["random"].test_accuracy,
            magnitude_test_accuracy=references["magnitude"].test_accuracy,
            search_score=found.incumbents[-1].score.value if found.incumbents else None,
            curve=curve,
            short_scores=short,
            cost=CostRecord.model_validate(found.spent.as_dict(len(self._task.train.labels))),
            confirmation=record,
            references=references,
            layers=[
                LayerRecord(
                    name=layer.name,
                    shape=list(layer.shape),
                    kept=int(n),
                    density=int(n) / layer.size,
                    flops=2 * layer.size * layer.uses,
                    kept_flops=2 * int(n) * layer.uses,
                )
                for layer, n in zip(space.layers, space.counts(found.ticket.mask), strict=True)
            ],
            mask_digest=digest(found.ticket.mask),
            trials=len(trials),
            failed_trials=sum(trial.state == "failed" for trial in trials),
            calls=dict(sorted(Counter[str](trial.kind for trial in trials).items())),
            stopped=found.stopped,
            notes=problem.notes,
            engine=spec.engine,
            device=spec.device,
            versions=versions_of(spec.distribution),
            machine=machine_of(self._engine.threads, spec.device),
            prices=PricesRecord(
                batch_size=self._task.recipe.batch_size,
                validation_size=len(self._task.validation.labels),
                flops=self._engine.layout.space.flops_per_example() + self._engine.layout.fixed_flops,
                train_size=len(self._task.train.labels),
            ),
            rounds=measured_rounds(self._engine, self._task, problem.rounds, found.ticket.mask, record, self._units),
            keep=list(spec.keep or []),
            left_dense=self._engine.layout.left_dense,
            n_parameters=self._engine.layout.parameters,
            start=found.origin,
            held=found.ticket.held is not None,
            task_source=self._task.origin,
            overlap=self._task.overlap,
            majority_test_accuracy=self._task.majority,
            n_classes=self._task.n_classes,
            files=digests_of(self._folder),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            ticket=str(self._folder / TICKET),
            run=str(self._folder),
            task_options=spec.task_options or {},
        )
