"""The verdict on "search is not much better than SGD", for one strategy on one task at one sparsity.

The reference is iterative magnitude pruning (IMP), which finds its masks by nothing but training. What is compared
is the cost of reaching what IMP reaches, in one currency, by :data:`RULE`; beside it stand the accuracies themselves,
compared by :func:`compare`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard.running_time import (
    Curve,
    expected_running_time,
    first_hit,
    held,
    ratio_of_running_times,
)
from ticketsearch.leaderboard.statistics import ALPHA, MARGIN, Paired, holm, paired

CURRENCIES = ("train examples", "kept-weight FLOPs", "CPU seconds")
MUCH = 2.0
"""Much better: at least this many times as cheap."""
MIN_SEEDS = 10
"""Fewer paired seeds get no verdict. (A signed-rank test on five cannot go below p = 0.0625.)"""
MATCHED = 0.95
"""A run that missed must have spent this share of what the reference spent: the last evaluation may not have fitted."""
RULE = (
    f'"Much better" means at least {MUCH:g} times as cheap. R is the expected running time of the strategy over that '
    f"of the reference (the IMP of best mean validation accuracy), to its mean confirmed accuracy less "
    f"{100 * MARGIN:g} points, over paired seeds, a run hitting at its first checkpoint there. The interval of R is at "
    "95 %; its lower end lets the strategy's first hits count, its upper end only those it held to the end of the run, "
    "since a search cannot see its confirmed accuracy and stop at a lucky checkpoint, and is measured against "
    "whichever IMP is cheapest to get there. The claim that search is not much better is supported if "
    f"the interval does not reach below 1/{MUCH:g}, refuted if it lies below 1/{MUCH:g}, else undecided. There is no "
    f"verdict with fewer than {MIN_SEEDS} paired seeds, if IMP is not shown to be above random masks (95 % interval of "
    "the difference, and the margin), or if a control failed; nor, unless it refutes, if the runs that missed the "
    f"target spent less than {100 * MATCHED:g} % of what the reference did: want of budget is no sign of a worse "
    "search, and success without it is no lesser one. Each verdict stands by itself: they are not corrected for their "
    "number."
)
"""The rule of :func:`judge`, to be printed with what it says.

