"""A study: strategies on tasks, at sparsities, over paired seeds; what is finished is not repeated.

A study is a list of grids, from a TOML file or from the command line, and expands to runs. Each run is a folder of its
own, so a study that was stopped goes on with the same command, and two studies in one folder share what they share.
"""

from __future__ import annotations

import itertools
import json
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from ticketsearch import plugins
from ticketsearch.cost import parse_epochs, parse_fidelity
from ticketsearch.errors import InvalidValue, NotARun, PluginError, UsageError
from ticketsearch.masks.controls import check_controls
from ticketsearch.masks.units import default_sparsity, parse_granularity
from ticketsearch.records.results import kind_of
from ticketsearch.seeds import parse_seeds
from ticketsearch.strategies.base import make_strategy, parameters_of

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


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is not a number")
    return value


Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Sparsity = Annotated[float, Field(ge=0, lt=1), BeforeValidator(_number)]


class Entry(BaseModel):
    """A strategy by name, with settings; or a task, with options."""

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
        tasks: names, or ``package.module:function``; or tables of a name and options.
        sparsities: fractions pruned.
        granularity: what is pruned; see :mod:`ticketsearch.masks.units`.
        keep: names or patterns of layers left dense.
        seeds: paired: the same for every strategy.
        budget: of each run's search.
        fidelity: of the evaluator, in steps, ``"2ep"``, or rising, ``"100step..2000step"``; default the task's.
        orders: full trainings in each confirmation.
        controls: of every ticket.
        checkpoints: confirmed on the way.
        frontier: whether to add :data:`FRONTIER`, IMP at other lengths and scopes: SGD is not one point. Off, since
            it is more runs than most studies have.
        baselines: whether to measure what belongs to no strategy: see :mod:`ticketsearch.studies.baseline`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    strategies: Annotated[list[Annotated[Entry, BeforeValidator(_entry)]], Field(min_length=1)] = [
        Entry(name=name) for name in ("random", "magnitude", "early-bird", "imp", "ga", "sa", "optuna")
    ]
    tasks: Annotated[list[Annotated[Entry, BeforeValidator(_entry)]], Field(min_length=1)] = [Entry(name="mnist1d-mlp")]
    sparsities: Annotated[list[Sparsity], Field(min_length=1)] = [0.9]
    granularity: str = "weight"
    keep: Annotated[list[StrictStr], BeforeValidator(_names)] = []
    seeds: Annotated[list[Seed], BeforeValidator(_seeds), Field(min_length=1)] = list(range(10))
    budget: str = "2000ep"
    fidelity: StrictInt | StrictStr | None = None
    orders: Annotated[int, Field(ge=1, le=1000, strict=True)] = 3
    controls: list[str] = list(CONTROLS)
    checkpoints: Annotated[int, Field(ge=0, le=100, strict=True)] = 8
    frontier: StrictBool = False
    baselines: StrictBool = True

    @model_validator(mode="before")
    @classmethod
    def _blocks_say_their_sparsity(cls, values: Any) -> Any:
        if isinstance(values, dict) and ":" in str(values.get("granularity")) and "sparsities" not in values:
            return values | {"sparsities": [default_sparsity(str(values["granularity"]))]}
        return values

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
        executor: ``local`` or ``ray``; see :mod:`ticketsearch.cluster`.
        ray_address: of the cluster; default the one that Ray finds on this machine, or makes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    grids: Annotated[list[Grid], Field(min_length=1)]
    out: str = "runs"
    device: str = "cpu"
    engine: str = "auto"
    executor: str = "local"
    ray_address: str | None = None


