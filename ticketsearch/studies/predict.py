"""Whether a predictor tells tickets before they are trained: its values beside confirmed accuracies, seed by seed.

Three populations: random ``masks`` of equal layer counts, where densities say nothing; ``initialisations``, one mask
over many initial weights; ``tickets`` of all strategies in a folder of runs, whose confirmations are the truth. What is
made of it stands in :mod:`ticketsearch.leaderboard.prediction`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ticketsearch.arrays import ScoreArray
from ticketsearch.cost import Meter
from ticketsearch.digests import digest_of_json
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.plugins import PREDICTORS, available
from ticketsearch.predictors import Predictor, predictor_named
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.prediction import values_of_predictor
from ticketsearch.records.ledger import Ledger
from ticketsearch.records.provenance import source_of
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import PredictedRecord, PredictOutcome, TruthRecord
from ticketsearch.runner.progress import Tick, quiet
from ticketsearch.studies.candidates import (
    Candidate,
    counts_of,
    finished_runs,
    initialisations,
    masks_of_counts,
    tickets_of,
    trained_in_full,
)
from ticketsearch.studies.seedwise import folder_in, seed_by_seed

if TYPE_CHECKING:
    from ticketsearch.runner.setup import Setup
    from ticketsearch.tasks import DataSource, Task

Population: TypeAlias = Literal["masks", "initialisations"]
POPULATIONS: tuple[Population, ...] = ("masks", "initialisations")
NULL = "layer-densities"
"""The predictor that all others are compared with."""


@dataclass(frozen=True)
class Plan:
    """What is predicted.

    Attributes:
        population: ``masks`` or ``initialisations``.
        sparsity: fraction of the units pruned.
        counts: units kept in each layer: ``uniform``, ``erk``, ``smart-ratio``, or a run's folder.
        count: candidates of each seed.
        confirmations: full trainings of each candidate, and of the dense network.
        predictors: by name, with settings in brackets; empty: all that are installed. The null is among them always.
        seeds: of initial weights, masks, draws.
        granularity: what is pruned.
    """

    population: Population = "masks"
    sparsity: float = 0.9
    counts: str = "erk"
    count: int = 32
    confirmations: int = 3
    predictors: Sequence[str] = ()
    seeds: Sequence[int] = range(10)
    granularity: str = "weight"

    def __post_init__(self) -> None:
        if self.population not in POPULATIONS:
            raise InvalidValue(f"population {self.population!r} is none of {', '.join(POPULATIONS)}")
        if self.count < 3 or self.confirmations < 2:
            raise InvalidValue(f"{self.count} candidates and {self.confirmations} confirmations: give at least 3 and 2")


def predict(
    task: Task,
    plan: Plan,
    *,
    out: str | os.PathLike[str] = "predictions",
    device: str = "cpu",
    engine: str = "auto",
    tick: Tick = quiet,
) -> list[PredictOutcome]:
    """Predict and train the candidates of every seed; what is on disk already is read back.

    Args:
        task: data and network.
        plan: what is predicted.
        out: folder of outcomes. Full trainings are kept apart from what predictors say of them.
        device: as in :func:`ticketsearch.run`.
        engine: likewise.
        tick: progress.

    Raises:
        UsageError: the arguments are wrong; nothing was computed.
        StrategyError: a predictor gives no numbers.
        CorruptRun: a seed's file is damaged.
    """
    from ticketsearch.engine import make_engine
    from ticketsearch.runner.setup import Setup

    predictors = named_predictors(plan.predictors)
    setup = Setup.of(task, make_engine(task, device, engine), 0, plan.granularity)
    kept = counts_of(setup, plan.counts, plan.sparsity).tolist()
    counts = plan.counts if plan.population == "masks" else f"{plan.counts}, one mask"
    trained = [task.name, task.fingerprint, plan.population, plan.counts, kept, plan.count, plan.confirmations]
    trained += [plan.granularity, setup.engine.name, setup.engine.device]
    truths = folder_in(out, task.name, plan.population, "truth", digest_of_json(trained, size=6))
    folder = folder_in(out, task.name, plan.population, digest_of_json([*trained, *_identities(predictors)], size=6))

    def outcome(seed: int) -> PredictOutcome:
        own, say = setup.of_seed(seed), _of_seed(tick, seed)
        make = masks_of_counts if plan.population == "masks" else initialisations
        candidates = make(own, plan.counts, plan.sparsity, plan.count)
        predicted = predictions(own, candidates, predictors, plan.sparsity, say)
        [truth] = seed_by_seed(
            truths, TruthRecord, [seed], lambda _: trained_in_full(own, candidates, plan.confirmations, say)
        )
        return _outcome(own, plan.population, counts, plan.sparsity, plan.granularity, truth, predicted)

    return seed_by_seed(folder, PredictOutcome, plan.seeds, outcome)


def predict_runs(
    runs: str | os.PathLike[str],
    predictors: Sequence[str] = (),
    *,
    task: str | None = None,
    source: DataSource | None = None,
    out: str | os.PathLike[str] = "predictions",
    seeds: Sequence[int] | None = None,
    tick: Tick = quiet,
) -> list[PredictOutcome]:
    """Predict the tickets of finished runs, whose confirmations are the truth; what is on disk is read back.

    Args:
        runs: a folder of run folders.
        predictors: as in :class:`Plan`.
        task: where the runs' task is, if its name does not say.
        source: where data sets lie.
        out: folder of outcomes.
        seeds: only of these; default all.
        tick: progress.

    Raises:
        NotARun: there is no finished run.
        InvalidValue: fewer than three tickets of a seed; or none of the seeds.
        StrategyError, CorruptRun: as in :func:`predict`.
    """
    from ticketsearch.engine import make_engine
    from ticketsearch.records.spec import read_spec
    from ticketsearch.runner.setup import Setup, task_of

    asked, outcomes = named_predictors(predictors), []
    for (name, fingerprint, sparsity, kind), by_seed in finished_runs(runs).items():
        chosen = {seed: by_seed[seed] for seed in sorted(by_seed) if seeds is None or seed in seeds}
        if not chosen:
            raise InvalidValue(f"{runs} has no run of seeds {list(seeds or [])} on {name} at sparsity {sparsity:g}")
        first = next(iter(chosen.values()))[0]
        spec = read_spec(Path(first.run))
        loaded = task_of(spec, task or first.task_source, source)
        setup = Setup.of(loaded, make_engine(loaded, spec.device, spec.engine), 0, spec.granularity)
        tickets = {seed: [(one.strategy, one.mask_digest, one.orders) for one in own] for seed, own in chosen.items()}
        identity = digest_of_json([name, fingerprint, sparsity, kind, tickets, *_identities(asked)], size=6)
        folder = folder_in(out, name, "tickets", identity)

        def outcome(seed: int, setup: Setup = setup, chosen: dict[int, list[Result]] = chosen) -> PredictOutcome:
            own, say = setup.of_seed(seed), _of_seed(tick, seed)
            candidates, truth = tickets_of(own, chosen[seed])
            of, at = chosen[seed][0].kind, chosen[seed][0].sparsity
            predicted = predictions(own, candidates, asked, at, say)
            return _outcome(own, "tickets", "of all strategies", at, of, truth, predicted)

        outcomes += seed_by_seed(folder, PredictOutcome, list(chosen), outcome)
    return outcomes


def named_predictors(names: Sequence[str]) -> dict[str, Predictor]:
    """Predictors by the names they were asked for, the null first; all that are installed, if none was asked for.

    Raises:
        UnknownName, InvalidValue, PluginError: as in :func:`ticketsearch.predictors.predictor_named`.
    """
    asked = list(names) or [plugin.name for plugin in available(PREDICTORS)]
    return {name: predictor_named(name) for name in dict.fromkeys([NULL, *asked])}


def predictions(
    setup: Setup, candidates: Sequence[Candidate], predictors: dict[str, Predictor], sparsity: float, tick: Tick
) -> list[PredictedRecord]:
    """What each predictor says of all candidates of a seed, on an account of its own.

    Raises:
        StrategyError: a predictor gives something else than a finite number for each.
    """
    found = []
    for place, (name, predictor) in enumerate(predictors.items()):
        tick(f"predictor {name}", place / len(predictors))
        meter, values = Meter(len(setup.task.train.labels)), []
        for initial, group in groupby(candidates, key=lambda one: one.initial):
            own = setup if initial is None else setup.with_initial(initial)
            problem = MaskProblem(own.session(sparsity, setup.task.fidelity, meter, Ledger()))
            values.append(values_of_predictor(predictor, problem, np.stack([one.mask for one in group])))
        joined: ScoreArray = np.concatenate(values)
        for candidate, value in zip(candidates, joined, strict=True):
            if not np.isfinite(value):
                raise StrategyError(
                    f"predictor {name!r} gave {value} for {candidate.name} of seed {setup.seed}; leave it out, or mend "
                    "it"
                )
        epochs = meter.spent.epochs(meter.train_size) / len(candidates)
        found.append(PredictedRecord(predictor=name, sign=predictor.sign, values=joined.tolist(), epochs=epochs))
    return found


def _outcome(
    setup: Setup,
    population: str,
    counts: str,
    sparsity: float,
    granularity: str,
    truth: TruthRecord,
    predicted: list[PredictedRecord],
) -> PredictOutcome:
    return PredictOutcome(
        task=setup.task.name,
        task_fingerprint=setup.task.fingerprint,
        seed=setup.seed,
        population=population,
        counts=counts,
        sparsity=sparsity,
        granularity=granularity,
        truth=truth,
        predicted=predicted,
    )


def _identities(predictors: dict[str, Predictor]) -> list[str]:
    """What decides the values of predictors: their settings, and the source of those from outside."""
    return [f"{name} {one!r} {source_of(type(one)) or ''}" for name, one in predictors.items()]


def _of_seed(tick: Tick, seed: int) -> Tick:
    return lambda what, fraction: tick(f"seed {seed}: {what}", fraction)
