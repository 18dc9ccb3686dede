"""One run: a task, a strategy, a budget and a seed, from the search to the confirmed ticket in its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ticketsearch import plugins
from ticketsearch.callbacks.audience import Audience
from ticketsearch.callbacks.base import Callback
from ticketsearch.cluster import check_executor, distributed
from ticketsearch.cost import at_least, parse_epochs, parse_fidelity, parse_seconds
from ticketsearch.digests import digest_of_json
from ticketsearch.engine import make_engine
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.controls import ALIGNED, check_controls
from ticketsearch.masks.units import default_sparsity
from ticketsearch.problem.pricing import evaluation_thirds
from ticketsearch.records.folder import (
    RESULT,
    RESUME,
    checked_out,
    set_aside,
)
from ticketsearch.records.provenance import source_of
from ticketsearch.records.results import (
    Result,
    already_finished,
    read_finished,
)
from ticketsearch.records.spec import Spec
from ticketsearch.runner.aligned import check_aligned
from ticketsearch.runner.execution import Execution
from ticketsearch.runner.forecast import Extent, forecast
from ticketsearch.runner.progress import Progress, Silent
from ticketsearch.runner.references import Shared
from ticketsearch.runner.setup import Setup
from ticketsearch.strategies.base import Strategy, checked_strategy, make_strategy, parameters_of
from ticketsearch.tasks import DataSource, Task, keeping, load_task

DEFAULT_TASK = "mnist1d-mlp"
DEFAULT_BUDGET = "2000ep"


def run(
    strategy: str | Strategy,
    task: str | Task | Callable[..., Task] = DEFAULT_TASK,
    *,
    sparsity: float | None = None,
    granularity: str = "weight",
    keep: Sequence[str] | str = (),
    budget: str | float = DEFAULT_BUDGET,
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
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Search for a ticket, confirm it, and keep both in a folder; a finished run is read back, not repeated.

    Args:
        strategy: a registered name, or an instance.
        task: a registered name, ``"package.module:function"``, a :class:`ticketsearch.Task`, or a function that makes
            one.
        sparsity: fraction of the units to prune, in [0, 1); default 0.9, or 1 - N/M in blocks N:M, which have no other.
        granularity: what is pruned: ``weight``; ``channel``, whole output channels and neurons; or blocks ``N:M``, like
            ``2:4``. See :mod:`ticketsearch.masks.units`.
        keep: layers left dense, by name or pattern: ``["head", "blocks.*.norm"]``. They are trained, and no part of
            the sparsity. See :func:`ticketsearch.tasks.modules.is_kept`.
        budget: what the search may spend, in epochs of the dense network, ``"500ep"`` or 500.
        seed: fixes initial weights, data orders and every random choice.
        settings: hyperparameters of a strategy given by name.
        task_options: options of a task given by name, or by a function.
        out: folder of run folders.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        engine: ``sparse``, ``dense``, ``mixed`` or ``auto``; see :func:`ticketsearch.engine.make_engine`.
        orders: full trainings, each with a data order of its own, in the confirmation.
        controls: further references: the ticket with one of its claims taken away; see
            :mod:`ticketsearch.masks.controls`.
        checkpoints: how many masks the search would have returned earlier to confirm as well, at costs doubling up to
            that at which it found its best; 0 for none.
        fidelity: length of the evaluator's training, in steps or ``"2ep"``; default the task's. ``"100step..2000step"``
            rises with what is spent: see :attr:`ticketsearch.MaskProblem.fidelity`.
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
        callbacks: told of trials, rounds and the result; see :class:`ticketsearch.Callback`.

    Returns:
        The result, as in ``result.json``.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        StrategyError: the strategy broke its contract or found nothing.
        RunInUse: another process is at work on the same run.
        StorageError: the disk is full; what is recorded is not lost.
        ClusterError: no cluster, or no workers; what is recorded is not lost.
        CallbackError: a callback raised an exception; the run has finished all the same.
    """
    audience = Audience(callbacks)
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
    setup = Setup.of(loaded, make_engine(loaded, device, engine, workers), seed, granularity)
    if ALIGNED in wanted:
        check_aligned(setup)
    units = setup.units
    sparsity = default_sparsity(granularity) if sparsity is None else sparsity
    units.space.n_kept(sparsity)
    steps, end = parse_fidelity(loaded.fidelity if fidelity is None else fidelity, loaded.steps_per_epoch)
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
        engine=setup.engine.name,
        device=device,
        granularity=units.granularity,
        time_limit_s=seconds,
        task_options=dict(loaded.options) or None,
        keep=list(loaded.keep) or None,
        network=loaded.probe(seed),
        code=_code_of(searcher),
        fidelity_end=end,
    )
    folder = out_folder / spec.folder_name
    if fresh:
        set_aside(folder)
    if os.path.lexists(folder / RESULT) and not os.path.lexists(folder / RESUME):
        result = read_finished(folder)
        if progress is None:
            print(already_finished(result), file=sys.stderr)
        else:
            progress.found(result)
        return result
    _tell_overlap(loaded.name, tuple(loaded.overlap.items()))
    watcher = progress or Silent()
    with closing(audience), distributed(setup.engine, loaded, executor, ray_address, device, workers) as everywhere:
        if executor == "local":
            extent = Extent(orders, checkpoints, wanted)
            watcher.begin(lambda: forecast(setup, searcher, float(sparsity), limit, extent))
        spread = replace(setup, engine=everywhere)
        result = Execution(spec, searcher, spread, folder, watcher, audience).execute(shared)
    audience.check(f"the run has finished; the same call, or load_results({str(folder)!r}), returns its result")
    return result


@cache
def _tell_overlap(task: str, shared: tuple[tuple[str, int], ...]) -> None:
    """Warn of splits that share examples, once."""
    for pair, count in shared:
        print(
            f"ticketsearch: warning: task {task!r}: {pair} share {count} examples; what is measured on both is no "
            "measure of what was learned",
            file=sys.stderr,
        )


def _code_of(strategy: Strategy) -> str | None:
    """A digest of the source of a strategy from outside, and of its encoding; ``None`` if both are ours."""
    parts: Sequence[type] = getattr(strategy, "parts", ())
    codes = [code for cls in (type(strategy), *parts) if (code := source_of(cls)) is not None]
    return codes[0] if len(codes) == 1 else digest_of_json(codes) if codes else None


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