def read_study(path: str | os.PathLike[str], instead: Mapping[str, Any] | None = None) -> Study:
    """Read a TOML study: keys of :class:`Study`, ``[[grid]]`` tables, and keys of grids that all of them share.

    Args:
        path: of the file.
        instead: keys of grids, in place of what the file says of them, in each of its grids.

    Raises:
        NotARun: no such file.
        InvalidValue: it is not TOML, or a key or a value is wrong; names the place.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or error
        words = str(path).split(",")
        hint = f"; for strategies, write --strategies {path}" if set(words) & _strategies() else ""
        raise NotARun(f"study {path} cannot be read: {what}{hint}") from error
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # more digits or brackets than Python reads, too
        raise InvalidValue(f"study {path} is not TOML: {error}") from error
    grids = document.pop("grid", [{}])
    shared = {key: document.pop(key) for key in list(document) if key in Grid.model_fields}
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise InvalidValue(f"study {path}: grids are tables, written [[grid]]")
    if "grids" in document:
        raise InvalidValue(f"study {path}: grids: write each as a table, [[grid]]")
    return make_study(f"study {path}", document | {"grids": [shared | grid | dict(instead or {}) for grid in grids]})


def _strategies() -> set[str]:
    return {plugin.name for plugin in plugins.available(plugins.STRATEGIES)}


def make_study(where: str, values: Mapping[str, Any]) -> Study:
    """A study from plain values; ``where`` they come from is named in errors.

    Raises:
        InvalidValue: a key or a value is wrong.
        UnknownName: no such strategy, hyperparameter or control.
    """
    try:
        study = Study.model_validate(values)
        for grid in study.grids:
            _check(grid)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InvalidValue(f"{where}: {place}: {first['msg']}, not {first['input']!r}"[:500]) from error
    except UsageError as error:
        error.args = (f"{where}: {error}",)
        raise
    return study


def _check(grid: Grid) -> None:
    """What types do not say."""
    parse_epochs(grid.budget)
    parse_granularity(grid.granularity)
    check_controls(tuple(grid.controls))
    if grid.fidelity is not None:
        parse_fidelity(grid.fidelity, 1)
    for entry in grid.entries:
        with suppress(PluginError):  # a broken plug-in is a row, not the end
            make_strategy(entry.name, entry.settings)


@dataclass(frozen=True)
class Planned:
    """One run to be made: the arguments of :func:`ticketsearch.run`."""

    strategy: str
    settings: dict[str, Any]
    task: str
    task_options: dict[str, Any]
    sparsity: float
    seed: int
    budget: str
    fidelity: int | str | None
    orders: int
    controls: tuple[str, ...]
    checkpoints: int
    granularity: str = "weight"
    keep: tuple[str, ...] = ()
    wished: bool = True
    """Whether somebody named it: the frontier's points are there for completeness, and only if the budget pays them."""

    @property
    def row(self) -> str:
        """What the run has in common with those of other seeds."""
        kind = "" if (kind := kind_of(self.granularity, self.keep)) == "weight" else f" {kind}"
        named = f"{_named(self.task, self.task_options)} {self.sparsity:g}{kind}"
        return f"{named} {_named(self.strategy, self.settings)}"


@dataclass(frozen=True)
class PlannedBaseline:
    """One baseline to be measured: see :mod:`ticketsearch.studies.baseline`."""

    task: str
    task_options: dict[str, Any]
    sparsity: float
    seed: int
    budget: str
    fidelity: int | str | None
    granularity: str = "weight"
    keep: tuple[str, ...] = ()

    @property
    def row(self) -> str:
        """As of a run."""
        return f"{_named(self.task, self.task_options)} {self.sparsity:g} baseline"


def _named(name: str, settings: Mapping[str, Any]) -> str:
    """``name (key=value, ...)``."""
    listed = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{name} ({listed})" if listed else name


Item: TypeAlias = Planned | PlannedBaseline


def planned(study: Study) -> list[Item]:
    """All that is to be computed, grid by grid and in each seed by seed, so that a part of it has pairs; each once."""
    items: list[Item] = []
    for grid in study.grids:
        for seed, task, sparsity in itertools.product(grid.seeds, grid.tasks, grid.sparsities):
            items += [
                Planned(
                    entry.name,
                    entry.settings,
                    task.name,
                    task.settings,
                    sparsity,
                    seed,
                    grid.budget,
                    grid.fidelity,
                    grid.orders,
                    tuple(grid.controls),
                    grid.checkpoints,
                    grid.granularity,
                    tuple(grid.keep),
                    entry not in FRONTIER or entry in grid.strategies,
                )
                for entry in grid.entries
            ]
            if grid.baselines:
                items.append(
                    PlannedBaseline(
                        task.name,
                        task.settings,
                        sparsity,
                        seed,
                        grid.budget,
                        grid.fidelity,
                        grid.granularity,
                        tuple(grid.keep),
                    )
                )
    parameters: dict[str, Any] = {}

    def identity(item: Item) -> str:
        """The same for items that are the same work, however their settings are written."""
        values = dict(vars(item))
        if isinstance(item, Planned):
            written = json.dumps([item.strategy, item.settings], sort_keys=True, default=str)
            if written not in parameters:  # looked up once a strategy, not once a run
                parameters[written] = _parameters(item)
            values["settings"] = parameters[written]
            del values["wished"]
        return json.dumps([type(item).__name__, values], sort_keys=True, default=str)

    return list({identity(item): item for item in items}.values())


def _parameters(item: Planned) -> Any:
    try:
        return parameters_of(make_strategy(item.strategy, item.settings))
    except PluginError:
        return item.settings