Why the two ends differ: by first hits alone, a search one point below IMP everywhere, confirmed at ten checkpoints
with one point of noise, was called much better in 16 % of simulated studies of ten seeds; by this rule, in none.
"""
Outcome = Literal["supported", "refuted", "undecided", "none"]


@dataclass(frozen=True)
class Control:
    """A check that must hold before anything is concluded; ``sentence`` says what was found."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What :data:`RULE` says.

    Attributes:
        strategy, task, sparsity, currency: about what.
        outcome: "supported", "refuted", "undecided"; or "none", for ``reasons``.
        ratio: R; None where it does not exist. Beside a verdict of "none" the figures decide nothing.
        low, high: its 95 % interval as in the rule, ``inf`` for no bound; None where it does not exist. It takes the
            target as given, though that is itself a mean over the reference's runs.
        n: paired seeds.
        target: the accuracy to reach; None where there is no gap to set it in.
        reasons: sentences, for "none" only.
    """

    strategy: str
    task: str
    sparsity: float
    currency: str
    outcome: Outcome
    ratio: float | None
    low: float | None
    high: float | None
    n: int
    target: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """That a strategy needs fewer of a currency than IMP.

    Attributes:
        strategy: the name of what is judged.
        task: where.
        sparsity: at which all masks are compared.
        currency: of all costs, one of :data:`CURRENCIES`.
    """

    strategy: str
    task: str
    sparsity: float
    currency: str


def judge(
    claim: Claim,
    curves: Mapping[int, Curve],
    reference: Mapping[int, Curve],
    random: Mapping[int, float],
    controls: Sequence[Control] = (),
    frontier: Sequence[Mapping[int, Curve]] = (),
) -> Verdict:
    """Judge one black-box strategy against IMP.

    Args:
        claim: what is judged.
        curves: the strategy's runs by seed.
        reference: the runs by seed of one point of IMP's frontier; each ends with the accuracy IMP is credited with.
        random: confirmed accuracy of random masks by seed.
        controls: what else must hold.
        frontier: other points of IMP's frontier, by seed: the one cheapest to the target bounds R from above.

    Raises:
        InvalidValue: another currency, or a reference run without any accuracy.
    """
    currency = claim.currency
    if currency not in CURRENCIES:
        raise InvalidValue(f"costs are compared in {', '.join(CURRENCIES)}, not {currency!r}")
    if empty := [seed for seed, curve in reference.items() if not curve.values]:
        raise InvalidValue(f"the reference has no confirmed accuracy on seed {empty[0]}")
    seeds = sorted(curves.keys() & reference.keys() & random.keys())
    own, imp = ({seed: runs[seed] for seed in seeds} for runs in (curves, reference))
    reasons = [control.sentence for control in controls if not control.passed]
    unmatched: list[str] = []
    if len(seeds) < MIN_SEEDS:
        reasons.append(f"Only {len(seeds)} paired seeds; a verdict takes {MIN_SEEDS}.")
    reached = [imp[seed].values[-1] for seed in seeds]
    gap = paired(reached, [random[seed] for seed in seeds])
    target = ratio = low = high = None
    if gap.difference is not None and gap.difference > MARGIN:
        target = sum(reached) / len(seeds) - MARGIN
        own_held, imp_held = ({seed: held(curve) for seed, curve in runs.items()} for runs in (own, imp))
        ratio = ratio_of_running_times(own, imp, target).value
        low = ratio_of_running_times(own, imp_held, target).low
        cheapest = min((imp, *frontier), key=lambda runs: _ert(runs, seeds, target))
        highs = [ratio_of_running_times(own_held, runs, target).high for runs in (imp, _over(cheapest, seeds))]
        high = max((one for one in highs if one is not None), default=None)
        unmatched = _unmatched(own, imp, target, currency)
    if gap.low is None or gap.low <= 0 or target is None:
        reasons.append(f"IMP is not shown to be above random masks: {_points(gap)}.")
    outcome: Outcome = "none"
    if not reasons and low is not None and high is not None:
        outcome = "supported" if low >= 1 / MUCH else "refuted" if high < 1 / MUCH else "undecided"
    if outcome != "refuted" and unmatched:
        outcome, reasons = "none", [*reasons, *unmatched]
    return Verdict(
        **vars(claim),
        outcome=outcome,
        ratio=ratio,
        low=low,
        high=high,
        n=len(seeds),
        target=target,
        reasons=tuple(reasons),
    )


def _over(runs: Mapping[int, Curve], seeds: Sequence[int]) -> dict[int, Curve]:
    return {seed: runs[seed] for seed in seeds if seed in runs}


def _ert(runs: Mapping[int, Curve], seeds: Sequence[int], target: float) -> float:
    """Of points that did not run on all seeds, none: a lucky few would be the cheapest."""
    if not set(seeds) <= runs.keys():
        return math.inf
    return expected_running_time([runs[seed] for seed in seeds], target).ert


def _unmatched(curves: Mapping[int, Curve], reference: Mapping[int, Curve], target: float, currency: str) -> list[str]:
    """A reason if the runs that missed were given less than the reference: more might have sufficed."""
    missed = [seed for seed, curve in curves.items() if first_hit(curve, target) is None]
    spent, allowed = (sum(runs[seed].spent for seed in missed) for runs in (curves, reference))
    if spent >= MATCHED * allowed:
        return []
    return [
        f"Unmatched budgets: the {len(missed)} runs that missed the target spent {spent / len(missed):.4g} {currency} "
        f"on average, the reference {allowed / len(missed):.4g} on the same seeds."
    ]


def _points(gap: Paired) -> str:
    if gap.difference is None:
        return "no seed in common"
    found = f"{100 * gap.difference:+.2f} points"
    return found if gap.low is None or gap.high is None else f"{found} [{100 * gap.low:+.2f}, {100 * gap.high:+.2f}]"


@dataclass(frozen=True)
class Comparison:
    """A strategy's confirmed accuracy less the reference's on their common seeds.

    Attributes:
        paired: the comparison; its ``p`` is the strategy's own.
        p_holm: that p adjusted for all strategies compared at once (Holm); None without a common seed.
        separated: whether adjusted p and 95 % interval both tell the two apart.
    """

    strategy: str
    paired: Paired
    p_holm: float | None
    separated: bool


def compare(strategies: Mapping[str, Mapping[int, float]], reference: Mapping[int, float]) -> list[Comparison]:
    """Compare each strategy's confirmed accuracies by seed with the reference's; in the order given."""
    found: dict[str, Paired] = {}
    for name, accuracies in strategies.items():
        seeds = sorted(accuracies.keys() & reference.keys())
        found[name] = paired([accuracies[seed] for seed in seeds], [reference[seed] for seed in seeds])
    family = {name: one.p for name, one in found.items() if one.p is not None}
    adjusted = dict(zip(family, holm(list(family.values())), strict=True))
    return [
        Comparison(name, one, adjusted.get(name), _separated(one, adjusted.get(name))) for name, one in found.items()
    ]


def _separated(one: Paired, p: float | None) -> bool:
    if p is None or one.low is None or one.high is None:
        return False
    return p < ALPHA and not one.low <= 0 <= one.high
