"""A study: strategies on tasks, at sparsities, over paired seeds; what is finished is not repeated.

A study is a list of grids, from a TOML file or from the command line, and expands to runs. Each run is a folder of its
own, so a study that was stopped goes on with the same command, and two studies in one folder share what they share.
A run that fails is a record beside the others, with its reason, and is tried again the next time.
"""

from __future__ import annotations

import itertools
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ticketsearch.cost import parse_epochs, parse_steps
from ticketsearch.errors import InvalidValue, NotARun, TicketsearchError
from ticketsearch.files import write_atomically
from ticketsearch.results import FAILURES, MARKER, Baseline, Failure, Result
from ticketsearch.seeds import parse_seeds
from ticketsearch.spec import checked_out

if TYPE_CHECKING:
    from ticketsearch.confirm import Shared
    from ticketsearch.tasks import Task

CONTROLS = ("reinitialise", "shuffle-mask", "shuffle-weights")
"""Of every ticket of a study, unless switched off."""


def _entry(value: Any) -> Any:
    """``"ga"``, or ``{name = "ga", population = 64}``: all but the name are settings."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "settings" not in value:
        return {"name": value.get("name"), "settings": {key: v for key, v in value.items() if key != "name"}}
    return value


def _seeds(value: Any) -> Any:
    return parse_seeds(value) if isinstance(value, str) else value


class Entry(BaseModel):
    """A strategy by name, with settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    settings: dict[str, Any] = {}


FRONTIER = tuple(
    Entry(name="imp", settings={"scope": scope, "rounds": rounds, "round_steps": length})
    for scope in ("global", "layer")
    for rounds in (1, 3, 11)
    for length in ("5%", "20%", "100%")
)
"""What IMP finds from a twentieth of a training to eleven whole ones."""


class Grid(BaseModel):
    """Strategies x tasks x sparsities x seeds under one budget.

    Attributes:
        strategies: names, or tables of a name and settings.
        tasks: names, or ``package.module:function``.
        sparsities: fractions pruned.
        seeds: paired: the same for every strategy.
        budget: of each run's search.
        fidelity: of the evaluator; default the task's.
        orders: full trainings in each confirmation.
        controls: of every ticket.
        checkpoints: confirmed on the way.
        frontier: whether to add :data:`FRONTIER`, IMP at other lengths and scopes: SGD is not one point.
        baselines: whether to measure what belongs to no strategy: see :mod:`ticketsearch.baseline`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    strategies: Annotated[list[Annotated[Entry, BeforeValidator(_entry)]], Field(min_length=1)] = [
        Entry(name=name) for name in ("random", "magnitude", "early-bird", "imp", "ga", "sa", "optuna")
    ]
    tasks: Annotated[list[str], Field(min_length=1)] = ["mnist1d-mlp"]
    sparsities: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1)] = [0.9]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], BeforeValidator(_seeds), Field(min_length=1)] = list(
        range(10)
    )
    budget: str = "2000ep"
    fidelity: int | str | None = None
    orders: Annotated[int, Field(ge=1, le=1000)] = 3
    controls: list[str] = list(CONTROLS)
    checkpoints: Annotated[int, Field(ge=0, le=100)] = 8
    frontier: bool = True
    baselines: bool = True

    @property
    def entries(self) -> list[Entry]:
        """Strategies, with the frontier's."""
        return [*self.strategies, *(FRONTIER if self.frontier else ())]


class Study(BaseModel):
    """Grids, and how to compute them.

    Attributes:
        grids: what to run.
        out: folder of run folders.
        device: as in :func:`ticketsearch.run`.
        engine: likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    grids: Annotated[list[Grid], Field(min_length=1)]
    out: str = "runs"
    device: str = "cpu"
    engine: str = "auto"


def read_study(path: str | os.PathLike[str]) -> Study:
    """Read a TOML study: keys of :class:`Study`, ``[[grid]]`` tables, and keys of grids that all of them share.

    Raises:
        NotARun: no such file.
        InvalidValue: it is not TOML, or a key or a value is wrong; names the place.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotARun(f"study {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"study {path} is not TOML: {error}") from error
    grids = document.pop("grid", [{}])
    shared = {key: document.pop(key) for key in list(document) if key in Grid.model_fields}
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise InvalidValue(f"study {path}: grids are tables, written [[grid]]")
    return make_study(f"study {path}", grids=[shared | grid for grid in grids], **document)


def make_study(where: str, **values: Any) -> Study:
    """A study from plain values; ``where`` they come from is named in errors.

    Raises:
        InvalidValue: a key or a value is wrong.
    """
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InvalidValue(f"{where}: {place}: {first['msg']}, not {first['input']!r}"[:500]) from error
    for grid in study.grids:
        parse_epochs(grid.budget)
    return study


@dataclass(frozen=True)
class Planned:
    """One run to be made: the arguments of :func:`ticketsearch.run`."""

    strategy: str
    settings: dict[str, Any]
    task: str
    sparsity: float
    seed: int
    budget: str
    fidelity: int | str | None
    orders: int
    controls: tuple[str, ...]
    checkpoints: int

    @property
    def row(self) -> str:
        """What the run has in common with those of other seeds."""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.task} {self.sparsity:g} {self.strategy}" + (f" ({settings})" if settings else "")


@dataclass(frozen=True)
class PlannedBaseline:
    """One baseline to be measured: see :mod:`ticketsearch.baseline`."""

    task: str
    sparsity: float
    seed: int
    budget: str
    fidelity: int | str | None

    @property
    def row(self) -> str:
        """As of a run."""
        return f"{self.task} {self.sparsity:g} baseline"


Item: TypeAlias = Planned | PlannedBaseline


