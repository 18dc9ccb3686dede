"""The list of checks: what every strategy owes, ours and anyone's.

Each check is a function of a subject that returns what it measured, or raises CheckFailed with the fault. A check that
needs others is skipped when one of those failed, so that a report names the fault and not its consequences.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import digest
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.session import Session
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.audit import faults_of_incumbents
from ticketsearch.seeds import fenced_globals, stream
from ticketsearch.strategies.base import build_strategy, parameters_of
from ticketsearch.testing import fresh
from ticketsearch.testing.closed_form import EVALUATION_THIRDS, ClosedFormEngine
from ticketsearch.testing.report import CheckFailed
from ticketsearch.testing.subject import Killed, Outcome, Subject, as_json, describe, is_refusal, run_search

RAW_PRODUCTS = 0.01
"""Fraction of computation that products outside networks may be: a search may multiply a small matrix."""


@dataclass(frozen=True)
class Check:
    """One demand.

    Attributes:
        name: in reports and of the test.
        demand: what it asks, in a sentence.
        run: returns what was measured, in words; raises CheckFailed.
        needs: names of checks without which this one says nothing.
    """

    name: str
    demand: str
    run: Callable[[Subject], str]
    needs: tuple[str, ...] = ()


def _parameters_round_trip(subject: Subject) -> str:
    strategy = subject.make()
    text = as_json(strategy)
    again = build_strategy(subject.name, type(strategy), json.loads(text))
    if again != strategy or as_json(again) != text:
        raise CheckFailed(f"parameters {text} read back give {again!r}, not {strategy!r}")
    return text


def _picklable(subject: Subject) -> str:
    strategy = subject.make()
    try:
        again = pickle.loads(pickle.dumps(strategy))
    except Exception as error:
        raise CheckFailed(f"it cannot be pickled, so no other process can run it: {error}") from error
    if again != strategy:
        raise CheckFailed(f"pickled and read back it is {again!r}, not {strategy!r}")
    return ""


def _searches(subject: Subject) -> str:
    outcome, _ = subject.reference
    if outcome.error is not None and not isinstance(outcome.error, StrategyError):
        raise CheckFailed(describe(outcome.error))
    return f"{len(outcome.trials)} trials, ended by {'the budget' if outcome.exhausted else 'itself'}"


def _exact_count(subject: Subject) -> str:
    subject.reference[0].sound_mask()
    for sparsity in (0.5, 0.83):
        subject.search(sparsity=sparsity)[0].sound_mask()
    return "at sparsity 0.5, 0.83 and 0.9"


def _within_budget(subject: Subject) -> str:
    for evaluations in (0, 1, 7):
        outcome, _ = subject.search(evaluations)
        limit = evaluations * EVALUATION_THIRDS
        done = outcome.problem.spent.thirds
        if done > limit:
            raise CheckFailed(f"a budget of {evaluations} evaluations was overdrawn: {done / max(1, limit):.2f} of it")
        if outcome.error is not None and not (evaluations < 2 and is_refusal(outcome.error)):
            raise CheckFailed(f"with a budget of {evaluations} evaluations {describe(outcome.error)}")
        if not outcome.exhausted and outcome.error is None:
            outcome.sound_mask()
    return "with budgets of 0, 1 and 7 evaluations"


def _global_random_state(subject: Subject) -> str:
    disturbed = subject.reference[0].disturbed
    if disturbed:
        raise CheckFailed(f"{' and '.join(disturbed)} global generator was changed; draw from problem.rng(name)")
    return ""


def _same_seed(subject: Subject) -> str:
    first, strategy = subject.reference[0], subject.make()
    for attempt in (1, 2):
        with fenced_globals(attempt):  # the global generators stand elsewhere
            again, _ = subject.search(strategy=strategy)
        _must_equal(again, first, "the same seed gave other trials the next time; draw from problem.rng(name)")
    return ""


def _must_equal(found: Outcome, first: Outcome, fault: str) -> None:
    if found.error is not None:
        raise CheckFailed(f"{fault} ({describe(found.error)})")
    if found.fingerprint == first.fingerprint:
        return
    pairs = zip(found.trials, first.trials, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found.trials), len(first.trials)))
    where = "in the ticket" if found.trials == first.trials else f"from trial {at} on"
    raise CheckFailed(f"{fault} ({where})")


def _fresh_process(subject: Subject) -> str:
    answer = fresh.answers(subject)
    if answer.fingerprint != subject.reference[0].fingerprint:
        raise CheckFailed(
            answer.fault or "the same seed gave other trials in another process: is the order of a set or hash() used?"
        )
    return ""


def _million_bits(subject: Subject) -> str:
    answer = fresh.answers(subject)
    if answer.million_fault:
        raise CheckFailed(answer.million_fault)
    subject.measured["million_bits_cpu_s"] = answer.cpu_s
    subject.measured["million_bits_mib"] = answer.mib
    return f"{answer.cpu_s:.1f} CPU s, {answer.mib:.0f} MiB"


def _failed_scores(subject: Subject) -> str:
    def some(mask: Any) -> bool:
        return int(digest(mask), 16) % 2 == 0

    outcome, _ = subject.search(fails=some)
    try:
        mask = outcome.sound_mask()
    except CheckFailed as fault:
        raise CheckFailed(f"when half of the scores fail (NaN), {fault}") from fault
    failed = {trial[1] for trial in outcome.trials if trial[3] == "failed"}
    if digest(mask) in failed and outcome.problem.incumbent is not None:
        raise CheckFailed("the ticket is a mask whose score had failed (NaN), although others had not")
    outcome, _ = subject.search(fails=lambda _: True)
    if outcome.error is not None:
        raise CheckFailed(f"when every score fails (NaN), {describe(outcome.error)}")
    return "half of them, and all"


def _arguments_untouched(subject: Subject) -> str:
    handed: list[tuple[Any, bytes]] = []

    class Lending(MaskProblem):
        """Remembers what its snapshots and scores were when they were handed out."""

        def train(self, *args: Any, **kwargs: Any) -> Any:
            for snapshot in super().train(*args, **kwargs):
                handed.extend((array, array.tobytes()) for array in (snapshot.weights.vector, snapshot.weights.rest))
                yield snapshot

    strategy = subject.make()
    own = repr(sorted(vars(strategy).items())) if hasattr(strategy, "__dict__") else repr(strategy)
    fresh_problem = subject.search(0, strategy=_Nothing())[0].problem
    outcome, engine = subject.search(strategy=strategy, kind=Lending)
    problem = outcome.problem
    for name in ("space", "sparsity", "n_kept", "recipe", "fidelity", "train_size", "steps_per_epoch"):
        if getattr(problem, name) != getattr(fresh_problem, name):
            raise CheckFailed(f"it changed problem.{name} to {getattr(problem, name)!r}")
    if problem.space.sizes.tolist() != [layer.size for layer in problem.space.layers]:
        raise CheckFailed("it changed problem.space.sizes")
    untouched = ClosedFormEngine(problem.units, problem.n_kept, seed=0).initial
    for before, weights in ((untouched, engine.initial), (untouched, problem.initial_weights())):
        if not (np.array_equal(weights.vector, before.vector) and np.array_equal(weights.rest, before.rest)):
            raise CheckFailed("it changed the problem's initial weights; initial_weights() is a copy to work on")
    if any(faults_of_incumbents(problem.incumbents, list(outcome.session.replay.ledger), problem.n_kept)):
        raise CheckFailed("it wrote itself a score: problem.incumbents has one that no evaluation gave")
    if any(array.tobytes() != content for array, content in handed):
        raise CheckFailed("it changed the weights of a snapshot in place; copy them first")
    after = repr(sorted(vars(strategy).items())) if hasattr(strategy, "__dict__") else repr(strategy)
    if after != own:
        raise CheckFailed(f"search changed the strategy itself: {own} became {after}; keep state in local variables")
    return ""


@dataclass(frozen=True)
class _Nothing:
    """Searches nothing: what a problem is like before anyone touched it."""

    def search(self, problem: MaskProblem) -> None:
        pass


def _ends_when_it_returns(subject: Subject) -> str:
    left = set(threading.enumerate())
    outcome, _ = subject.search()
    busy = [one for one in threading.enumerate() if one not in left]
    for one in busy:
        one.join(PATIENCE_S)
    if outcome.session.refused:
        raise CheckFailed(
            "it asked for more after its return, from a thread it left behind, and was refused; join threads first"
        )
    return ""


def _instances_independent(subject: Subject) -> str:
    first = subject.reference[0]
    inner: list[Outcome] = []

    def another(_session: Session) -> None:
        if not inner:
            inner.append(first)  # once, and not from within the inner search
            inner[0] = subject.search(strategy=subject.make())[0]

    outer, _ = subject.search(watch=another)
    for outcome in (outer, *inner):
        _must_equal(outcome, first, "two searches at a time disturb each other: what do its instances share?")
    return ""


def _batch_sizes(subject: Subject) -> str:
    names = [name for name in ("batch", "batch_size") if name in parameters_of(subject.make())]
    for name in names:
        for size in (1, 8):
            outcome, _ = subject.search(strategy=subject.vary(**{name: size}))
            try:
                outcome.sound_mask()
            except CheckFailed as fault:
                raise CheckFailed(f"with {name}={size}, {fault}") from fault
    return f"{names[0]} = 1 and 8" if names else "it has no field named batch"


def _granularities(subject: Subject) -> str:
    said = []
    for granularity in ("channel", "2:4"):
        outcome, _ = subject.search(sparsity=0.5, granularity=granularity)
        if isinstance(outcome.error, InvalidValue):  # in our words, before anything is computed for nothing
            said.append(f"{granularity} refused: {outcome.error}")
            continue
        try:
            outcome.sound_mask()
        except CheckFailed as fault:
            raise CheckFailed(f"under --granularity {granularity}, {fault}") from fault
        said.append(f"{granularity} searched")
    return "; ".join(said)


def _not_worse_than_random(subject: Subject) -> str:
    deviations, seeds = [], 5
    for seed in range(seeds):
        outcome, engine = subject.reference if seed == 0 else subject.search(seed=seed)
        problem, rng = outcome.problem, stream(seed, "random masks")
        values = [engine.value(problem.space.random(problem.n_kept, rng)) for _ in range(200)]
        deviations.append((engine.value(outcome.sound_mask()) - float(np.mean(values))) / float(np.std(values)))
    mean = float(np.mean(deviations))
    subject.measured["better_than_random_sd"] = mean
    said = f"{mean:+.1f} standard deviations from a random mask, mean of {seeds} seeds"
    if mean < -3 / seeds**0.5:
        raise CheckFailed(f"worse than random: {said}; are higher scores taken for worse ones?")
    return said


def _metered(subject: Subject) -> str:
    from ticketsearch.testing.watch import Watch

    watch = Watch()
    strategy = subject.make()
    with watch.watching():
        outcome, engine = subject.search(strategy=strategy, kind=watch.problem_type())
    problem = outcome.problem
    uncharged = max(0, engine.thirds - problem.spent.thirds)
    outside = watch.flops + uncharged * problem.space.flops_per_example()
    fraction = outside / max(1, outside + problem.spent.dense_flops)
    subject.measured["unmetered_fraction"] = fraction
    allowed = subject.max_unmetered
    found = [f"{count} {what}" for what, count in watch.passes.items()]
    if watch.private:
        found.append(f"problem.{' and problem.'.join(sorted(watch.private))} read, which is the host's")
    if uncharged:
        found.append("the engine did more than was charged")
    said = f"unmetered fraction {fraction:.3g}"
    if fraction > max(allowed, RAW_PRODUCTS) or (found and not allowed):
        raise CheckFailed(
            f"{said}: it computes outside the problem, where nobody counts ({', '.join(found) or 'matrix products'}); "
            "train and score through problem.train, problem.evaluate and problem.gradients"
        )
    return said


def _kill_and_replay(subject: Subject) -> str:
    first = subject.reference[0]
    kills = sorted({0, len(first.trials) // 2})
    for kill in kills:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.sqlite"

            def watch(session: Session, kill: int = kill) -> None:
                if session.replay.length >= kill:
                    session.interrupt()  # what is under way is not recorded, as when a process ends

            with Ledger(path) as ledger, contextlib.suppress(Killed):
                subject.search(ledger=ledger, watch=watch)
            with Ledger(path) as ledger:
                again, _ = subject.search(ledger=ledger)
        _must_equal(again, first, f"killed after {kill} trials and run again, it does not find the same")
    return f"killed after {' and '.join(map(str, kills))} trials"


def _tiny_network(subject: Subject) -> str:
    from ticketsearch.testing.tiny import tiny_session

    outcomes = []
    for _ in range(2):
        outcomes.append(run_search(subject.make(), tiny_session(Ledger())))
        outcomes[-1].sound_mask()
    _must_equal(outcomes[1], outcomes[0], "the same seed gave other trials the next time")
    best = outcomes[0].problem.incumbent
    return f"best score {best.score.value:.2f}" if best is not None else "no mask was scored"


PATIENCE_S = 0.5
"""For a thread left behind to ask for something."""
_SOUND = ("searches", "exact-count")
_REPEATABLE = (*_SOUND, "global-random-state", "same-seed")

CHECKS: tuple[Check, ...] = (
    Check("parameters-round-trip", "its parameters can be written as JSON and read back", _parameters_round_trip),
    Check("picklable", "an instance can be pickled, and is the same afterwards", _picklable),
    Check("searches", "search ends, and raises nothing but BudgetExhausted", _searches),
    Check("exact-count", "the ticket has the right size and keeps exactly n weights", _exact_count, ("searches",)),
    Check("within-budget", "budgets of 0, 1 and n evaluations are kept to", _within_budget, _SOUND),
    Check("global-random-state", "global random generators are left as found", _global_random_state, _SOUND),
    Check("same-seed", "the same seed gives the same trials and ticket", _same_seed, (*_SOUND, "global-random-state")),
    Check("fresh-process", "so it does in another process", _fresh_process, _REPEATABLE),
    Check("failed-scores", "failed scores (NaN) are survived, and never win", _failed_scores, _SOUND),
    Check(
        "arguments-untouched", "nothing it was given is changed, nor the strategy itself", _arguments_untouched, _SOUND
    ),
    Check("ends-when-it-returns", "nothing of it goes on after its return", _ends_when_it_returns, _SOUND),
    Check(
        "instances-independent", "two searches at a time do not disturb each other", _instances_independent, _REPEATABLE
    ),
    Check("batch-sizes", "its batch may be 1 and 8", _batch_sizes, _SOUND),
    Check("granularities", "masks of channels and of blocks 2:4 are searched, or refused", _granularities, _SOUND),
    Check("not-worse-than-random", "its tickets are no worse than random masks", _not_worse_than_random, _SOUND),
    Check("metered", "it computes through the problem only", _metered, _SOUND),
    Check("kill-and-replay", "killed and run again, it finds the same ticket", _kill_and_replay, _REPEATABLE),
    Check("million-bits", "a million weights within a bound of time and memory", _million_bits, _SOUND),
    Check("tiny-network", "a small real network is searched as well", _tiny_network, _REPEATABLE),
)
"""Every check, in the order in which they are reported."""
