"""What is printed of a study: each figure is the analysis's own, and what decides nothing is marked as such."""

from __future__ import annotations

import io

from rich.console import Console

from tests.helpers.analyses import IMP, SEEDS, run, study
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.section import EPOCHS
from ticketsearch.leaderboard.verdict import RULE
from ticketsearch.report.verdicts import as_markdown, as_renderables, number, points, standing_cells, verdict_cells


def test_verdicts_standings_and_targets_are_the_analysis_s() -> None:
    section = study(imp=IMP, ga=[(10.0, 0.40, 0.2), (30_000.0, 0.5, 0.3)])
    text = as_markdown([section])
    verdict = next(v for v in section.verdicts if v.currency == EPOCHS)
    assert verdict_cells(verdict) == ["ga", EPOCHS, "inf", f"[{number(verdict.low)}, inf]", "10", "supported"]
    ga = section.contender("ga")
    cells = standing_cells(ga, section.reference)
    assert cells[2] == points(ga.to_imp) == "-16.0 [-16.0, -16.0]"
    assert cells[6] == "2.0"
    assert "| ga | 3e+04 | never | never | never |" in text  # 0.5 is above a tenth of the gap, not above half of it
    assert "| imp | 550 | 550 | 550 |" in text
    assert RULE in text
    assert "- IMP's ticket is above the same mask shuffled within layers" in text


def test_figures_beside_no_verdict_are_in_brackets_and_the_reason_is_said() -> None:
    runs = [run("ga", seed, (900.0, 0.5, 0.3)) for seed in SEEDS][:4] + [run("imp", seed, *IMP) for seed in SEEDS][:4]
    [section] = analyse(runs)
    assert verdict_cells(section.verdicts[0])[2] == "(inf)"
    assert verdict_cells(section.verdicts[0])[5] == "no verdict"
    assert "- ga: Only 4 paired seeds; a verdict takes 10." in as_markdown([section])


def test_a_search_that_exploits_its_evaluator_is_named() -> None:
    climbing = [(2.0**k, 0.50 if k < 4 else 0.50 - 0.01 * (k - 3), 0.20 + 0.02 * k) for k in range(8)]
    text = as_markdown([study(imp=IMP, ga=climbing)])
    assert "- ga exploits its evaluator from 8 ep on: short score 8.0" in text


def test_a_terminal_shows_the_same_words() -> None:
    stream = io.StringIO()
    Console(file=stream, width=180).print(as_renderables([study(imp=IMP, ga=[(30_000.0, 0.5, 0.3)])]))
    assert "supported" in stream.getvalue()
    assert "Reference: imp." in stream.getvalue()


def test_a_study_without_searches_has_no_rule() -> None:
    assert RULE not in as_markdown([study(imp=IMP, magnitude=[(50.0, 0.6, None)])])
