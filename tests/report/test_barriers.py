"""What averages over seeds say, of lines made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticketsearch.records.outcomes import write_outcomes
from ticketsearch.report import connect
from ticketsearch.report.barriers import Count, sections_of
from ticketsearch.report.beside import chapter_of
from ticketsearch.studies.barrier import Comparison, ConnectOutcome, Line, Overlap, Profile


def line(
    comparison: Comparison, place: int | None, test: list[float], train: list[float], *, first: str = "ticket"
) -> Line:
    test_profile, train_profile = (Profile(error=errors, loss=[1.0] * len(errors)) for errors in (test, train))
    return Line(
        comparison=comparison,
        first=first,
        second=first,
        place=place,
        sparsities=(0.5, 0.6),
        test=test_profile,
        train=train_profile,
    )


def outcome(lines: list[Line], seed: int = 0, overlap: Overlap | None = None) -> ConnectOutcome:
    return ConnectOutcome(
        task="tiny",
        task_fingerprint="",
        strategies=["imp"],
        seeds=[seed],
        sparsity=0.9,
        dense_test_accuracy=0.8,
        tickets=[""],
        lines=lines,
        overlap=overlap,
    )


ROUNDS = [
    line("rounds", 0, [0.20, 0.20, 0.20], [0.00, 0.01, 0.00], first="round 0"),  # both, both
    line("rounds", 1, [0.20, 0.24, 0.21], [0.00, 0.05, 0.00], first="round 1"),  # matches only, matches only
    line("rounds", 2, [0.22, 0.22, 0.23], [0.00, 0.02, 0.02], first="round 2"),  # connected only, connected only
    line("rounds", 3, [0.30, 0.40, 0.30], [0.02, 0.02, 0.03], first="round 3"),  # neither, connected only
    line("rounds", 4, [0.30, 0.31, 0.31], [0.03, 0.09, 0.04], first="round 4"),  # connected only, neither
]


def test_rounds_are_counted_by_connected_and_matching() -> None:
    """Dense: an error of 0.2, and 0 in training; the margin is a point."""
    [section] = sections_of([outcome(ROUNDS)])
    assert section.counts == [Count("test", 1, 2, 1, 1), Count("train", 1, 2, 1, 1)]
    assert [row.connected for row in section.rows] == [1, 0, 1, 0, 1]
    assert [row.matching for row in section.rows] == [1, 1, 0, 0, 0]
    [wider] = sections_of([outcome(ROUNDS)], margin=0.03)
    assert wider.counts == [Count("test", 2, 1, 1, 1), Count("train", 3, 0, 1, 1)]
    assert "coincide in 3 of 5 (2 both, 1 neither); 1 are connected though" in wider.words[0]
    assert "at most 3 points less" in wider.words[0]


@pytest.mark.parametrize(
    ("heights", "words"),
    [
        ({0: 0.05, 10: 0.01, 20: 0.0}, "stable from step 10 on"),
        ({0: 0.01, 10: 0.03, 20: 0.0}, "stable from step 20 on"),
        ({0: 0.01, 10: 0.0}, "stable from step 0 on"),
        ({0: 0.05, 10: 0.05}, "stable from none of these steps"),
    ],
)
def test_two_orders_are_stable_from_the_step_after_the_last_barrier(heights: dict[int, float], words: str) -> None:
    """The mean over two seeds counts, whose barriers are half and three halves of it."""
    outcomes = [
        outcome(
            [line("orders", k, [0.2, 0.2 + factor * top, 0.2], [0.0, 0.0, 0.0]) for k, top in heights.items()], seed
        )
        for seed, factor in enumerate((0.5, 1.5))
    ]
    [section] = sections_of(outcomes)
    assert section.words[0] == f"Ticket, test split: {words} (mean barrier below 2 points)."
    assert section.words[1] == "Ticket, train split: stable from step 0 on (mean barrier below 2 points)."
    assert [row.test.mean for row in section.rows] == pytest.approx(list(heights.values()))


def test_the_picture_has_what_there_is() -> None:
    seeds = [outcome([*ROUNDS, line("orders", 0, [0.2, 0.3, 0.2], [0, 0, 0])], seed) for seed in (0, 1)]
    drawn = connect.figure(sections_of(seeds), seeds)
    barriers = {trace.name: list(trace.y) for trace in drawn.data}
    assert barriers["imp: ticket, test"] == pytest.approx([10.0])
    assert barriers["imp: rounds, test"] == pytest.approx([0, 3.5, 0.5, 10, 0.5])
    along = [outcome([line("dense", None, [0.2, 0.5, 0.1], [0, 0, 0])])]
    [only] = connect.figure(sections_of(along), along).data
    assert list(only.x) == [0, 0.5, 1]
    assert list(only.y) == pytest.approx([20, 50, 10])


def test_overlaps_have_a_table_of_their_own() -> None:
    pairs = [outcome([], seed, Overlap(plain=0.0, matched=value, degrees=0.1)) for seed, value in enumerate((0.2, 0.4))]
    [section] = sections_of(pairs)
    assert section.overlap is not None
    assert section.overlap[2].mean == pytest.approx(0.3)
    text = connect.markdown([section])
    assert text.startswith("### Masks")
    assert "| 2 | 0.000 ± 0.000 | 0.300 ± 1.271 | 0.100 ± 0.000 |" in text  # t of one degree of freedom: 12.706


def test_an_archive_of_them_is_a_chapter_of_the_report(tmp_path: Path) -> None:
    """Two data orders from steps 0 and 10 on two seeds: points are means of 4 and 2, and of 1 and 1."""
    outcomes = [
        outcome(
            [
                line("orders", 0, [0.2, 0.2 + high, 0.2], [0.1, 0.1, 0.1]),
                line("orders", 10, [0.2, 0.21, 0.2], [0.1] * 3),
            ],
            seed,
        )
        for seed, high in enumerate((0.04, 0.02))
    ]
    write_outcomes(tmp_path / "connect.json.gz", outcomes)
    chapter = chapter_of(tmp_path / "connect.json.gz")
    assert chapter.title == "Between trained networks, tiny"
    assert len(chapter.table.rows) == 2
    [figure] = chapter.figures
    [test, train] = figure.plots["data orders"]["data"]
    assert (test["x"], test["y"]) == ([0.0, 10.0], [3.0, 1.0])
    assert train["y"] == [0.0, 0.0]
    [dotted] = figure.plots["data orders"]["layout"]["shapes"]
    assert dotted["y0"] == 2.0
    write_outcomes(tmp_path / "masks.json.gz", [outcome([])])
    assert chapter_of(tmp_path / "masks.json.gz").figures == []