def planned(study: Study) -> list[Item]:
    """All that is to be computed, grid by grid and in each seed by seed, so that a part of it has pairs; each once."""
    items: list[Item] = []
    for grid in study.grids:
        for seed, task, sparsity in itertools.product(grid.seeds, grid.tasks, grid.sparsities):
            items += [
                Planned(
                    entry.name, entry.settings, task, sparsity, seed, grid.budget, grid.fidelity, grid.orders,
                    tuple(grid.controls), grid.checkpoints,
                )
                for entry in grid.entries
            ]  # fmt: skip
            if grid.baselines:
                items.append(PlannedBaseline(task, sparsity, seed, grid.budget, grid.fidelity))
    unique = {json.dumps([type(item).__name__, vars(item)], sort_keys=True, default=str): item for item in items}
    return list(unique.values())


@dataclass(frozen=True)
class Finished:
    """What became of an item: a result, or the reason why there is none."""

    item: Item
    result: Result | Baseline | None
    reason: str = ""

    @property
    def accuracy(self) -> float | None:
        """Confirmed, if it is a run's."""
        return self.result.test_accuracy if isinstance(self.result, Result) else None


def compute(
    study: Study,
    *,
    data_root: Path | None = None,
    download: bool = False,
    jobs: int = 1,
    tell: Callable[[Finished], None] | None = None,
) -> list[Finished]:
    """Make the runs that are missing and read back the others.

    Args:
        study: what to run.
        data_root: folder of data sets.
        download: whether missing ones may be fetched.
        jobs: runs at a time, each in a process of its own; results do not depend on it.
        tell: called as each run ends.

    Returns:
        One record for each item, in order; failures are kept in the study's folder as well.

    Raises:
        NotARun: ``out`` cannot hold runs.
    """
    if jobs < 1:
        raise InvalidValue(f"jobs {jobs} is less than 1")
    out, items = checked_out(Path(study.out)), planned(study)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()
    except OSError as error:
        raise NotARun(f"no folder can be made at --out {out}: {error.strerror}") from error
    common = _Common(study.out, study.device, study.engine, data_root, download, jobs)
    found: dict[int, Finished] = {}
    for index, finished in _all(items, common):
        found[index] = finished
        _keep_failures(out, list(found.values()))
        if tell:
            tell(finished)
    return [found[index] for index in range(len(items))]


@dataclass(frozen=True)
class _Common:
    out: str
    device: str
    engine: str
    data_root: Path | None
    download: bool
    jobs: int

    @property
    def workers(self) -> int:
        """Threads of each run's engine."""
        return max(1, len(os.sched_getaffinity(0)) // self.jobs)


def _all(items: Sequence[Item], common: _Common) -> Iterator[tuple[int, Finished]]:
    if common.jobs == 1:
        for index, item in enumerate(items):
            yield index, _one(item, common)
        return
    with ProcessPoolExecutor(min(common.jobs, len(items)), get_context("spawn")) as pool:
        futures: dict[Future[Finished], int] = {pool.submit(_one, item, common): i for i, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one(item: Item, common: _Common) -> Finished:
    """One item; a failure of any kind is a record."""
    try:
        result = _run(item, common) if isinstance(item, Planned) else _baseline(item, common)
    except TicketsearchError as error:
        return Finished(item, None, " ".join(str(error).split()))
    except Exception as error:  # a fault of ours, or of a library: the other runs are worth having all the same
        return Finished(item, None, f"{type(error).__name__}: {error}")
    return Finished(item, result)


def _run(run: Planned, common: _Common) -> Result:
    from ticketsearch.runner import run as search_and_confirm

    return search_and_confirm(
        run.strategy, _task(run.task, common.data_root, common.download), sparsity=run.sparsity, budget=run.budget,
        seed=run.seed, settings=run.settings, out=common.out, device=common.device, engine=common.engine,
        orders=run.orders, controls=run.controls, checkpoints=run.checkpoints, fidelity=run.fidelity,
        workers=common.workers, shared=_shared(common.device),
    )  # fmt: skip


def _baseline(item: PlannedBaseline, common: _Common) -> Baseline:
    from ticketsearch.baseline import measure_baseline
    from ticketsearch.engine import make_engine

    task = _task(item.task, common.data_root, common.download)
    steps = task.fidelity if item.fidelity is None else parse_steps(item.fidelity, task.steps_per_epoch, "fidelity")
    engine = make_engine(task, common.device, common.engine, common.workers)
    budget = parse_epochs(item.budget)
    return measure_baseline(engine, task, item.sparsity, item.seed, budget, steps, Path(common.out))


@lru_cache(maxsize=1)
def _shared(_device: str) -> Shared:
    """One in each process."""
    from ticketsearch.confirm import Shared

    return Shared()


@lru_cache(maxsize=4)
def _task(name: str, data_root: Path | None, download: bool) -> Task:
    """Loaded once in each process."""
    from ticketsearch.tasks import DataSource, load_task

    return load_task(name, DataSource(data_root, download))


def _keep_failures(out: Path, finished: Sequence[Finished]) -> None:
    """``failures.json``: run -> reason, for the report; gone once all runs are there."""
    failed = [
        Failure(
            strategy=one.item.strategy if isinstance(one.item, Planned) else "baseline",
            settings=one.item.settings if isinstance(one.item, Planned) else {},
            task=one.item.task,
            sparsity=one.item.sparsity,
            seed=one.item.seed,
            budget=one.item.budget,
            reason=one.reason,
        ).model_dump()
        for one in finished
        if one.result is None
    ]
    path = out / FAILURES
    if failed:
        write_atomically(path, (json.dumps(failed, indent=1) + "\n").encode())
    elif path.is_file():
        path.unlink()
