"""The sentence that says it at one look."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.helpers.analyses import run
from ticketsearch import Result
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.section import Section
from ticketsearch.report.glance import headline, sentence, variants

SEEDS = range(10)


def section(*runs: list[Result]) -> Section:
    [found] = analyse([one for own in runs for one in own])
    return found


def imp(rounds: int, epochs: float, accuracy: float) -> list[Result]:
    return [
        run("imp", seed, (epochs, accuracy, None), parameters={"rounds": rounds}, run=f"imp{rounds}-{seed}")
        for seed in SEEDS
    ]


def ga(epochs: float, accuracy: float, seeds: range = SEEDS) -> list[Result]:
    return [run("ga", seed, (epochs, accuracy, 0.5)) for seed in seeds]


IMP = [*imp(1, 10.0, 0.60), *imp(4, 40.0, 0.70)]


def test_a_search_on_the_frontier_is_a_multiple_of_its_cost() -> None:
    """At 65 %, half of the way in accuracy, the frontier's cost is the geometric mean of 10 and 40: a tenth of 200."""
    said = sentence(section(IMP, ga(200.0, 0.65)))
    assert said.startswith("On tiny at sparsity 0.9, the best search, ga, reaches 65.")
    assert "at 10 [10, 10] times the kept-weight FLOPs that IMP needs for as much (ten seeds)" in said


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ([IMP, ga(200.0, 0.75)], r"ga, reaches 7[45]\.\d ± 0\.\d %, more than any setting of IMP \(ten seeds\)\."),
        (
            [IMP, ga(200.0, 0.50)],
            r"less than IMP's cheapest setting \((60|59)\.\d %\), at 20 times its kept-weight FLOPs \(ten",
        ),
        ([IMP], r"0\.9, imp reaches 70\.\d ± 0\.\d % \(ten seeds\)\. No search was run\."),
        ([ga(200.0, 0.65, range(1))], r"the best search, ga, reaches 6[45]\.\d % \(one seed\)\. IMP was not run\."),
        ([IMP, ga(200.0, 0.65, range(20, 23))], r", and imp reaches 70\.\d ± 0\.\d %, on other seeds\."),
        (
            [[run("snip", seed, (1.0, 0.6, None)) for seed in range(13)]],
            r"0\.9, snip reaches 60\.\d ± 0\.\d % \(13 seeds\)\. Neither a search nor IMP was run\.",
        ),
    ],
)
def test_it_is_neutral_where_something_is_missing(runs: list[list[Result]], says: str) -> None:
    assert re.search(says, sentence(section(*runs)))


def test_the_headline_is_where_search_is_at_the_lowest_multiple() -> None:
    dear, cheap = section(IMP, ga(400.0, 0.65)), section(IMP, ga(50.0, 0.65))
    below, without = section(IMP, ga(1.0, 0.3)), section(IMP)
    assert headline([without, below, dear, cheap]) == 3
    assert headline([without, below]) == 1
    assert headline([without, without]) == 0


def test_of_variants_the_best_on_validation_is_first() -> None:
    """Not the best on the test split."""
    found = section(IMP, ga(1.0, 0.5))
    worse, better = variants(found)["imp"][::-1]
    assert better.validation > worse.validation
    swapped = [replace(one, validation=-one.validation) for one in found.contenders]
    assert variants(replace(found, contenders=swapped))["imp"][0].label == worse.label
